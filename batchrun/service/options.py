"""How this service behaves where a Batch service is free to differ: its pace, its order, its windows, its quotas."""

from dataclasses import dataclass, field

UPLOAD_LIMIT_BYTES = 512_000_000  # OpenAI's Files API: 512 MB a file
DAY_S = 86_400
FILE_LIFE_S = 30 * DAY_S  # OpenAI: files of purpose "batch", and output files, live 30 days
ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The default is as fast as the responder; delays are seconds of the service's clock, and nothing ever sleeps for them.

    `validating_s`, `finalizing_s`, `cancelling_s`: how long a batch stays in that status at least. `line_s`: line k of a batch is not
    executed before `in_progress_at + k * line_s`. `shuffle_seed`: order of the lines in the output file; None is the order of
    completion. `windows`: accepted completion windows, in seconds; None: any, as long as it says. `models`: names that exist; None accepts any.
    `queue_tokens`: estimated prompt tokens that all unfinished batches of a model may hold together (the enqueued-token limit); None is no limit.
    `upload_bytes`: limit of one file.
    """

    validating_s: int = 0
    finalizing_s: int = 0
    cancelling_s: int = 0
    line_s: int = 0
    shuffle_seed: int | None = None
    endpoints: tuple[str, ...] = ENDPOINTS
    windows: dict[str, int] | None = field(default_factory=lambda: {"24h": DAY_S})
    models: frozenset[str] | None = None
    queue_tokens: int | None = None
    upload_bytes: int = UPLOAD_LIMIT_BYTES
