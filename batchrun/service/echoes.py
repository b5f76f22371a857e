"""The settings that a response repeats of its request, with the API's defaults where the request says nothing. Pure.

What a request may leave out of a format or a function, an answer spells out: the official SDK's models of answers ask for it.
"""

from collections.abc import Iterator
from typing import Final

from batchrun.model import Json, JsonObject

# In the order in which the API writes them.
_DEFAULTS: Final[JsonObject] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
_FUNCTION: Final[JsonObject] = {"description": None, "parameters": None, "strict": True}
_SCHEMA_FORMAT: Final[JsonObject] = {"description": None, "strict": False}
_REASONING: Final[JsonObject] = {"effort": None, "summary": None}


def repeated(request: JsonObject) -> JsonObject:
    """What a `response` object says again of the body that was asked."""
    said = {name: value for name in _DEFAULTS if (value := request.get(name)) is not None}
    return {
        **_DEFAULTS,
        **said,
        "service_tier": "default",
        "reasoning": _REASONING | (request.get("reasoning") or {}),
        "text": _text(request.get("text")),
        "tools": list(_tools(request.get("tools"))),
    }


def _text(asked: Json) -> JsonObject:
    text = asked if isinstance(asked, dict) else {}
    form = text.get("format") or {"type": "text"}
    if form.get("type") == "json_schema":
        form = _SCHEMA_FORMAT | form
    return {"verbosity": "medium", **text, "format": form}


def _tools(asked: Json) -> Iterator[Json]:
    for tool in asked if isinstance(asked, list) else ():
        is_function = isinstance(tool, dict) and tool.get("type") == "function"
        yield _FUNCTION | tool if is_function else tool
