"""What is wrong with a job line, key by key. The messages of the model speak of types and constraints; people get one sentence a key instead,
from `EXPECTED`.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Final

from batchrun.jobfile.joblinemodel import (
    ATTEMPTS_LIMIT,
    ENDPOINTS,
    NAME_CHARACTERS,
    ROUNDS_LIMIT,
    job_line_model,
)
from batchrun.jobfile.problems import Fault
from batchrun.jobfile.strict import kind_of
from batchrun.model import Json, JsonObject

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
    "tags": "a list of names of letters, digits, '.', '_' or '-'",
    "budget": 'dollars, or an object such as {"day": 2, "month": 20, "soft_month": 10}',
    "dedupe": "true or false",
    "cache": "true or false",
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
    schema = job_line_model().model_json_schema()
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
        job_line_model().model_validate(known)
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
