"""From a profile to an open backend: the one place that knows which class stands behind which kind."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchrun.backends.accounts import account_of
from batchrun.backends.base import Backend
from batchrun.backends.credentials import has_tiers
from batchrun.clock import Clock
from batchrun.profiles import BackendKind, Profile

if TYPE_CHECKING:
    from batchrun.backends.live.responder import LiveResponder
    from batchrun.backends.live.streaming import OnDelta
    from batchrun.model import Account
    from batchrun.service.responders.base import Responder

SERVICE_FOLDER: Final = "service"  # in the home: the files and batches of the embedded service
DIRECT_FOLDER: Final = "direct"  # in the home: a folder for each direct profile


def service_folder(home: Path, profile: Profile) -> Path:
    """Where the embedded service of a local or direct profile keeps its files and batches."""
    if profile.kind is BackendKind.LOCAL:
        return home / SERVICE_FOLDER
    return home / DIRECT_FOLDER / profile.name.replace(":", "@")  # no file system minds that


def service_folders(home: Path) -> Iterator[Path]:
    """The folders of all embedded services that this home has, whatever its profiles are today."""
    folders = (home / SERVICE_FOLDER, *sorted((home / DIRECT_FOLDER).glob("*")))
    return (folder for folder in folders if (folder / "service.db").exists())


def open_backend(
    profile: Profile,
    *,
    home: Path,
    clock: Clock,
    is_patient: bool = True,
    on_delta: "OnDelta | None" = None,
) -> Backend:
    """The backend of a profile. Costs next to nothing: neither a connection nor a key nor a model is looked for before the first call.

    Waits between tries go through `clock`; not `is_patient`: each call is made once. `on_delta` is told of answers of a direct profile
    while they come. The caller closes the backend.
    """
    match profile.kind:
        case BackendKind.LOCAL:
            return _embedded(profile, home, clock, partial(_local_responder, profile))
        case BackendKind.DIRECT:
            responder = partial(live_responder, profile, clock, on_delta=on_delta)
            return _embedded(profile, home, clock, responder, account=partial(account_of, profile))
        case BackendKind.OPENAI:
            return _openai(profile, clock, is_patient=is_patient)


def live_responder(
    profile: Profile, clock: Clock, *, on_delta: "OnDelta | None" = None
) -> "LiveResponder":
    """What asks the server of a direct profile line by line, and tells `on_delta` of answers while they come. The caller closes it."""
    from batchrun.backends.openai_live import LiveClient

    def open_client() -> LiveClient:
        return LiveClient(profile, clock=clock)

    tiered = has_tiers(profile.base_url)
    if on_delta is not None:
        from batchrun.backends.live.streaming import StreamingResponder

        return StreamingResponder(
            open_client, profile.rates, clock, on_delta=on_delta, has_tiers=tiered
        )
    from batchrun.backends.live.responder import LiveResponder

    return LiveResponder(open_client, profile.rates, clock, has_tiers=tiered)


def check_installed(profile: Profile) -> None:
    """Raises BackendError naming what to install, where a local profile lacks its engine or its model. Starts nothing."""
    if profile.kind is BackendKind.LOCAL:
        from batchrun.service.responders.llama import find_model

        find_model(profile.model_file)


def _openai(profile: Profile, clock: Clock, *, is_patient: bool) -> Backend:
    from batchrun.backends.openai import OpenAIBackend

    if not is_patient:
        return OpenAIBackend(profile, clock=clock)
    from batchrun.backends.retrying import RetryingBackend

    def sleep(seconds: float) -> None:
        clock.sleep_until(clock.now() + round(seconds + 0.5))

    return RetryingBackend(
        OpenAIBackend(profile, clock=clock),
        sleep=sleep,
        random=random.random,  # spreads retries: nothing secret depends on it
    )


def _embedded(
    profile: Profile,
    home: Path,
    clock: Clock,
    responder: "Callable[[], Responder]",
    *,
    account: "Callable[[bytes], Account] | None" = None,
) -> Backend:
    from batchrun.backends.embedded import EmbeddedBackend

    return EmbeddedBackend(
        service_folder(home, profile),
        responder,
        clock,
        limits=profile.limits,
        account=account,
        traits=profile.traits,
    )


def _local_responder(profile: Profile) -> "Responder":
    from batchrun.service.responders.llama import LlamaResponder

    return LlamaResponder(profile.model_file)
