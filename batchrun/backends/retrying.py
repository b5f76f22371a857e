"""A backend that repeats the idempotent calls of another one for some seconds: exponential, with full jitter, Retry-After honoured.

It is the only owner of retries in seconds; the planner owns those in hours. So it gives up early where only hours help: a wait of more
than two minutes, a used-up quota, and, after one call was given up, every further call until one gets through again (a pass over 200
batches must not wait five times on each of them). `create` passes straight through: nobody repeats it without looking first.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from batchrun.backends.base import Backend, BatchPage, FilePage, RemoteBatch, RemoteFile, Traits
from batchrun.errors import Transient
from batchrun.model import Account, Limits

TRIES = 5
LEAST_WAIT_S = 1.0
MOST_WAIT_S = 60.0
MOST_RETRY_AFTER_S = (
    120.0  # where the service asks for more, the planner waits, and the pass goes on
)

# A 429 with one of these codes is no matter of seconds.
_HOPELESS_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
)

_Answer = TypeVar("_Answer")


class RetryingBackend:
    """`Backend` around `inner`. `sleep` takes seconds; `random` gives numbers from 0 to 1."""

    def __init__(
        self, inner: Backend, *, sleep: Callable[[float], None], random: Callable[[], float]
    ) -> None:
        self._inner = inner
        self._sleep = sleep
        self._random = random
        self._tries = TRIES

    def __repr__(self) -> str:
        return f"RetryingBackend({self._inner!r})"

    @property
    def traits(self) -> Traits:
        """As `inner` says."""
        return self._inner.traits

    @property
    def limits(self) -> Limits:
        """As `inner` says."""
        return self._inner.limits

    def account(self, salt: bytes) -> Account:
        """As `inner` says; no call is made."""
        return self._inner.account(salt)

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        """May leave an orphan for each try; they are free, and found again by their name."""
        return self._repeated(
            partial(
                self._inner.upload,
                path,
                name=name,
                expires_after_s=expires_after_s,
                purpose=purpose,
            )
        )

    def get_file(self, file_id: str) -> RemoteFile:
        """Repeated."""
        return self._repeated(partial(self._inner.get_file, file_id))

    def delete_file(self, file_id: str) -> bool:
        """Repeated; a second try may find the file gone, which is NotFound."""
        return self._repeated(partial(self._inner.delete_file, file_id))

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        """Repeated, page by page."""
        return self._repeated(
            partial(self._inner.list_files, after=after, limit=limit, purpose=purpose)
        )

    def download(self, file_id: str, path: Path) -> int:
        """Repeated from the first byte; a try that fails leaves no file."""
        return self._repeated(partial(self._inner.download, file_id, path))

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        """Made once."""
        return self._inner.create(
            input_file_id=input_file_id, endpoint=endpoint, window=window, metadata=metadata
        )

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """Repeated."""
        return self._repeated(partial(self._inner.retrieve, batch_id))

    def cancel(self, batch_id: str) -> RemoteBatch:
        """Repeated: a batch that is already being cancelled comes back as it is."""
        return self._repeated(partial(self._inner.cancel, batch_id))

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        """Repeated, page by page."""
        return self._repeated(partial(self._inner.list_batches, after=after, limit=limit))

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        """Made once: the service in this process keeps its own account of what it did."""
        return self._inner.work(seconds, resting=resting, goes_on=goes_on)

    def close(self) -> None:
        """Close `inner`."""
        self._inner.close()

    def _repeated(self, call: Callable[[], _Answer]) -> _Answer:
        if self._tries == 1:
            answer = call()
        else:
            try:
                answer = self._with_patience(call)
            except Transient:
                self._tries = 1
                raise
        self._tries = TRIES
        return answer

    def _with_patience(self, call: Callable[[], _Answer]) -> _Answer:
        from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

        def wait_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            return self._wait_s(state.attempt_number, error)

        engine = Retrying(
            retry=retry_if_exception(_is_worth_a_retry),
            stop=stop_after_attempt(self._tries),
            wait=wait_s,
            sleep=self._sleep,
            reraise=True,
        )
        return engine(call)

    def _wait_s(self, tries: int, error: BaseException | None) -> float:
        """Before try `tries + 1`: what the service asks for, or from 1 s to 4, 8, 16, 32 s by chance."""
        if isinstance(error, Transient) and error.retry_after_s is not None:
            return max(error.retry_after_s, LEAST_WAIT_S) + self._random()
        window_s = min(MOST_WAIT_S, 2.0 ** (tries + 1))
        return LEAST_WAIT_S + (window_s - LEAST_WAIT_S) * self._random()


def _is_worth_a_retry(error: BaseException) -> bool:
    return (
        isinstance(error, Transient)
        and error.code not in _HOPELESS_CODES
        and (error.retry_after_s is None or error.retry_after_s <= MOST_RETRY_AFTER_S)
    )
