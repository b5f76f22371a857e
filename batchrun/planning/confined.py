"""A snapshot without all but a few batches: for who wants these brought to their end, and everything else left as it stands. Pure."""

from dataclasses import dataclass, replace

from batchrun.planning.facts import JobFacts, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """The batches of a job that may be gone on with. `writes`: the job's outputs too, where nothing of it is open any more."""

    job: int
    batches: frozenset[int]
    writes: bool


def confined(snapshot: Snapshot, to: Confined) -> Snapshot:
    """What of a snapshot planning may act upon: nothing new of any job, no batch but those, no house-keeping."""
    return replace(
        snapshot,
        batches=tuple(batch for batch in snapshot.batches if batch.id in to.batches),
        # Anew, and not changed: whatever else a job may be waiting for is none of the matter.
        jobs=tuple(
            JobFacts(
                id=job.id,
                profile=job.profile,
                has_open_items=job.has_open_items,
                is_stale=job.is_stale and to.writes,
                is_paused=job.is_paused,
                is_held=job.is_held,
                has_calls=job.has_calls,
            )
            for job in snapshot.jobs
            if job.id == to.job
        ),
        untidy=(),
    )
