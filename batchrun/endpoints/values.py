"""From the text of an answer to the job's output: text as it is, one of the labels, or JSON that fits the schema."""

from itertools import islice
from typing import NoReturn

import msgspec

from batchrun.endpoints.answer import Interpret, Mismatch
from batchrun.endpoints.schemas import schema_of
from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.problems import shown
from batchrun.jobfile.schemas import invalid, path_of
from batchrun.model import JobSettings, Json, JsonObject

SHOWN_ERRORS = 20  # of one answer; a repair shows them to the model, and people read the first
SHOWN_CHARACTERS = 200

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def interpreter(settings: JobSettings) -> Interpret:
    """The interpretation that the job asks for. Raises JobFileError for a schema that is none."""
    if settings.labels is not None:
        return _labels(settings.labels)
    schema = schema_of(settings)
    if schema is None:
        return _encode
    try:
        return _structured(schema)
    except ValueError as error:
        raise JobFileError(
            tuple(
                Problem(
                    path=shown(settings.path),
                    line=settings.line,
                    what=f"'schema' is not a valid JSON Schema: {clipped(what)}",
                    fix="Correct it; only references within the document can be followed.",
                )
                for what in invalid(schema) or (str(error),)
            )
        ) from error


def clipped(text: str) -> str:
    """`text`, or as much of it as fits a message."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _parsed(text: str) -> tuple[Json, Mismatch | None]:
    """The value of a JSON text, or why it has none."""
    try:
        return _decode(text), None
    except (msgspec.DecodeError, RecursionError) as error:
        return None, Mismatch(cause="invalid_json", message=f"the answer is not JSON: {error}")


def _labels(labels: tuple[str, ...]) -> Interpret:
    """{"label": x} -> x. A bare label, with or without quotes, is taken as well: weak servers ignore the schema."""
    # A million answers are spelled in a few ways: these are found without parsing.
    known: dict[str, bytes] = {}
    for label in labels:
        output = _encode(label)
        quoted = output.decode()
        for spelling in (f'{{"label":{quoted}}}', f'{{"label": {quoted}}}', quoted, label):
            known[spelling] = output

    def interpret(text: str) -> bytes | Mismatch:
        if (output := known.get(text)) is not None:
            return output
        stripped = text.strip()
        value, mismatch = _parsed(stripped)
        answered = value.get("label") if isinstance(value, dict) else value
        if not isinstance(answered, str):
            answered = stripped
        if answered in labels:
            return _encode(answered)
        if mismatch is not None and stripped.startswith(("{", "[", '"')):
            return mismatch
        return Mismatch(
            cause="label_mismatch",
            message=f"answered {clipped(answered)!r}, which is none of the {len(labels)} labels",
        )

    return interpret


def _structured(schema: JsonObject) -> Interpret:
    """JSON, validated and encoded compactly. Raises ValueError for a schema that cannot be compiled."""
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema, retriever=_refuse)

    def interpret(text: str) -> bytes | Mismatch:
        value, mismatch = _parsed(text)
        if mismatch is not None:
            return mismatch
        try:
            if validator.is_valid(value):
                return _encode(value)
            errors = [
                f"{path_of(error.instance_path)}: {clipped(error.message)}"
                for error in islice(validator.iter_errors(value), SHOWN_ERRORS + 1)
            ]
            if len(errors) > SHOWN_ERRORS:
                errors[SHOWN_ERRORS:] = ["and more"]
        except (
            ValueError
        ) as error:  # nested deeper than the validator goes, or a pattern that gave up
            errors = [clipped(str(error))]
        return Mismatch(cause="schema_mismatch", message="; ".join(errors))

    return interpret


def _refuse(uri: str) -> NoReturn:
    """A schema may refer to itself, never to a file or a server: job files come from anywhere."""
    raise ValueError(f"reference to {uri!r} outside the document")
