"""Until when nothing may be sent with a profile, or for a job. Pure."""

from batchrun.planning.facts import JobFacts, Snapshot
from batchrun.planning.policy import FOREVER


def held_until(snapshot: Snapshot, profile: str, model: str) -> int:
    """Before when nothing of this model ("" means any) is sent with the profile; 0 where nothing holds it."""
    return max(
        (until for p, m, until in snapshot.holds if p == profile and m in ("", model)), default=0
    )


def job_held_until(snapshot: Snapshot, job: JobFacts, model: str) -> int:
    """Before when no batch of a job is made. A hold that only a person ends, on its own profile, stops what goes elsewhere too."""
    own = held_until(snapshot, job.profile, model)
    there = held_until(snapshot, job.sends_to, model)
    return max(own, there) if own >= FOREVER else there
