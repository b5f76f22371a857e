"""Templates with statements, filters or expressions: minijinja, strict, with limits, and errors in our words."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from batchrun.jobfile.problems import Fault
from batchrun.jobfile.rendering import (
    WHOLE_FLOAT_LIMIT,
    TemplateError,
    missing_field,
    null_field,
    text_of,
    within_limit,
)
from batchrun.model import Json, JsonObject

if TYPE_CHECKING:
    from minijinja import Environment
    from minijinja import TemplateError as ForeignError

FUEL = 1_000_000  # steps of minijinja's machine in one render
EXACT_INTEGERS = range(-(2**127), 2**128)  # what minijinja holds without going over to floats
ITEM = (
    "item"  # the whole item, for fields whose names are no identifiers: {{ item["Review Text"] }}
)
FUNCTIONS = frozenset({"range", "dict", "namespace", "cycler", "joiner"})

_NAME_FAULTS = frozenset({"UnknownFilter", "UnknownTest", "UnknownFunction", "TemplateNotFound"})
_UNDEFINED = re.compile(r"`(.+)` is undefined")
_CODE = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)
_NAME = re.compile(r"[^\W\d]\w*")


class _Null(Exception):
    """A null was about to be printed."""


class FullTemplate:
    """A template that minijinja renders; see `Template`."""

    def __init__(
        self,
        text: str,
        environment: "Environment",
        variables: frozenset[str],
        names: frozenset[str],
    ) -> None:
        self.variables: Final = variables
        self._names = names
        self._text = text
        self._environment = environment

    def render(self, fields: Mapping[str, Json]) -> str:
        """The text for one item; raises TemplateError."""
        from minijinja import TemplateError as ForeignError

        try:
            return within_limit(_render(self._environment, self._context(fields)))
        except ForeignError as error:
            raise self._explained(error, fields) from None
        except _Null:
            raise null_field(self._inner_null(fields)) from None

    def render_block(self, block: list[JsonObject]) -> Iterable[str] | None:  # noqa: ARG002 - the protocol's
        """None: minijinja renders one item at a time."""
        return None

    def _context(self, fields: Mapping[str, Json]) -> JsonObject:
        """The fields that the template may ask for. Null ones are left out, since filters would print them as `None`; whole numbers that
        would lose digits go as text.
        """
        context: JsonObject = {}
        if ITEM in self.variables:
            context[ITEM] = dict(fields)
        for name, value in fields.items():
            if value is not None and name in self._names:
                context[name] = text_of(value, name) if _loses_digits(value) else value
        return context

    def _explained(self, error: "ForeignError", fields: Mapping[str, Json]) -> TemplateError:
        """Minijinja's own detail may quote the item, so the message is made of the template's text."""
        if error.kind == "UndefinedError":
            expression = self._undefined(error)
            return (null_field if expression in fields else missing_field)(expression)
        if error.kind == "OutOfFuel":
            return TemplateError(f"the template takes more than {FUEL:,} steps for this item")
        expression = self._expression(error)
        return TemplateError(
            f"the template cannot be rendered: {_words(error.kind)} at {expression!r} (line {error.line or 1} of the template)",
            expression,
        )

    def _undefined(self, error: "ForeignError") -> str:
        """The expression that is undefined; minijinja's range is that of the filter which met it, its detail names the expression."""
        named = _UNDEFINED.match(error.detail or "")
        return named[1] if named and named[1] in self._text else self._expression(error)

    def _expression(self, error: "ForeignError") -> str:
        start, end = error.range or (0, 0)
        expression = self._text.encode()[start:end].decode(errors="replace").strip()
        return expression[:100] or "the template"

    def _inner_null(self, fields: Mapping[str, Json]) -> str:
        """Which expression inside a field printed null: without the nulls, the same render fails there as undefined."""
        from minijinja import TemplateError as ForeignError

        try:
            _render(self._environment, _without_nulls(self._context(fields)))
        except ForeignError as error:
            return self._undefined(error)
        except _Null:
            pass
        return ", ".join(sorted(self.variables))


def _loses_digits(value: Json) -> bool:
    """Numbers that minijinja would change: integers beyond 128 bits, and the floats that its whole-number test takes for 2**63 - 1."""
    if type(value) is int:
        return value not in EXACT_INTEGERS
    return type(value) is float and abs(value) == WHOLE_FLOAT_LIMIT


def _words(kind: str) -> str:
    """`InvalidOperation` -> `invalid operation`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind).lower()


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def _render(environment: "Environment", context: JsonObject) -> str:
    if "self" in context:
        # render_template takes the fields as keyword arguments of a method, where `self` is taken.
        environment.add_global("self", context.pop("self"))
        try:
            return environment.render_template("item", **context)
        finally:
            environment.remove_global("self")
    return environment.render_template("item", **context)


def _environment(undefined: Literal["strict", "lenient"], text: str) -> "Environment":
    from minijinja import Environment

    environment = Environment(
        undefined_behavior=undefined,
        auto_escape_callback=_never_escape,
        fuel=FUEL,
        keep_trailing_newline=True,
        finalizer=_finalize,
        filters={"default": _default, "d": _default, "tojson": _to_json},
    )
    environment.remove_global("debug")
    environment.add_template("item", text)
    return environment


def compile_full(text: str) -> FullTemplate:
    """Compile with minijinja. Raises Fault for broken syntax, and for filters, tests and functions that do not exist."""
    from minijinja import TemplateError as ForeignError

    try:
        environment = _environment("strict", text)
        _check_names(text)
    except ForeignError as error:
        raise Fault(
            f"{_words(error.kind)} on line {error.line or 1} of the template: {error.detail}"
        ) from None
    variables = environment.undeclared_variables_in_template("item")
    # Every name in the text, also those of prose: a superset of what the template can ask for, whatever its scopes are.
    names = set(_NAME.findall(text))
    code = " ".join(_CODE.findall(text))
    if re.search(r"\bself\b", code):
        variables.add("self")  # a name of Jinja's own, which the listing leaves out
    for name in FUNCTIONS & variables:
        if re.search(rf"\b{name}\b(?!\s*\()", code):
            environment.remove_global(name)  # not called: a field of that name is meant
        else:
            variables.discard(name)
            names.discard(name)
    return FullTemplate(text, environment, frozenset(variables), frozenset(names))


def _check_names(text: str) -> None:
    """Unknown filters are found by minijinja only when it gets there; a render of nothing, everything allowed, gets to many."""
    from minijinja import TemplateError as ForeignError

    try:
        _environment("lenient", text).render_template("item")
    except ForeignError as error:
        if error.kind in _NAME_FAULTS:
            raise
    except _Null:
        pass


def _never_escape(_name: str) -> bool:
    return False


def _finalize(value: Json) -> str:
    if value is None:
        raise _Null
    return text_of(value, "a value")


def _default(value: Json, other: Json = "", boolean: bool = False) -> Json:
    """Jinja's `default`, for null as well as for undefined (both arrive as None)."""
    if value is None or (boolean and not value):
        return other
    return value


def _to_json(value: Json, indent: int | None = None) -> str:
    """`tojson` without minijinja's HTML escapes: prompts are no web pages."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
