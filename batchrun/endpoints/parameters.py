"""Checking a request body against what its endpoint takes, before anything is sent and paid for.

The tables (`tables.py`) come from the official SDK's types and are plain data: nothing is asked of the SDK here. Names and kinds
are certain, so breaking them is a problem; values and nested names grow between releases, so those are only warnings.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchrun.model import Json, JsonObject

# Fine switches elsewhere, which a batch cannot serve.
_UNBATCHABLE = {
    "stream": "a batch has no one to stream to. Leave it out.",
    "background": (
        "a batch line would end with 'queued' instead of an answer. Leave it out; "
        "a batch runs in the background as it is."
    ),
}
UNCHECKED = '"body_unchecked": true sends it as it is.'


@dataclass(frozen=True, slots=True)
class Parameter:
    """What one parameter may be.

    `kinds` are JSON's: null boolean integer number string array object ("number" includes integers). `values` are the known strings,
    empty where any will do. `fields` are the known keys of an object, None where any will do.
    """

    kinds: tuple[str, ...]
    values: tuple[str, ...] = ()
    fields: Mapping[str, "Parameter"] | None = None


def kind_of(value: Json) -> str:
    """JSON's word for the kind of `value`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case dict():
            return "object"
        case _:
            return "array"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRules:
    """One endpoint's table, and its names for what other endpoints call otherwise."""

    url: str
    table: Mapping[str, Parameter]
    synonyms: Mapping[str, str]

    def check(self, body: JsonObject) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(problems, warnings) of a whole or partial body; both empty for a sound one."""
        problems: list[str] = []
        warnings: list[str] = []
        for name, value in body.items():
            parameter = self.table.get(name)
            is_switch = parameter is None or "boolean" in parameter.kinds
            if value is True and is_switch and name in _UNBATCHABLE:
                problems.append(f"{name!r} cannot be true: {_UNBATCHABLE[name]}")
            elif parameter is None:
                hint = self._hint(name)
                problems.append(f"unknown parameter {name!r} of {self.url}. {hint}{UNCHECKED}")
            elif not _fits(parameter, value):
                problems.append(f"{name!r} must be {_one_of(parameter)}, not {kind_of(value)}.")
            else:
                _look_inside(name, parameter, value, problems, warnings)
        return tuple(problems), tuple(warnings)

    def _hint(self, name: str) -> str:
        right = self.synonyms.get(name) or nearest(name, self.table)
        return f"Did you mean {right!r}? " if right else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely meant."""
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1)), None)


def _fits(parameter: Parameter, value: Json) -> bool:
    kind = kind_of(value)
    return kind in parameter.kinds or (kind == "integer" and "number" in parameter.kinds)


def _one_of(parameter: Parameter) -> str:
    return " or ".join(parameter.kinds)


def _look_inside(
    path: str, parameter: Parameter, value: Json, problems: list[str], warnings: list[str]
) -> None:
    """Find wrong kinds below a parameter whose own kind is right, and warn of unknown values and keys, and of a null, which may be as good as nothing."""
    if isinstance(value, str) and parameter.values and value not in parameter.values:
        known = ", ".join(parameter.values)
        warnings.append(f"{path!r} is {value!r}; known values are {known}.")
    if not isinstance(value, dict) or parameter.fields is None:
        return
    for name, inner in value.items():
        where = f"{path}.{name}"
        field = parameter.fields.get(name)
        if field is None:
            right = nearest(name, parameter.fields)
            hint = f" Did you mean {right!r}?" if right else ""
            warnings.append(f"unknown key {name!r} in {path!r}.{hint}")
        elif not _fits(field, inner):
            told = warnings if inner is None else problems
            told.append(f"{where!r} must be {_one_of(field)}, not {kind_of(inner)}.")
        else:
            _look_inside(where, field, inner, problems, warnings)
