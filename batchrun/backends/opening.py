"""From a profile to an open backend: the one place that knows which class stands behind which kind."""

import random
from pathlib import Path

from batchrun.backends.base import Backend
from batchrun.clock import Clock
from batchrun.config import BackendKind, Profile

SERVICE_FOLDER = "service"  # in the home: the files and batches of the embedded service


def open_backend(profile: Profile, *, home: Path, clock: Clock, is_patient: bool = True) -> Backend:
    """The backend of a profile. Costs next to nothing: neither a connection nor a key nor a model is looked for before the first call.

    Waits between tries go through `clock`; not `is_patient`: each call is made once. The caller closes the backend.
    """
    if profile.kind is BackendKind.LOCAL:
        return _embedded(profile, home, clock)
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


def check_installed(profile: Profile) -> None:
    """Raises BackendError naming what to install, where a local profile lacks its engine or its model. Starts nothing."""
    if profile.kind is BackendKind.LOCAL:
        from batchrun.service.responders.llama import find_model

        find_model(profile.model_file)


def _embedded(profile: Profile, home: Path, clock: Clock) -> Backend:
    from batchrun.backends.embedded import EmbeddedBackend
    from batchrun.service.responders.base import Responder

    def responder() -> Responder:
        from batchrun.service.responders.llama import LlamaResponder

        return LlamaResponder(profile.model_file)

    return EmbeddedBackend(home / SERVICE_FOLDER, responder, clock, limits=profile.limits)
