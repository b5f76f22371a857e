"""The JSON Schema of an answer: given, read from a file, or built from labels; checked offline before anything is sent.

A `$ref` that leaves the document is refused: nothing is fetched, neither here nor when answers are checked.
"""

from collections.abc import Iterator
from pathlib import Path

from batchrun.jobfile.jsonl import decode_line
from batchrun.jobfile.problems import Fault
from batchrun.model import Json, JsonObject


def label_schema(labels: list[str]) -> JsonObject:
    """The strict schema of a classification: one object with one label. Raises Fault unless there are 2 or more, different, not empty."""
    if len(labels) < 2:
        raise Fault("'labels' needs at least two", "Add the others.")
    if not all(label.strip() for label in labels):
        raise Fault("an empty label", "Remove it, or name it.")
    for index, label in enumerate(labels):
        if label in labels[:index]:
            raise Fault(f"duplicate label {label!r}", "Remove one of them.")
    return {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": labels}},
        "required": ["label"],
        "additionalProperties": False,
    }


def read_schema(schema: JsonObject | str, folder: Path) -> JsonObject:
    """A schema given inline, as a path relative to `folder`, or as {"file": path}; checked. Raises Fault."""
    if isinstance(schema, dict) and set(schema) == {"file"} and isinstance(schema["file"], str):
        schema = schema["file"]
    if isinstance(schema, str):
        schema = _read(folder / schema, schema)
    for ref in _refs(schema):
        if not ref.startswith("#"):
            raise Fault(
                f"'schema' refers to {ref!r}", "Only references within the schema are followed."
            )
    _check(schema)
    return schema


def _read(path: Path, name: str) -> JsonObject:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Fault(f"schema {name!r}: {error.strerror}", "Check the path.") from None
    try:
        return decode_line(data)
    except Fault as fault:
        raise Fault(f"schema {name!r}: {fault.what}", fault.fix) from None


def _refs(schema: Json) -> Iterator[str]:
    open_values = [schema]
    while open_values:
        value = open_values.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in {"$ref", "$dynamicRef"} and isinstance(inner, str):
                    yield inner
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)


def _check(schema: JsonObject) -> None:
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(schema, retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = str(error).splitlines()[0]
        raise Fault(f"'schema' is not a valid JSON Schema: {message}") from None


def _refuse(uri: str) -> JsonObject:
    raise ValueError(f"{uri!r} is outside of the schema")
