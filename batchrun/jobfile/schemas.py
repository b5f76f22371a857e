"""The JSON Schema of an answer: given, read from a file, or built from labels; checked offline before anything is sent.

A `$ref` that leaves the document is refused: nothing is fetched, neither here nor when answers are checked.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchrun.jobfile.jsonl import decode_line
from batchrun.jobfile.problems import Fault
from batchrun.jobfile.strictschema import breaches
from batchrun.model import Json, JsonObject

if TYPE_CHECKING:
    import jsonschema_rs

_META_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final = "string, number, integer, boolean, object, array and null"
_SHOWN_MOST: Final = 20


def label_faults(labels: list[str]) -> Iterator[Fault]:
    """What is wrong with labels: there are two or more, different, not empty."""
    if len(labels) < 2:
        yield Fault("'labels' needs at least two", "Add the others.")
    if not all(label.strip() for label in labels):
        yield Fault("an empty label", "Remove it, or name it.")
    for label, count in Counter(labels).items():
        if count > 1:
            yield Fault(f"duplicate label {label!r}", "Remove one of them.")


def label_schema(labels: list[str]) -> JsonObject:
    """The strict schema of a classification: one object with one label."""
    return {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": labels}},
        "required": ["label"],
        "additionalProperties": False,
    }


def read_schema(schema: JsonObject | str, folder: Path) -> JsonObject:
    """A schema given inline, as a path relative to `folder`, or as {"file": path}. Raises Fault where there is none."""
    if isinstance(schema, dict) and set(schema) == {"file"} and isinstance(schema["file"], str):
        schema = schema["file"]
    return _read(folder / schema, schema) if isinstance(schema, str) else schema


def schema_faults(schema: JsonObject, *, is_strict: bool) -> Iterator[Fault]:
    """All that keeps this from being a schema, each with its place in it, or else from being one for strict output; nothing for a sound one."""
    outside = [(path, ref) for path, ref in _refs(schema) if not ref.startswith("#")]
    for path, ref in outside:
        yield Fault(
            f"'schema' refers to {ref!r}, at {path}",
            "Only references within the schema are followed.",
        )
    broken = _breaks_meta_schema(schema) if outside else invalid(schema)
    for what in broken:
        yield Fault(f"'schema' is not a valid JSON Schema: {what}")
    if is_strict and not broken:
        yield from strictness_faults(schema, "schema")


def strictness_faults(schema: JsonObject, key: str) -> Iterator[Fault]:
    """What strict output does not take of the schema that stands, or is made of what stands, under `key`."""
    found = list(breaches(schema))
    for left, (path, what) in enumerate(found, 1 - len(found)):
        # What could be done about all of them at once is said once, after the last.
        fix = (
            ""
            if left
            else 'The service refuses such a schema; "strict": false sends it as a mere wish.'
        )
        yield Fault(f"{key!r} is not for strict output: at {path}, {what}", fix)


def invalid(schema: JsonObject) -> tuple[str, ...]:
    """Every place where this is no JSON Schema, and what is wrong there; empty for a sound one."""
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(schema, retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return _breaks_meta_schema(schema) or (_placed(str(error).splitlines()[0], schema),)
    return ()


def path_of(steps: Iterable[str | int]) -> str:
    """`$.items[0].price`"""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _breaks_meta_schema(schema: JsonObject) -> tuple[str, ...]:
    """What the schema of schemas has against this one; empty where it cannot be asked."""
    import jsonschema_rs

    meta = schema.get("$schema") or _META_SCHEMA
    try:
        judge = jsonschema_rs.validator_cls_for({"$schema": meta})
        errors = judge({"$ref": meta}, retriever=_refuse, validate_formats=True).iter_errors(schema)
        told = {f"at {path_of(one.instance_path)}, {_reworded(one)}": None for one in errors}
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError):
        return ()
    return tuple(islice(told, _SHOWN_MOST))


def _reworded(error: "jsonschema_rs.ValidationError") -> str:
    value, is_union, _ = error.message.partition(" is not valid under any of the schemas")
    if not is_union:
        return error.message
    if error.instance_path[-1:] == ["type"]:
        return f"{value} is no type: there is {_TYPES}"
    return f"{value} is not what may stand there"


def _placed(message: str, schema: JsonObject) -> str:
    """A message about a reference that leads nowhere, with the place that has it."""
    found = next(
        (path for path, ref in _refs(schema) if f"'{ref.removeprefix('#')}'" in message), ""
    )
    return f"at {found}, {message}" if found else message


def _read(path: Path, name: str) -> JsonObject:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Fault(f"schema {name!r}: {error.strerror}", "Check the path.") from None
    try:
        return decode_line(data)
    except Fault as fault:
        raise Fault(f"schema {name!r}: {fault.what}", fault.fix) from None


def _refs(schema: Json) -> Iterator[tuple[str, str]]:
    """(where, reference) of every reference within."""
    waiting: list[tuple[tuple[str | int, ...], Json]] = [((), schema)]
    while waiting:
        steps, value = waiting.pop()
        inner: list[tuple[str | int, Json]] = []
        if isinstance(value, dict):
            for key in ("$ref", "$dynamicRef"):
                if isinstance(ref := value.get(key), str):
                    yield path_of(steps), ref
            inner.extend(value.items())
        elif isinstance(value, list):
            inner.extend(enumerate(value))
        waiting.extend(((*steps, step), one) for step, one in reversed(inner))


def _refuse(uri: str) -> JsonObject:
    raise ValueError(f"{uri!r} is outside of the schema")
