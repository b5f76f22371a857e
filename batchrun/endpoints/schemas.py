"""The schema of a job's answers: what `build` asks the model for is what the reader checks, so both take it from here."""

import functools
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from batchrun.endpoints.tolerant import as_object, objects
from batchrun.jobfile.strictschema import Breach, breaches
from batchrun.model import JobSettings, Json, JsonObject

# Where a body says which format its answers have.
_FORMAT_AT: Final[Mapping[str, tuple[str, ...]]] = {
    "/v1/responses": ("text", "format"),
    "/v1/chat/completions": ("response_format",),
}
_REMEMBERED: Final = 64  # schemas that were checked: bodies of many items hold few of them


def label_schema(labels: tuple[str, ...]) -> JsonObject:
    """The strict JSON Schema of a classification: {"label": one of `labels`}."""
    return {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(labels)}},
        "required": ["label"],
        "additionalProperties": False,
    }


def schema_of(settings: JobSettings) -> JsonObject | None:
    """The schema that the answers must fit, given or made of the labels; None for plain text."""
    if settings.schema is None and settings.labels is not None:
        return label_schema(settings.labels)
    return settings.schema


def schema_name(settings: JobSettings) -> str:
    """The name that the API wants for a schema. It changes no answer, but it is part of the request hash: never change it."""
    return "answer" if settings.labels is None else "label"


def format_in(url: str, body: JsonObject) -> Json:
    """The format that a body asks for at this endpoint, whatever it is; None where it asks for none."""
    asked: Json = body
    for step in _FORMAT_AT.get(url, ("",)):
        asked = asked.get(step) if isinstance(asked, dict) else None
    return asked


def written_format(settings: JobSettings) -> JsonObject | None:
    """The format other than text that the job's own `body` asks for, and not its `schema` or `labels`; None where there is none."""
    asked = format_in(settings.endpoint, settings.body)
    is_json = isinstance(asked, dict) and asked.get("type") in {"json_schema", "json_object"}
    return asked if is_json else None


def judged_schema(settings: JobSettings) -> JsonObject | None:
    """The schema by which answers are judged: the job's, or else that of the format in its own `body`; None for text.

    JSON of any shape is {}, and so is a schema in a body that is to be sent unchecked.
    """
    if (schema := schema_of(settings)) is not None:
        return schema
    if (asked := written_format(settings)) is None:
        return None
    within = asked.get("json_schema") if "json_schema" in asked else asked
    schema = within.get("schema") if isinstance(within, dict) else None
    return schema if isinstance(schema, dict) and not settings.body_unchecked else {}


def strict_faults(url: str, body: JsonObject) -> Iterator[str]:
    """What strict output does not take of the schemas that a body bears, of its format and of its functions: a service refuses each request with one."""
    for where, holder, key in _holders(url, body):
        schema = holder.get(key)
        if holder.get("strict") is True and isinstance(schema, dict):
            for path, what in _breaches(msgspec.json.encode(schema)):
                yield (
                    f"'{where}.{key}' is not for strict output: at {path}, {what}. "
                    'The service refuses such a schema; "strict": false beside it sends it as a mere wish.'
                )


def _holders(url: str, body: JsonObject) -> Iterator[tuple[str, JsonObject, str]]:
    """(where, object, key) of everything that holds a schema under the key and says whether it is `strict`."""
    steps = _FORMAT_AT.get(url)
    if steps is None:
        return
    nests = len(steps) == 1  # chat says one level deeper of what kind a thing is
    asked, where = as_object(format_in(url, body)), ".".join(steps)
    if asked.get("type") == "json_schema":
        inner = as_object(asked.get("json_schema")) if nests else asked
        yield f"{where}.json_schema" if nests else where, inner, "schema"
    for index, tool in enumerate(objects(body.get("tools"))):
        if tool.get("type") == "function":
            inner = as_object(tool.get("function")) if nests else tool
            yield f"tools[{index}].function" if nests else f"tools[{index}]", inner, "parameters"


@functools.lru_cache(maxsize=_REMEMBERED)
def _breaches(schema: bytes) -> tuple[Breach, ...]:
    return tuple(breaches(msgspec.json.decode(schema)))
