"""The job line: its keys, their types and their documentation, in one pydantic model.

The model is built on first use, since pydantic takes longer to import than most commands to run. Its error messages speak of types and
constraints; people get one sentence a key instead, from `EXPECTED`.
"""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

from batchrun.jobfile.problems import Fault
from batchrun.jobfile.strict import kind_of
from batchrun.model import Json, JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel

NAME_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
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
LATER_KEYS: Final = frozenset({"budget", "tags", "cache"})
FOREIGN_KEYS: Final = frozenset(
    {
        "base_url",
        "api_key",
        "api_key_env",
        "api_key_file",
        "api_key_command",
        "organization",
        "project",
    }
)
DEADLINE_PATTERN: Final = (
    r"^(?:(?:[01]?[0-9]|2[0-3]):[0-5][0-9]|[1-9][0-9]{0,3}[mh])$"  # read by planning/deadline.py
)
ATTEMPTS_LIMIT: Final = 100
REPAIRS_LIMIT: Final = 10
ATTACHMENTS_LIMIT: Final = 100  # templates of one job line
ROUNDS_LIMIT: Final = 50
CANARY_LIMIT: Final = 10_000  # items: each is looked at whenever it is asked how the canary stands
SHOWN_CHARACTERS: Final = 100
SHOWN_NAMES: Final = 5

EXPECTED: Final = {
    "job": "a name of 1 to 64 letters, digits, '.', '_' or '-'",
    "endpoint": f"one of {', '.join(map(repr, ENDPOINTS))}",
    "model": "a model's name",
    "instructions": 'a string or {"file": path}',
    "prompt": 'a string or {"file": path}',
    "labels": "a list of strings",
    "schema": "a JSON Schema object or the path of one",
    "strict": "true or false",
    "body": "an object",
    "body_unchecked": "true or false",
    "attach": "a template of a path or link, or a list of these",
    "max_output_tokens": "a whole number from 1",
    "items": 'a path, a glob or {"sqlite": path, "query": sql}',
    "id": "a template",
    "missing": "'drop' or 'keep'",
    "bad_items": "a whole number from 0",
    "max_new": "a whole number from 1",
    "window": "a time such as '24h'",
    "deadline": "a time of day such as '06:00', or a time from the submit on such as '8h' or '90m'",
    "attempts": f"a whole number from 1 to {ATTEMPTS_LIMIT}",
    "uncertain": "'fail' or 'retry'",
    "repair": 'an object such as {"attempts": 2, "model": "gpt-5.2", "max_output_tokens": 8000}',
    "canary": 'an object such as {"items": 50, "max_failed": 0.1, "max_truncated": 0.1}',
    "rounds": f"a whole number from 1 to {ROUNDS_LIMIT}",
    "backend": "'openai', 'local', 'direct' or the name of a profile in batchrun.toml",
    "output": 'an object such as {"files": "{{ id }}.md", "csv": true}',
    "metadata": "an object of strings",
    "note": "a string",
}


_TABLE: Final = 'an object such as {"path": "shop.db", "table": "reviews", "key": "id", "columns": {"mood": "output"}}'


def valid_name(stem: str) -> str:
    """A file's stem as a job name: whatever may not stand in one becomes `-`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:NAME_CHARACTERS]
    return name if name.strip(".-") else "batch"


def job_line_schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) of a job line, every key described; for editors."""
    schema = _model().model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "batchrun job line",
        "description": "One line of a batchrun job file that defines a job; see docs/job-file.md.",
    }


def validate_job_line(line: JsonObject) -> Iterator[tuple[str, Fault]]:
    """Every fault of a job line's keys and types with its key, one a key. The other keys are known and typed as in the schema."""
    known = {}
    for key, value in line.items():
        if key in EXPECTED:
            known[key] = value
        else:
            yield key, _unknown(key)
    yield from _later(known)
    yield from _mistyped(known)


