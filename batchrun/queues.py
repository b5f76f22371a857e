"""Which queue of tokens a batch goes into, by the settings."""

from typing import Final

from batchrun.config import Config
from batchrun.planning.queuefacts import Queue, QueueKey
from batchrun.profiles import DEFAULT_ACCOUNT, Profile

_ANY: Final = "*"  # any other model


def queue_of(config: Config, profile: str, model: str) -> Queue | None:
    """The queue of a profile's batches for a model; None where the profile has none, or is in no settings any more.

    Profiles that name the same account share its queues, and so do those of one address that name none. The least that one of them allows counts.
    """
    found = config.find(profile)
    if found is None or found.traits.executes_in_process:
        return None
    whose = _whose(found)
    allowed = [
        tokens
        for other in config.profiles.values()
        if _whose(other) == whose and (tokens := _tokens(other, model)) is not None
    ]
    return Queue(QueueKey(whose, model), min(allowed, default=None))


def _whose(profile: Profile) -> str:
    """The account, or in its place the address: who names none has one for each service."""
    return profile.account if profile.account != DEFAULT_ACCOUNT else profile.base_url


def _tokens(profile: Profile, model: str) -> int | None:
    return profile.queue_tokens.get(model, profile.queue_tokens.get(_ANY))
