"""Writes `parameter_table.json` from the request types of the installed openai package: `python -m batchrun.endpoints.generate`.

For development only: run it after raising the openai version, read the diff, commit it. A test regenerates and compares.
"""

import importlib
import json
import os
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path

from batchrun.endpoints.parameters import Parameter
from batchrun.endpoints.tables import TABLE_NAME
from batchrun.model import Json

TABLE_PATH = Path(__file__).with_name(TABLE_NAME)
LINE_CHARACTERS = 100
DEPTH_LIMIT = (
    3  # parameter, its keys, their keys; below that the types are unions that no table can hold
)

_KIND_OF_TYPE: Mapping[object, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_UPLOADS: tuple[object, ...] = (bytes, os.PathLike, typing.IO[bytes])
_KINDS = ("string", "integer", "number", "boolean", "array", "object", "null")

# The endpoints that a batch knows, with the SDK's types of their bodies.
_RECORDS: Mapping[str, tuple[str, str]] = {
    "/v1/responses": ("responses.response_create_params", "ResponseCreateParamsNonStreaming"),
    "/v1/chat/completions": (
        "chat.completion_create_params",
        "CompletionCreateParamsNonStreaming",
    ),
    "/v1/embeddings": ("embedding_create_params", "EmbeddingCreateParams"),
    "/v1/completions": ("completion_create_params", "CompletionCreateParamsNonStreaming"),
    "/v1/moderations": ("moderation_create_params", "ModerationCreateParams"),
    "/v1/images/generations": ("image_generate_params", "ImageGenerateParamsNonStreaming"),
    "/v1/images/edits": ("image_edit_params", "ImageEditParamsNonStreaming"),
    "/v1/videos": ("video_create_params", "VideoCreateParams"),
}


def parameter_of(annotation: Json, depth: int = 1) -> Parameter:
    """The kinds, values and fields that a type annotation admits."""
    kinds: set[str] = set()
    values: list[str] = []
    records: list[Json] = []
    is_open_string = is_open_object = False
    for arm in _in_json(_arms(annotation)):
        origin: Json = typing.get_origin(arm)
        if origin is typing.Literal:
            literals = typing.get_args(arm)
            kinds.update(_KIND_OF_TYPE[type(value)] for value in literals)
            values.extend(value for value in literals if isinstance(value, str))
        elif hasattr(arm, "__total__"):  # a TypedDict of whichever typing module the SDK uses
            kinds.add("object")
            records.append(arm)
        elif arm in _KIND_OF_TYPE:
            kinds.add(_KIND_OF_TYPE[arm])
            is_open_string |= arm is str
        elif isinstance(origin or arm, type) and issubclass(origin or arm, Mapping):
            kinds.add("object")
            is_open_object = True
        elif origin is not None:
            kinds.add("array")
        else:  # `object`: anything goes
            kinds.update(_KINDS)
            is_open_string = is_open_object = True
    one_record = len(records) == 1 and not is_open_object and depth < DEPTH_LIMIT
    return Parameter(
        tuple(kind for kind in _KINDS if kind in kinds),
        () if is_open_string else tuple(dict.fromkeys(values)),
        fields_of(records[0], depth + 1) if one_record else None,
    )


def fields_of(record: Json, depth: int = 1) -> dict[str, Parameter]:
    """A TypedDict's keys, sorted."""
    hints = typing.get_type_hints(record)
    return {name: parameter_of(hints[name], depth) for name in sorted(hints)}


def _arms(annotation: Json) -> list[Json]:
    """The members of a union, flattened; anything else is its own only member."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return [arm for member in typing.get_args(annotation) for arm in _arms(member)]
    return [annotation]


def _in_json(arms: list[Json]) -> list[Json]:
    """The same without uploads: what the SDK sends as a file of a form is a reference in a body of JSON, which is all that a batch takes."""
    kept = [arm for arm in arms if not _is_upload(arm)]
    if len(kept) < len(arms):
        from openai.types.image_input_reference_param import ImageInputReferenceParam

        kept = [arm for arm in kept if arm is not ImageInputReferenceParam]
        kept.append(ImageInputReferenceParam)
    return kept


def _is_upload(arm: Json) -> bool:
    origin: Json = typing.get_origin(arm)
    return origin is tuple or arm in _UPLOADS


def _body_of(url: str) -> dict[str, Parameter]:
    """The parameters of a JSON body of `url`."""
    module, name = _RECORDS[url]
    record = getattr(importlib.import_module(f"openai.types.{module}"), name)
    fields = fields_of(record)
    if url == "/v1/images/edits":
        # The SDK uploads a form with `image`; a body of JSON has the array `images` instead.
        # Source: the schema EditImageBodyJsonParam of OpenAI's OpenAPI document.
        del fields["image"]
        fields["images"] = Parameter(("array",))
    return dict(sorted(fields.items()))


def render() -> str:
    """The whole text of `parameter_table.json`: a parameter a line, those that are longer on several."""
    import openai

    endpoints = {
        url: {name: _spelled(parameter) for name, parameter in _body_of(url).items()}
        for url in _RECORDS
    }
    return _laid_out({"openai": openai.__version__, "endpoints": endpoints}, 0) + "\n"


def _spelled(parameter: Parameter) -> Json:
    """A parameter as `tables.py` reads it."""
    kinds = "|".join(parameter.kinds)
    spelled: dict[str, Json] = {"kinds": kinds}
    if parameter.values:
        spelled["values"] = list(parameter.values)
    if parameter.fields is not None:
        spelled["fields"] = {name: _spelled(inner) for name, inner in parameter.fields.items()}
    return kinds if len(spelled) == 1 else spelled


def _laid_out(value: Json, indent: int) -> str:
    flat = json.dumps(value)
    is_short = indent + len(flat) < LINE_CHARACTERS and indent > 2
    if not isinstance(value, dict) or (is_short and "fields" not in value):
        return flat
    inner = " " * (indent + 2)
    lines = (
        f"{inner}{json.dumps(name)}: {_laid_out(part, indent + 2)}" for name, part in value.items()
    )
    return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"


def main() -> None:
    """Write the table."""
    TABLE_PATH.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {TABLE_PATH}\n")


if __name__ == "__main__":  # pragma: no cover
    main()
