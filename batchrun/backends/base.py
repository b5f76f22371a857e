"""The contract of a backend: nine calls on files and batches, and what may be assumed of the service behind them.

Who retries what: a backend makes each call once. `retrying.py` wraps one and repeats the idempotent calls (seconds); the planner
repeats what outlives a process (hours). Nobody ever repeats `create` without looking first.

Every call raises only the errors of `batchrun.errors`:

| raised       | by                | means                                                                        |
|--------------|-------------------|------------------------------------------------------------------------------|
| Transient    | all but `create`  | not answered; the call is safe to repeat                                     |
| Transient    | `create`          | provably not sent (connection refused, DNS, TLS), or a 429: there is no batch |
| Ambiguous    | `create` only     | timeout, reset, 3xx, 408, 409, 5xx, not JSON, 2xx that cannot be read        |
| Refused      | all               | a typed JSON refusal (400 413 422 …): no effect, and none if repeated        |
| NotFound     | all               | 404 of a typed JSON answer; anything else with 404 is Transient (a proxy)    |
| AuthError    | all               | 401, 403                                                                     |
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from batchrun.model import Account, JsonObject, Limits


class AttachMode(StrEnum):
    """How attachments travel: as data in each request, uploaded once and referred to, or whichever keeps input files small."""

    INLINE = "inline"
    UPLOAD = "upload"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a service promises; it belongs to the profile, since no server says it of itself.

    `settle_s`: first wait before an absent batch may be fenced; `second_settle_s`: wait after the fence (see docs/guarantees.md).
    `refusals_final`: a typed 4xx answer to `create` means that there is no batch.
    `listing_echoes`: listings show our metadata or input file id; without it an unknown create can be settled by the user only.
    `poll_s`: seconds between polls of a young batch. `executes_in_process`: lines run inside our own pass (`work`).
    `retry_delays_s`: how long a request that failed waits after its 1st, 2nd, and every later spent attempt.
    `attach`: how attachments get there, where the endpoint leaves a choice.
    """

    settle_s: int = 900
    second_settle_s: int = 3600
    refusals_final: bool = True
    listing_echoes: bool = True
    poll_s: int = 60
    executes_in_process: bool = False
    retry_delays_s: tuple[int, ...] = (60, 600, 3_600)
    attach: AttachMode = AttachMode.AUTO


# Lines run in our own process, durable in our own folder: nothing lags, and nothing is in doubt. Waiting for a local model to recover
# would be waiting for ourselves; a server behind a direct profile is others' too, and is given as long as an overload lasts.
LOCAL_TRAITS: Final = Traits(
    settle_s=0,
    second_settle_s=0,
    poll_s=0,
    executes_in_process=True,
    attach=AttachMode.INLINE,
    retry_delays_s=(0,),
)
DIRECT_TRAITS: Final = replace(LOCAL_TRAITS, retry_delays_s=(5, 30, 120))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file on the service. `created_at` is the service's own clock, `bytes` its count."""

    id: str
    bytes: int
    created_at: int
    filename: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A batch as the service shows it, read defensively: servers differ in case, null, and type (facts in docs/backends.md).

    `status` is lower case. File ids that are null or "" are None. `errors` are the batch's own, each {code, message, line, param}
    with strings or None. Counts that are absent are 0. `endpoint` begins with /v1, whether or not the service writes it; `ended_at` is
    when the batch came to its end, whichever it was. `raw` is the whole JSON object as received.
    """

    id: str
    status: str
    input_file_id: str | None
    created_at: int
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    expires_at: int | None = None
    ended_at: int | None = None
    endpoint: str | None = None
    window: str | None = None
    total_count: int = 0
    completed_count: int = 0
    failed_count: int = 0
    metadata: dict[str, str]
    errors: tuple[JsonObject, ...] = ()
    usage_total_tokens: int = 0
    raw: JsonObject


TERMINAL_STATUSES = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """One page of a listing, newest first. `server_time` is the answer's `Date` header in unix seconds, if it had one."""

    batches: tuple[RemoteBatch, ...]
    has_more: bool
    server_time: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """One page of the files that were uploaded for batches, newest first."""

    files: tuple[RemoteFile, ...]
    has_more: bool


class Backend(Protocol):
    """The nine calls. Implementations are cheap to construct; the connection is made by the first call."""

    @property
    def traits(self) -> Traits:
        """What may be assumed of the service."""
        ...

    @property
    def limits(self) -> Limits:
        """What one input file may hold here."""
        ...

    def account(self, salt: bytes) -> Account:
        """Whose batches these are. Raises AuthError when there is no key (offline: no call is made)."""
        ...

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        """POST /files, streamed from disk. Not idempotent, but an orphan is free: may be repeated. An attachment's type follows from its `name`."""
        ...

    def get_file(self, file_id: str) -> RemoteFile:
        """GET /files/{id}."""
        ...

    def delete_file(self, file_id: str) -> bool:
        """DELETE /files/{id}; True only if the service answered `deleted: true`."""
        ...

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        """GET /files of one purpose, newest first, `limit` 1..10000. For house-keeping only: a server may refuse it."""
        ...

    def download(self, file_id: str, path: Path) -> int:
        """GET /files/{id}/content, streamed into a new file `path` (0600), fsynced; returns its bytes.

        The caller gives a temp name and renames. Raises Transient where the body is shorter than FileObject.bytes or has no final
        newline twice in a row with different sizes; never leaves a partial file behind.
        """
        ...

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        """POST /batches, once. The only call that costs money; see the table above for its errors."""
        ...

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """GET /batches/{id}."""
        ...

    def cancel(self, batch_id: str) -> RemoteBatch:
        """POST /batches/{id}/cancel; a batch that has ended is returned as it is, not an error."""
        ...

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        """GET /batches, newest first, `limit` 1..100."""
        ...

    def work(
        self, seconds: float, *, resting: frozenset[str] = frozenset(), goes_on: bool = False
    ) -> int | None:
        """Where `traits.executes_in_process`: execute lines for at most `seconds`, but none of the batches (ids) in `resting`. Returns None where none is left, else
        from when on (unix seconds) there is something to do: not after now, unless a server wants nothing before. Elsewhere: None at once.
        `goes_on`: another `work` or `close` follows at once, and lines may stay under way until then.
        """
        ...

    def close(self) -> None:
        """Free connections and child processes. Idempotent."""
        ...
