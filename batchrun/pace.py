"""How the live twin of a profile may be asked, by the settings."""

from batchrun.config import Config
from batchrun.endpoints import endpoint_of
from batchrun.errors import UsageError
from batchrun.planning.deadline import Pace


def pace_of(config: Config, profile: str, endpoint: str) -> Pace | None:
    """The pace of a profile's live twin; None where it has no other or is in no settings any more, or where this endpoint cannot be asked
    live.
    """
    if not endpoint_of(endpoint).is_live:
        return None
    try:
        twin = config.profile(config.live_twin(profile))
    except UsageError:
        return None  # the pass says so as soon as it has something to do with it
    if twin.name == profile:
        return None
    return Pace(
        profile=twin.name,
        concurrency=twin.rates.concurrency,
        requests_per_minute=twin.rates.requests_per_minute,
        tokens_per_minute=twin.rates.tokens_per_minute,
    )
