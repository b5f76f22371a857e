"""The keys of a job line, their types, bounds and descriptions, in one pydantic model; `batchrun schema` prints it for editors.

It is built on first use, since pydantic takes longer to import than most commands to run.
"""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

from batchrun.model import NAME_PATTERN, JsonObject
from batchrun.money.amounts import LIMIT_DOLLARS

if TYPE_CHECKING:
    from pydantic import BaseModel

NAME_CHARACTERS: Final = 64
# Those that the Batch API takes, as the SDK's `batches.create` lists them.
ENDPOINTS: Final = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
DEADLINE_PATTERN: Final = (
    r"^(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9]|[1-9][0-9]{0,3}[mh])$"  # read by planning/deadline.py
)
ATTEMPTS_LIMIT: Final = 100
REPAIRS_LIMIT: Final = 10
ATTACHMENTS_LIMIT: Final = 100  # templates of one job line
ROUNDS_LIMIT: Final = 50
TAGS_LIMIT: Final = 20
CANARY_LIMIT: Final = 10_000  # items: each is looked at whenever it is asked how the canary stands


@cache
def job_line_model() -> "type[BaseModel]":
    """The model, strict, by the keys' names as they are written (`schema`, not `schema_`)."""
    from pydantic import BaseModel, ConfigDict, Field

    dollars = Annotated[float, Field(ge=0, le=LIMIT_DOLLARS)]

    class TextFile(BaseModel):
        """A text that stands in a file of its own (UTF-8), named relative to the job file."""

        model_config = ConfigDict(extra="forbid", strict=True)
        file: Annotated[str, Field(min_length=1, description="Path, relative to the job file.")]

    class Query(BaseModel):
        """Items from a SQLite database, which is only read."""

        model_config = ConfigDict(extra="forbid", strict=True)
        sqlite: Annotated[
            str, Field(min_length=1, description="The database; relative to the job file.")
        ]
        query: Annotated[str, Field(min_length=1, description="One SELECT: an item a row.")]

    class Table(BaseModel):
        """A table of a SQLite database that gets the answers."""

        model_config = ConfigDict(extra="forbid", strict=True)
        path: Annotated[
            str,
            Field(
                min_length=1,
                description="The database, relative to the job file; made if it is missing.",
            ),
        ]
        table: Annotated[str, Field(min_length=1, description="The table; made if it is missing.")]
        key: Annotated[
            str, Field(min_length=1, description="The column that holds item ids, each once.")
        ]
        columns: Annotated[
            dict[str, str] | None,
            Field(
                description="Which columns get what: `output`, `output.KEY`, `status`, ….",
            ),
        ] = None
        insert: Annotated[
            bool, Field(description="An id that has no row gets one; else it is passed over.")
        ] = True

    class Output(BaseModel):
        """What is written besides `results.jsonl`."""

        model_config = ConfigDict(extra="forbid", strict=True)
        files: Annotated[
            str | None, Field(min_length=1, description="One file an item: a template of its name.")
        ] = None
        csv: Annotated[bool, Field(description="Write the joined table results.csv.")] = False
        excel: Annotated[
            bool, Field(description="Write the joined table for Excel, results.excel.csv.")
        ] = False
        parquet: Annotated[bool, Field(description="Write the joined table results.parquet.")] = (
            False
        )
        npy: Annotated[bool, Field(description="Embeddings: write the matrix embeddings.npy.")] = (
            False
        )
        sqlite: Annotated[
            Table | None, Field(description="Write answers into a table of a SQLite database.")
        ] = None

    class Repair(BaseModel):
        """What is done about answers that cannot be used. Every step is paid for."""

        model_config = ConfigDict(extra="forbid", strict=True)
        attempts: Annotated[
            int,
            Field(
                ge=0,
                le=REPAIRS_LIMIT,
                description="How often an answer that breaks its schema or labels goes back with the reason.",
            ),
        ] = 0
        model: Annotated[
            str | None, Field(min_length=1, description="The model that is asked last, once.")
        ] = None
        max_output_tokens: Annotated[
            int | None,
            Field(
                ge=1, description="A cut answer is asked again with twice the cap, up to this one."
            ),
        ] = None

    class Canary(BaseModel):
        """A few items go first; the rest is sent when no more than these shares of them failed."""

        model_config = ConfigDict(extra="forbid", strict=True)
        items: Annotated[
            int, Field(ge=1, le=CANARY_LIMIT, description="How many, of each model.")
        ] = 50
        max_failed: Annotated[
            float,
            Field(ge=0, le=1, description="Of them, the share that may fail; cut answers apart."),
        ] = 0.1
        max_truncated: Annotated[
            float, Field(ge=0, le=1, description="The share whose answer may be cut.")
        ] = 0.1
        live: Annotated[
            bool, Field(description="Have them answered at once, at the price of single requests.")
        ] = False

    class Budget(BaseModel):
        """What the job may spend, in dollars. Soft limits are told, and bind nothing."""

        model_config = ConfigDict(extra="forbid", strict=True)
        day: Annotated[dollars | None, Field(description="In a calendar day.")] = None
        month: Annotated[dollars | None, Field(description="In a calendar month.")] = None
        total: Annotated[dollars | None, Field(description="Ever.")] = None
        soft_day: Annotated[dollars | None, Field(description="As `day`, only told.")] = None
        soft_month: Annotated[dollars | None, Field(description="As `month`, only told.")] = None
        soft_total: Annotated[dollars | None, Field(description="As `total`, only told.")] = None

    class JobLine(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        job: Annotated[
            str,
            Field(pattern=NAME_PATTERN, description="The job's name; results are found under it."),
        ]
        endpoint: Annotated[
            Literal[
                "/v1/responses",
                "/v1/chat/completions",
                "/v1/embeddings",
                "/v1/completions",
                "/v1/moderations",
                "/v1/images/generations",
                "/v1/images/edits",
                "/v1/videos",
            ],
            Field(description="The endpoint that answers."),
        ] = "/v1/responses"
        model: Annotated[
            str | None,
            Field(
                min_length=1,
                description="Model id (a deployment name on Azure). Required unless every item gives one.",
            ),
        ] = None
        instructions: Annotated[
            str | TextFile | None,
            Field(
                description="System message; a template like `prompt`. For /v1/responses and chat."
            ),
        ] = None
        prompt: Annotated[
            str | TextFile | None,
            Field(
                description="Template over the item's fields. Default: `{{ input }}` if items have a field `input`."
            ),
        ] = None
        labels: Annotated[
            list[str] | None,
            Field(
                description="Classification: the answer is one of these (2 or more, different). Excludes `schema`."
            ),
        ] = None
        schema_: Annotated[
            JsonObject | str | None,
            Field(
                alias="schema",
                description="JSON Schema of the answer, inline or a path; `$ref` only within it. Excludes `labels`.",
            ),
        ] = None
        strict: Annotated[
            bool,
            Field(
                description="Ask for output that cannot but fit the schema. With false it is a wish, and answers are still checked."
            ),
        ] = True
        body: Annotated[
            JsonObject,
            Field(
                description="Further request parameters, sent as they are; an item's own `body` wins over it."
            ),
        ] = {}
        body_unchecked: Annotated[
            bool, Field(description="Send parameters that the endpoint is not known to have.")
        ] = False
        attach: Annotated[
            Annotated[str, Field(min_length=1)]
            | Annotated[
                list[Annotated[str, Field(min_length=1)]],
                Field(min_length=1, max_length=ATTACHMENTS_LIMIT),
            ]
            | None,
            Field(
                description="Files or image links that go with each item: a template, or a list. Paths are relative to the job file."
            ),
        ] = None
        max_output_tokens: Annotated[
            int | None,
            Field(
                ge=1,
                description="Cap on each answer, reasoning included. For endpoints that answer in text.",
            ),
        ] = None
        items: Annotated[
            Annotated[str, Field(min_length=1)] | Query | None,
            Field(
                description="Data: path or glob of JSONL, CSV, TSV, Parquet or text files, or a query. Default: the item lines below.",
            ),
        ] = None
        id: Annotated[
            str | None,
            Field(min_length=1, description="Template of the item id. Default: the field `id`."),
        ] = None
        missing: Annotated[
            Literal["drop", "keep"],
            Field(
                description="Items of an earlier submit that are gone: drop from the outputs, or keep."
            ),
        ] = "drop"
        bad_items: Annotated[
            int,
            Field(
                ge=0, description="Up to this many bad items are failures, and the rest is sent."
            ),
        ] = 0
        max_new: Annotated[
            int | None, Field(ge=1, description="Most items that one submit may queue.")
        ] = None
        window: Annotated[
            str | None,
            Field(
                pattern=r"^[1-9][0-9]{0,3}[hd]$",
                description="The batch's completion window; without it, the profile's.",
            ),
        ] = None
        deadline: Annotated[
            str | None,
            Field(
                pattern=DEADLINE_PATTERN,
                description="When all should be answered: what is open half an hour before goes on live, at the full price.",
            ),
        ] = None
        attempts: Annotated[
            int, Field(ge=1, le=ATTEMPTS_LIMIT, description="Attempts that an item may spend.")
        ] = 3
        uncertain: Annotated[
            Literal["fail", "retry"],
            Field(
                description="A request that may have been executed without an answer fails, or is asked again for an attempt."
            ),
        ] = "fail"
        repair: Annotated[
            Repair | None,
            Field(
                description="Answers that cannot be used go back with the reason. Default: they are failures."
            ),
        ] = None
        rounds: Annotated[
            int | None,
            Field(
                ge=1,
                le=ROUNDS_LIMIT,
                description="Offer the functions of `--tools`, and run what is called, up to this often an item.",
            ),
        ] = None
        canary: Annotated[
            Canary | None,
            Field(description="The first items go alone; the rest waits for what becomes of them."),
        ] = None
        tags: Annotated[
            list[Annotated[str, Field(pattern=NAME_PATTERN)]],
            Field(
                max_length=TAGS_LIMIT,
                description="Whose or what for it is: spending is told apart by them, and limits may name them.",
            ),
        ] = []
        budget: Annotated[
            dollars | Budget | None,
            Field(
                description="What the job may spend: dollars ever, or by the day and the month. What does not fit waits."
            ),
        ] = None
        dedupe: Annotated[
            bool | None,
            Field(
                description="Ask equal requests once and answer all of them. Default: unless their answers are meant to differ."
            ),
        ] = None
        cache: Annotated[
            bool,
            Field(description="Take answers that earlier jobs got to the very same requests."),
        ] = False
        backend: Annotated[
            str,
            Field(
                pattern=NAME_PATTERN,
                description="`openai`, `local`, `direct`, or a profile of batchrun.toml.",
            ),
        ] = "openai"
        output: Annotated[
            Output | None,
            Field(description="Per-item files and joined tables, besides results.jsonl."),
        ] = None
        metadata: Annotated[
            dict[str, str],
            Field(description="Up to 10 pairs sent with each batch; `batchrun*` is reserved."),
        ] = {}
        note: Annotated[str | None, Field(description="For people.")] = None

    return JobLine
