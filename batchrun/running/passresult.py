"""What a pass came to, as it is told to whoever asked for it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from batchrun.errors import BatchrunError


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """What a pass came to. `next_at`: when something is due again, None when everything is final or waits for a person. `ended`: jobs that ended in it.

    `warning`: what a person should know although nothing failed. `others`: problems that concern none of the jobs which were asked about.
    """

    next_at: int | None
    ended: tuple[int, ...]
    problems: tuple[BatchrunError, ...]
    warning: str | None = None
    others: tuple[BatchrunError, ...] = ()

    def about(self, jobs: Mapping[int, Collection[str]]) -> "PassResult":
        """The same as it is seen by whoever asks about these jobs (profiles by job): what concerns others only is no problem of theirs."""
        profiles = {profile for theirs in jobs.values() for profile in theirs}
        mine: list[BatchrunError] = []
        others: list[BatchrunError] = []
        for problem in self.problems:
            if problem.job is not None:
                is_mine = problem.job in jobs
            else:
                is_mine = problem.profile is None or problem.profile in profiles
            (mine if is_mine else others).append(problem)
        return replace(self, problems=tuple(mine), others=(*self.others, *others))
