"""Plain values that more than one layer speaks of. Frozen, and free of I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

# The one place where `Any` is at home: decoded JSON.
Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]

ITEM_LINE_LIMIT_BYTES = (
    16_000_000  # a line of input or a rendered text longer than this is refused (docs/job-file.md)
)
RESULT_LINE_LIMIT_BYTES = 64_000_000  # a line of a result file longer than this is no answer: the largest body is a tenth of it

NAME_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"  # of jobs, tags and profiles

# The metadata by which batchrun knows its batches on a service. A job's own keys may not begin with the first.
# They stand on batches that were paid for: they never change.
TOKEN_KEY: Final = "batchrun"  # noqa: S105 - the name of a key of metadata
LEDGER_KEY: Final = "batchrun_ledger"
JOB_KEY: Final = "batchrun_job"
REQUESTS_KEY: Final = "batchrun_requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one input file may hold.

    Source: OpenAI's Batch guide: 50,000 requests, 200 MB, 50,000 embedding inputs. "MB" is not defined there; decimal is the safe reading.
    """

    request_count: int = 50_000
    input_bytes: int = 200_000_000
    embedding_inputs: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How a server may be asked line by line; 0 of something by the minute: no limit but the server's own.

    `concurrency`: requests under way at once, at most. `timeout_s`: how long the server may think about one request before it answers.
    """

    concurrency: int = 64
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteQuery:
    """Items from a database: `sqlite` is its absolute path, `query` one SELECT of which each row is an item."""

    sqlite: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteTable:
    """A table of the user's own database that gets the answers.

    `path` is absolute. `key` names the column that holds item ids; `columns` maps further columns to what is written into them, by the
    names of outputs/database.py. `insert`: an id that has no row gets one.
    """

    path: str
    table: str
    key: str
    columns: Mapping[str, str]
    insert: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """What is written besides `results.jsonl`: `files` is a template of a file name; `csv`, `excel` and `parquet` ask for the joined table,
    `npy` for the matrix of embeddings, `sqlite` for rows in a database.
    """

    files: str | None = None
    csv: bool = False
    excel: bool = False
    parquet: bool = False
    npy: bool = False
    sqlite: SqliteTable | None = None

    @property
    def has_table(self) -> bool:
        """Whether the items' own columns are joined to their answers, and so must be kept."""
        return self.csv or self.excel or self.parquet


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairSettings:
    """What is done about answers that cannot be used. Each step is paid for, so nothing is done unasked.

    `attempts`: how often an answer that breaks its schema or labels goes back with the reason; then, if there is a `model`, once more
    to that one. `max_output_tokens`: up to which cap a cut answer is asked again, with twice the room each time.
    """

    attempts: int = 0
    model: str | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """What goes first: so many `items` of each model. The rest waits until at most these shares of them failed or were cut.

    `is_live`: they are answered line by line, by the live twin of the job's profile.
    """

    items: int = 50
    max_failed: float = 0.1
    max_truncated: float = 0.1
    is_live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be spent in a day, in a month and ever, in picodollars; None: as much as needed. The soft ones bind nothing: they are told."""

    day: int | None = None
    month: int | None = None
    total: int | None = None
    soft_day: int | None = None
    soft_month: int | None = None
    soft_total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """A job line, read whole: files inlined, paths absolute, labels turned into `schema`. Stored with the job in the ledger,
    so that no later command opens the job file again.

    `endpoint` and `window` are spelled as the API spells them; without a window the profile's is used, and stored with the job. `is_raw` marks a ready Batch file: its items are requests already.
    `items` is an absolute path or glob, a query, or None for item lines under the job line in `path` (starting after `line`).
    `profile` is the backend or profile that the job line asks for. `attach` are templates of the files and links that go with each item.
    `dedupe`: whether equal requests are asked once; None: unless their answers are meant to differ. `cache`: answers to equal requests of earlier jobs will do.
    `deadline` is a time of day or a duration, as it stands in the job line. `uncertain`: "retry" asks again what may have been executed, and paid for, without an answer.
    `rounds`: how often calls of functions are run for one item, None where no function is offered; `tools` are those that are (name,
    description, parameters), from the command line and never from a job file.
    """

    name: str
    path: str
    line: int
    endpoint: str = "/v1/responses"
    model: str | None = None
    instructions: str | None = None
    prompt: str | None = None
    labels: tuple[str, ...] | None = None
    schema: JsonObject | None = None
    strict: bool = True
    body: JsonObject = field(default_factory=dict)
    body_unchecked: bool = False
    attach: tuple[str, ...] | None = None
    max_output_tokens: int | None = None
    items: str | SqliteQuery | None = None
    id: str | None = None
    missing: str = "drop"
    bad_items: int = 0
    max_new: int | None = None
    window: str | None = None
    deadline: str | None = None
    attempts: int = 3
    uncertain: str = "fail"
    repair: RepairSettings | None = None
    rounds: int | None = None
    tools: tuple[JsonObject, ...] = ()
    canary: CanarySettings | None = None
    dedupe: bool | None = None
    cache: bool = False
    tags: tuple[str, ...] = ()
    budget: Allowance | None = None
    profile: str = "openai"
    output: OutputSettings = field(default_factory=OutputSettings)
    metadata: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    is_raw: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the service counts them; those read from its cache and those written to it are part of input, reasoning part of output.

    `cache_write_tokens` is None where the service does not say it.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int | None = None
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose batches these are. `fingerprint` is a salted hash of the key: it tells keys apart and gives none away."""

    base_url: str
    organization: str = ""
    project: str = ""
    fingerprint: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Where its batches are, whichever key asks for them: address, organisation, project."""
        return self.base_url, self.organization, self.project
