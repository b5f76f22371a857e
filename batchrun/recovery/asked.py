"""Which profiles may have been asked for jobs of which: a job's own, and the live twins that answered some of its items."""

from collections.abc import Iterable

from batchrun.backends.opening import service_folder
from batchrun.config import Config
from batchrun.ledger.home import Home


def asked_of(profiles: Iterable[str], config: Config, home: Home) -> dict[str, set[str]]:
    """These profiles and their live twins that have a folder in this home, each with those of `profiles` whose jobs it may have answered.

    Twins come last: they were asked what the others had not answered.
    """
    asked = {profile: {profile} for profile in sorted(profiles)}
    for profile in tuple(asked):
        for name in config.live_names(profile):
            if service_folder(home.path, config.profile(name)).exists():
                asked.setdefault(name, set()).add(profile)
    return asked
