"""What a request says of tools: which functions may be called, and whether one must be. Pure.

Only functions are looked into. Tools that the API itself runs are other people's business: a script can pretend that they ran, and the
local model refuses them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batchrun.model import Json, JsonObject
from batchrun.service.prompts import CHAT
from batchrun.service.refusals import ServiceError, invalid_value, missing, wrong_type

FUNCTION: Final = "function"
NO_PARAMETERS: Final[JsonObject] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


class Choice(StrEnum):
    """Whether a request wants a tool called."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that a request offers; `param` is where its schema stands in the request, for refusals."""

    name: str
    description: str | None
    parameters: JsonObject
    param: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The tools of a request. `functions` are those that may be called by its tool_choice; `others` the types of all tools of other kinds."""

    functions: tuple[Function, ...] = ()
    others: tuple[str, ...] = ()
    choice: Choice = Choice.NONE


def offer_of(url: str, body: JsonObject) -> Offer:
    """What /v1/responses or /v1/chat/completions was offered. Raises ServiceError 400 for tools or a choice of a wrong shape."""
    functions: list[Function] = []
    others: list[str] = []
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects", tools)
    found: list[Json] = tools or []
    for number, tool in enumerate(found):
        param = f"tools[{number}]"
        if not isinstance(tool, dict):
            raise wrong_type(param, "an object", tool)
        kind = tool.get("type")
        if not isinstance(kind, str):
            raise missing(f"{param}.type")
        if kind == FUNCTION:
            functions.append(_function(url, tool, param))
        else:
            others.append(kind)
    return _chosen(url, body.get("tool_choice"), functions, others)


def _function(url: str, tool: JsonObject, param: str) -> Function:
    """The endpoints differ: chat has an object of its own for the function."""
    if url == CHAT:
        param = f"{param}.function"
        inner = tool.get("function")
        if not isinstance(inner, dict):
            raise missing(param)
        tool = inner
    name, parameters = tool.get("name"), tool.get("parameters")
    if not isinstance(name, str):
        raise missing(f"{param}.name")
    if _NAME.fullmatch(name) is None:
        raise ServiceError(
            status=400,
            message=f"Invalid '{param}.name': expected letters, digits, '_' and '-' only.",
            code="invalid_value",
            param=f"{param}.name",
        )
    if parameters is None:
        parameters = NO_PARAMETERS
    elif not isinstance(parameters, dict):
        raise wrong_type(f"{param}.parameters", "an object", parameters)
    description = tool.get("description")
    return Function(
        name=name,
        description=description if isinstance(description, str) else None,
        parameters={"type": "object", **parameters},
        param=f"{param}.parameters",
    )


def _chosen(url: str, asked: Json, functions: list[Function], others: list[str]) -> Offer:
    """The offer under its tool_choice: a mode, one tool by name or by type, or a mode for some of the tools."""
    wanted: list[Json] | None = None
    if asked is None:
        choice = Choice.AUTO
    elif isinstance(asked, str):
        if asked not in tuple(Choice):
            raise invalid_value("tool_choice", asked, "'none', 'auto', and 'required'")
        choice = Choice(asked)
    elif not isinstance(asked, dict):
        raise wrong_type("tool_choice", "a string or an object", asked)
    elif asked.get("type") == "allowed_tools":
        allowed = asked.get("allowed_tools") if url == CHAT else asked
        allowed = allowed if isinstance(allowed, dict) else {}
        choice = Choice.REQUIRED if allowed.get("mode") == "required" else Choice.AUTO
        wanted = allowed["tools"] if isinstance(allowed.get("tools"), list) else []
    else:
        choice, wanted = Choice.REQUIRED, [asked]
    if choice is Choice.REQUIRED and not functions and not others:
        message = "'tool_choice' asks for a tool, and there are none in 'tools'."
        raise ServiceError(status=400, message=message, param="tool_choice")
    if wanted is not None:
        functions = list(_named(url, wanted, functions, others))
    if not functions and not others:
        choice = Choice.NONE
    return Offer(
        functions=() if choice is Choice.NONE else tuple(functions),
        others=tuple(others),
        choice=choice,
    )


def _named(
    url: str, wanted: list[Json], functions: list[Function], others: list[str]
) -> Iterator[Function]:
    known = {function.name: function for function in functions}
    for one in wanted:
        tool = one if isinstance(one, dict) else {}
        if tool.get("type") != FUNCTION:
            found = tool.get("type") in others
            name = tool.get("type")
        else:
            inner = tool.get("function") if url == CHAT else tool
            name = inner.get("name") if isinstance(inner, dict) else None
            found = name in known
        if not found:
            message = f"Tool choice {str(name)!r} not found in 'tools' parameter."
            raise ServiceError(status=400, message=message, param="tool_choice")
        if tool.get("type") == FUNCTION:
            yield known[str(name)]
