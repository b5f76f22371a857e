"""From typed Python functions to tools: the schema that a model is shown, and the check of the arguments that it sends.

Runs in the process of the user's file (`host.py`), never in batchrun's own.
"""

import asyncio
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchrun.jobfile.strictschema import breaches
from batchrun.model import Json, JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")  # as the API takes it
_UNTYPED: Final = inspect.Parameter.empty
_KINDS: Final = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional only, and a model names its arguments",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments, and a model must know which",
    inspect.Parameter.VAR_KEYWORD: "takes any names, and a model must know which",
}
# What says of a schema which values it takes; one without any takes all of them, which strict schemas do not.
_TYPED_BY: Final = frozenset({"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})
# What strict schemas do not take, and what pydantic checks all the same.
_LEFT_OUT: Final = frozenset({"title", "default", "uniqueItems"})
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_SHOWN_ERRORS: Final = 5


class SignatureProblem(NamedTuple):
    """What keeps a function from being offered; `line` is where it begins."""

    line: int
    what: str


class WrongArguments(Exception):
    """The model's arguments do not fit; the message is for the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function. `tool` is its name, description and parameters (a strict JSON Schema).

    `names` are its parameters, the fields p0, p1, … of `arguments`; for those in `optional` null means the default.
    """

    tool: JsonObject
    run: Callable[..., Any]
    names: tuple[str, ...]
    optional: frozenset[str]
    arguments: "type[BaseModel]"

    def call(self, given: str) -> Any:
        """Run it with arguments that a model wrote, as JSON. Raises WrongArguments, and whatever the function raises."""
        from pydantic import ValidationError

        try:
            values = self.arguments.model_validate_json(given.strip() or "{}")
        except ValidationError as error:
            raise WrongArguments(_told(error.errors(include_url=False))) from None
        named = {name: getattr(values, f"p{index}") for index, name in enumerate(self.names)}
        wanted = {k: v for k, v in named.items() if not (v is None and k in self.optional)}
        result = self.run(**wanted)
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Any) -> Any:
    return await result


def _told(errors: Json) -> str:
    told = []
    for error in errors[:_SHOWN_ERRORS]:
        place = ".".join(map(str, error["loc"]))
        told.append(f"{place}: {error['msg']}" if place else str(error["msg"]))
    return "wrong arguments: " + "; ".join(told)


def functions_of(module: ModuleType) -> tuple[list[Function], list[SignatureProblem]]:
    """The public functions that this module defines, in their order, and what is wrong with them."""
    found: list[Function] = []
    problems: list[SignatureProblem] = []
    for name, value in vars(module).items():
        is_ours = isinstance(value, FunctionType) and value.__module__ == module.__name__
        if name.startswith("_") or not is_ours:
            continue
        read = _read(name, value)
        if isinstance(read, Function):
            found.append(read)
        else:
            line = inspect.unwrap(value).__code__.co_firstlineno
            problems += [SignatureProblem(line, f"{name}(): {what}") for what in read]
    if not found and not problems:
        problems.append(
            SignatureProblem(1, "no function: what the model may call is a function without '_'")
        )
    return found, problems


def _read(name: str, function: FunctionType) -> Function | list[str]:
    """The function as a tool, or all that keeps it from being one."""
    if not _NAME.fullmatch(name):
        return ["the API takes names of 1 to 64 letters without accents, digits and '_'"]
    parameters = inspect.signature(function).parameters
    problems = [
        f"parameter {p.name!r} {_KINDS[p.kind]}" for p in parameters.values() if p.kind in _KINDS
    ]
    if problems:
        return problems
    try:
        hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        return [f"a type cannot be resolved: {error}"]
    problems = [f"parameter {name!r} has no type" for name in parameters if name not in hints]
    if problems:
        return problems
    optional = frozenset(p.name for p in parameters.values() if p.default is not _UNTYPED)
    arguments = _model(parameters, hints)
    if isinstance(arguments, str):
        return [arguments]
    schema = _schema(arguments)
    if isinstance(schema, str):
        return [schema]
    for parameter in parameters.values():
        _note_default(schema["properties"][parameter.name], parameter.default)
    if problems := [*_gaps(schema)] or [f"{at}: {what}" for at, what in breaches(schema)]:
        return problems
    tool: JsonObject = {"name": name}
    if described := _description(function):
        tool["description"] = described
    return Function(
        tool=tool | {"parameters": schema},
        run=function,
        names=tuple(parameters),
        optional=optional,
        arguments=arguments,
    )


def _model(
    parameters: typing.Mapping[str, inspect.Parameter], hints: dict[str, Any]
) -> "type[BaseModel] | str":
    """A model of the arguments. Its fields are numbered, since pydantic keeps some names (`schema`, `copy`) for itself."""
    from pydantic import ConfigDict, Field, create_model
    from pydantic.errors import PydanticUserError

    fields: dict[str, Any] = {}
    for index, parameter in enumerate(parameters.values()):
        hint, name = hints[parameter.name], parameter.name
        if parameter.default is _UNTYPED:
            fields[f"p{index}"] = (hint, Field(alias=name))
        else:
            fields[f"p{index}"] = (hint | None, Field(default=None, alias=name))
    try:
        made: type[BaseModel] = create_model(
            "Arguments", __config__=ConfigDict(extra="forbid", defer_build=False), **fields
        )
    except (PydanticUserError, TypeError) as error:
        return f"a type that no JSON gives: {str(error).splitlines()[0]}"
    return made


def _schema(model: "type[BaseModel]") -> JsonObject | str:
    """The strict schema of a model: whatever may be absent is null instead."""
    from pydantic.errors import PydanticUserError

    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        return f"a type that no JSON Schema describes: {str(error).splitlines()[0]}"
    cleaned: JsonObject = _cleaned(schema)
    cleaned.pop("description", None)
    cleaned["properties"] = cleaned.get("properties", {})
    cleaned["required"] = list(cleaned["properties"])
    return cleaned


def _cleaned(schema: Json) -> Json:
    """A schema as strict output wants it. A property that may be absent stays so unless it may be null as well: then it is null."""
    if isinstance(schema, list):
        return [_cleaned(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned: JsonObject = {}
    for key, value in schema.items():
        if key in {"properties", "$defs"}:
            cleaned[key] = {name: _cleaned(one) for name, one in value.items()}
        elif key in {"enum", "const", "required"}:
            cleaned[key] = value
        elif key not in _LEFT_OUT and not (key == "format" and value not in _FORMATS):
            cleaned[key] = _cleaned(value)
    if "properties" in cleaned:
        cleaned.setdefault("additionalProperties", False)
        required = set(cleaned.get("required", ()))
        cleaned["required"] = [
            name
            for name, one in cleaned["properties"].items()
            if name in required or {"type": "null"} in one.get("anyOf", ())
        ]
    return cleaned


def _gaps(schema: JsonObject, path: str = "$") -> Iterator[str]:
    """Where a schema does not say what it takes."""
    for name, one in (*schema.get("properties", {}).items(), *schema.get("$defs", {}).items()):
        yield from _gap(one, f"{path}.{name}")
    if isinstance(items := schema.get("items"), dict):
        yield from _gap(items, f"{path}[]")
    for one in schema.get("anyOf", ()):
        yield from _gap(one, path)


def _gap(schema: JsonObject, path: str) -> Iterator[str]:
    if not _TYPED_BY & schema.keys():
        yield f"{path}: its type says nothing. Say which values it takes"
    elif "prefixItems" in schema or (schema.get("type") == "array" and "items" not in schema):
        yield f"{path}: a list of what? Tuples and plain lists cannot be told: write list[str]"
    elif schema.get("type") == "object" and "properties" not in schema:
        yield f"{path}: a dictionary of any keys cannot be told. Name its keys: a TypedDict, a dataclass or a pydantic model; or take a list of pairs"
    yield from _gaps(schema, path)


def _note_default(schema: JsonObject, default: Any) -> None:
    """Tell the model what null stands for, where that is a plain value."""
    if type(default) in {str, int, float, bool}:
        before = f"{schema['description']} " if "description" in schema else ""
        schema["description"] = f"{before}null: {default!r}"


def _description(function: FunctionType) -> str:
    """The first paragraph of the docstring, on one line."""
    paragraph = (inspect.getdoc(function) or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())
