"""The key `output` of a job line, read: what is written besides `results.jsonl`, and all that is wrong with it."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from batchrun.jobfile.problems import Fault
from batchrun.jobfile.sources.parquet import parquet_fault
from batchrun.model import JobSettings, JsonObject, OutputSettings, SqliteTable

# What a column of a database may get. Those of STATE_VALUES are written for items without an answer too.
STATE_VALUES: Final = ("status", "cause", "message", "attempts")
ANSWER_VALUES: Final = (
    *("output", "finish", "model", "input_tokens"),
    *("cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
)
MEMBER: Final = "output."  # before the name of a key of answers that are objects
_DEFAULT_COLUMNS: Final = {"output": "output"}
_EMBEDDINGS: Final = "/v1/embeddings"
_IN_TEXT: Final = ("/v1/responses", "/v1/chat/completions", "/v1/completions")
# Parameters with which an answer may be an object: formats, calls, several answers.
_MAY_GIVE_OBJECTS: Final = frozenset(
    {"text", "response_format", "tools", "functions", "modalities"}
)


def output_settings(given: JsonObject, folder: Path) -> OutputSettings:
    """`given`, typed as the schema of the job line says; paths in it become absolute."""
    table = given.get("sqlite")
    return OutputSettings(
        files=given.get("files"),
        csv=given.get("csv", False),
        excel=given.get("excel", False),
        parquet=given.get("parquet", False),
        npy=given.get("npy", False),
        sqlite=None if table is None else _table(table, folder),
    )


def output_faults(output: OutputSettings, endpoint: str) -> Iterator[Fault]:
    """What cannot be written, told before anything is asked and paid."""
    if output.parquet and (fault := parquet_fault()):
        yield fault
    if output.npy and endpoint != _EMBEDDINGS:
        yield Fault(
            "'output.npy' is the matrix of embeddings",
            f'Leave it out, or ask for "endpoint": "{_EMBEDDINGS}".',
        )
    if output.sqlite is not None:
        yield from _column_faults(output.sqlite.key, output.sqlite.columns)


def output_warnings(settings: JobSettings) -> Iterator[Fault]:
    """Columns of a database that would stay empty: nothing that the job asks for gives such answers."""
    table = settings.output.sqlite
    for column, value in table.columns.items() if table is not None else ():
        if value.startswith(MEMBER) and (why := _never(settings, value.removeprefix(MEMBER))):
            yield Fault(
                f"'output.sqlite' gives column {column!r} the key {value!r}, and {why}",
                'Use "output", or a "schema" that has it.',
            )


def _never(settings: JobSettings, name: str) -> str | None:
    """Why no answer can have a key of this name, as far as the job line tells."""
    if settings.labels is not None:
        return "an answer with 'labels' is a text"
    schema = settings.schema
    if schema is not None:
        properties, is_closed = (
            schema.get("properties"),
            schema.get("additionalProperties") is False,
        )
        has_it = not is_closed or not isinstance(properties, dict) or name in properties
        return None if has_it else "the schema has no such property"
    if (
        settings.is_raw
        or settings.endpoint not in _IN_TEXT
        or not _MAY_GIVE_OBJECTS.isdisjoint(settings.body)
    ):
        return None
    return "the answers are texts: the job line has no 'schema'"


def _table(given: JsonObject, folder: Path) -> SqliteTable:
    return SqliteTable(
        path=os.path.normpath(folder / given["path"]),
        table=given["table"],
        key=given["key"],
        columns=given.get("columns") or _DEFAULT_COLUMNS,
        insert=given.get("insert", True),
    )


def _column_faults(key: str, columns: Mapping[str, str]) -> Iterator[Fault]:
    names = [key, *columns]
    if len({name.lower() for name in names}) < len(names):
        yield Fault(
            "a column is named twice in 'output.sqlite' (upper and lower case are one to SQLite)",
            "The key is written by itself: leave it out of 'columns'.",
        )
    known = (*ANSWER_VALUES, *STATE_VALUES)
    for column, value in columns.items():
        if value in known or (value.startswith(MEMBER) and value != MEMBER):
            continue
        near = difflib.get_close_matches(value, known, n=1)
        yield Fault(
            f"'output.sqlite' has nothing called {value!r} for column {column!r}",
            f"Did you mean {near[0]!r}?"
            if near
            else f"There is {', '.join(known)}, and {MEMBER}KEY for a key of answers that are objects.",
        )
