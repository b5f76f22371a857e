"""What `run`, `wait` and `tick` say at the end: the jobs that ended, what needs a person, and the exit code of it all."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from batchrun.cli.errors import error_json, show_error
from batchrun.cli.invocation import Invocation
from batchrun.cli.opening import home_option
from batchrun.cli.printing import counted, put, tell
from batchrun.clock import rfc3339
from batchrun.errors import BatchrunError

if TYPE_CHECKING:
    from batchrun.api import Batchrun
    from batchrun.looking import JobStatus


def ended_line(job: "JobStatus", option: str) -> str:
    """One line for a job that has no open items; where some failed, with the command that shows why."""
    found, items = job.counts, job.item_count
    head = f"{job.name} ({job.profile})"
    if found["succeeded"] == items:
        return f"{head}: done, {_all(items)} succeeded. Outputs: {job.outputs}"
    rest = [f"{found[name]:,} {name}" for name in ("failed", "cancelled") if found[name]]
    line = f"{head}: finished, {found['succeeded']:,} of {counted(items, 'item')} succeeded"
    line += f", {' and '.join(rest)}. Outputs: {job.outputs}"
    if found["failed"]:
        line += f". What to do: batchrun failures {job.label}{option}"
    return line


def _all(items: int) -> str:
    return "its one item" if items == 1 else f"all {items:,} items"


def open_line(job: "JobStatus", option: str, *, told: Collection[str] = ()) -> str:
    """One line for a job that is not done: how far it is and why it waits, but for reasons that stand above it already."""
    left = job.counts["pending"] + job.counts["in_flight"]
    parts = [f"{job.name} ({job.profile}): {left:,} of {counted(job.item_count, 'item')} open"]
    parts += [reason.rstrip(".") for reason in job.waiting if reason not in told]
    if job.next_at is not None:
        parts.append(f"next look {rfc3339(job.next_at)}")
    is_broke = job.is_stuck and not job.needs_resume
    lead = "Once there is room, go on with" if is_broke else "Go on with"
    line = f"{'; '.join(parts)}. {lead}: {goes_on(job, option)}"
    if is_broke and job.counts["succeeded"]:
        line += f". The answers so far: batchrun results {job.label} --format files{option}"
    return line


def goes_on(job: "JobStatus", option: str) -> str:
    """The command that goes on with an open job: waiting helps nothing where a person holds it, or a recovery must come first."""
    if job.is_home_held:
        return f"batchrun resume{option}"
    if job.needs_resume:
        return f"batchrun resume{option}"
    if job.held_since is not None or job.paused:
        return f"batchrun resume {job.label}{option}"
    if not job.is_held:
        tools = " --tools FILE" if job.open_calls else ""
        return f"batchrun wait {job.label}{tools}{option}"
    import shlex

    return f"batchrun recover {shlex.quote(job.source)} --backend {job.profile}{option}"


def show_jobs(
    batchrun: "Batchrun", jobs: Iterable["JobStatus"], *, told: Collection[str] = ()
) -> None:
    """The line of each job: of those that are done on stdout, with the causes of failure; the others are no result."""
    option = home_option(batchrun.home)
    for job in jobs:
        if job.is_open:
            tell(open_line(job, option, told=told))
            continue
        put(ended_line(job, option))
        if job.videos_until is not None and job.counts["succeeded"]:
            put(
                f"  The service keeps the videos until {rfc3339(job.videos_until)}. Fetch each from the path in its output: "
                "GET /v1/videos/{id}/content"
            )
        if job.counts["failed"]:
            for group in batchrun.failures((job.label,)):
                put(f"  {group.count:,} x {group.cause}: {group.title}")


def show_problems(
    problems: Sequence[BatchrunError], invocation: Invocation, *, told: Collection[str] = ()
) -> list[int]:
    """Each different problem once, but for those `told` already; returns the exit codes of all."""
    different = {problem.placed: problem for problem in problems}
    for message, problem in different.items():
        if message not in told:
            show_error(problem, invocation)
    return [problem.exit_code for problem in different.values()]


def pass_json(
    batchrun: "Batchrun",
    *,
    jobs: Sequence["JobStatus"],
    problems: Sequence[BatchrunError],
    next_at: int | None,
    notices: Sequence[dict[str, object]] = (),
) -> dict[str, object]:
    """The document of `run`, `wait` and `tick`."""
    from batchrun.cli.standing import status_json

    return {
        "home": str(batchrun.home.path),
        "jobs": [status_json(job) for job in jobs],
        "problems": [error_json(problem) for problem in problems],
        "next_at": None if next_at is None else rfc3339(next_at),
        "notices": list(notices),
    }