def _unknown(key: str) -> Fault:
    if key == "tools":
        return Fault(
            "key 'tools': code never comes from a job file",
            "Name the file of functions on the command line, --tools FILE.py, and give 'rounds' here. "
            "Tools that the service runs go into 'body'.",
        )
    if key in LATER_KEYS:
        return Fault(f"key {key!r} is not in this version", "Remove it.")
    if key in FOREIGN_KEYS:
        return Fault(
            f"key {key!r} does not belong in a job file",
            'Put it into a [profile.NAME] of batchrun.toml and name that: "backend": "NAME".',
        )
    near = difflib.get_close_matches(key, EXPECTED, n=1)
    return Fault(
        f"unknown key {key!r}",
        f"Did you mean {near[0]!r}?" if near else "Request parameters go into 'body'.",
    )


def _later(known: JsonObject) -> Iterator[tuple[str, Fault]]:
    """What is designed but not built, taken out of `known` so that no second message follows."""
    items = known.get("items")
    if isinstance(items, dict) and "job" in items:
        del known["items"]
        yield (
            "items",
            Fault(
                'items from {"job": …} are not in this version',
                "Name the results.jsonl of that job.",
            ),
        )


def _mistyped(known: JsonObject) -> Iterator[tuple[str, Fault]]:
    from pydantic import ValidationError

    try:
        _model().model_validate(known)
    except ValidationError as error:
        details: dict[str, list[tuple[str, tuple[str | int, ...]]]] = {}
        for detail in error.errors(include_url=False):
            details.setdefault(str(detail["loc"][0]), []).append((detail["type"], detail["loc"]))
        for key, found in details.items():
            yield key, _mistyped_fault(key, found, known.get(key))


def _mistyped_fault(
    key: str, details: list[tuple[str, tuple[str | int, ...]]], value: Json
) -> Fault:
    """`details` are pydantic's: its word for each error, and the way to it."""
    must = f"{key!r} must be {EXPECTED[key]}"
    table = value.get("sqlite") if key == "output" and isinstance(value, dict) else None
    if isinstance(table, dict) and all(way[1:2] == ("sqlite",) for _, way in details):
        must, value = f"'output.sqlite' must be {_TABLE}", table
        details = [(kind, (way[0], *way[2:])) for kind, way in details]
    if details[0][0] == "missing" and value is None:
        return Fault(f"no {key!r}", f"It is {EXPECTED[key]}.")
    if key == "items" and isinstance(value, list):
        return Fault(
            "'items' must be a path, a glob or a query, not a list",
            "Put items on lines of their own.",
        )
    # Of the branches of a union, those that can name something inside say most.
    inside = dict.fromkeys(name for _, way in details if (name := _name_inside(key, way, value)))
    if inside:
        return Fault(f"{must}; the trouble is {_and(list(inside))}")
    missing = dict.fromkeys(str(way[-1]) for kind, way in details if kind == "missing")
    if isinstance(value, dict) and missing:
        return Fault(f"{must}; there is no {_and(list(missing))}")
    return Fault(f"{must}, not {_shown(value)}")


def _name_inside(key: str, way: tuple[str | int, ...], value: Json) -> str:
    """What within the value of `key` the way leads to: `xlsx`, `sqlite.path`, `labels[1]`; nothing where it leads to the value itself, or to what is not there."""
    name, is_there = "", False
    for step in way[1:]:
        is_there = False
        if isinstance(value, dict) and step in value:
            name = f"{name}.{step}" if name else str(step)
            value, is_there = value[str(step)], True
        elif isinstance(value, list) and isinstance(step, int):
            name = f"{name or key}[{step}]"
            value, is_there = value[step], True
    return name if is_there else ""


def _and(names: list[str]) -> str:
    *most, last = map(repr, names[:SHOWN_NAMES])
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{', '.join(most)} and {last}" if most and not rest else ", ".join((*most, last)) + rest


def _shown(value: Json) -> str:
    """A value of the job line: these are the user's own settings and may be quoted, shortened."""
    text = repr(value) if isinstance(value, str | int | float) else kind_of(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


@cache
def _model() -> "type[BaseModel]":
    from pydantic import BaseModel, ConfigDict, Field

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
