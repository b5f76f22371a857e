"""Prompt templates: minijinja, strict, compiled once; the plain ones become string joins.

Both ways give the same text for the same item, because both turn values into text with `text_of`:

* a string as it is; true, false as in JSON; lists and objects as JSON;
* whole numbers as digits (`4.0` too: minijinja does not tell the two apart); other numbers as the shortest text that reads back;
* null is an error that names the field, so is a field that the item lacks.

`item` is the whole item (unless it has a field of that name), for fields whose names are no identifiers.

A render error says which field or expression and never shows what an item holds: messages end up in logs and tickets.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.problems import Fault
from batchrun.model import ITEM_LINE_LIMIT_BYTES, Json, JsonObject

if TYPE_CHECKING:
    from minijinja import Environment
    from minijinja import TemplateError as ForeignError

FUEL = 1_000_000  # steps of minijinja's machine in one render; a loop over 100,000 elements takes about half
WHOLE_FLOAT_LIMIT = 2.0**63  # below it minijinja hands a whole float to its finalizer as an int
EXACT_INTEGERS = range(-(2**127), 2**128)  # what minijinja holds without going over to floats

_PLAIN_VARIABLE = re.compile(r"\{\{[ \t\r\n]*([A-Za-z_][A-Za-z0-9_]*)[ \t\r\n]*\}\}")
_UNDEFINED = re.compile(r"`(.+)` is undefined")
_SYNTAX = ("{{", "{%", "{#")
_NOT_FIELDS = frozenset({"true", "false", "none", "True", "False", "None", "not"})
ITEM = (
    "item"  # the whole item, for fields whose names are no identifiers: {{ item["Review Text"] }}
)
_FUNCTIONS = frozenset({"range", "dict", "namespace", "cycler", "joiner"})
_NAME_FAULTS = frozenset({"UnknownFilter", "UnknownTest", "UnknownFunction", "TemplateNotFound"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What a template is the value of: `key` of the job line on `line` of `path`."""

    path: str
    line: int | None = None
    key: str = "prompt"


class TemplateError(Fault):
    """One item does not fit the template. `variable` is the field or expression at fault, "" where that cannot be told."""

    def __init__(self, message: str, variable: str = "", fix: str = "") -> None:
        super().__init__(message, fix)
        self.message = message
        self.variable = variable


class Template(Protocol):
    """A compiled template."""

    @property
    def variables(self) -> frozenset[str]:
        """The fields that it may ask for."""
        ...

    def render(self, fields: Mapping[str, Json]) -> str:
        """The text for one item; raises TemplateError, whose message shows no item data beyond a field's name."""
        ...


def compile_template(text: str, *, where: Where) -> Template:
    """Compile a template. Raises JobFileError, with one problem at `where`, for broken syntax and unknown filters, tests or functions."""
    return _compile_plain(text) or _compile_full(text, where)


def text_of(value: Json, name: str) -> str:
    """A decoded JSON value as it stands in a rendered text; `name` is for the error that null is."""
    kind = type(value)
    if kind is str:
        return str(value)
    if value is None:
        raise _null(name)
    if kind is float:
        whole = value.is_integer() and abs(value) < WHOLE_FLOAT_LIMIT
        return str(int(value)) if whole else repr(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=list)
    except RecursionError:
        raise TemplateError(f"field {name!r} is nested too deeply", name) from None
    except TypeError:  # a macro, a namespace: things of the template's own making
        raise TemplateError(f"{name} has no text form", name) from None


def _missing(name: str) -> TemplateError:
    return TemplateError(
        f"the item has no field {name!r}",
        name,
        "Give it one, or say what stands in its place: {{ " + name + ' | default("") }}.',
    )


def _null(name: str) -> TemplateError:
    return TemplateError(
        f"field {name!r} is null",
        name,
        "Give it a value, or say what stands in its place: {{ " + name + ' | default("") }}.',
    )


def _within_limit(text: str) -> str:
    # A character is at most 4 bytes of UTF-8, so nearly every text is let through without being encoded.
    if len(text) * 4 > ITEM_LINE_LIMIT_BYTES and len(text.encode()) > ITEM_LINE_LIMIT_BYTES:
        raise TemplateError(f"the rendered text is over {ITEM_LINE_LIMIT_BYTES:,} bytes")
    return text


# --- plain text and {{ name }} only


class _PlainTemplate:
    """Text with gaps: about 0.3 us a render where minijinja takes 2."""

    def __init__(self, pieces: list[str], names: list[str]) -> None:
        self.variables: Final = frozenset(names)
        self._pieces = [""] * (2 * len(names) + 1)
        self._pieces[::2] = pieces
        self._gaps = list(zip(range(1, len(self._pieces), 2), names, strict=True))

    def render(self, fields: Mapping[str, Json]) -> str:
        pieces = self._pieces.copy()
        for gap, name in self._gaps:
            try:
                value = fields[name]
            except KeyError:
                raise _missing(name) from None
            pieces[gap] = value if type(value) is str else text_of(value, name)
        text = "".join(pieces)
        return text if len(text) * 4 <= ITEM_LINE_LIMIT_BYTES else _within_limit(text)


def _compile_plain(text: str) -> Template | None:
    split = _PLAIN_VARIABLE.split(text)
    pieces, names = split[::2], split[1::2]
    if any(mark in piece for piece in pieces for mark in _SYNTAX):
        return None
    # A brace left before a gap would have been read together with it: `{{{ x }}`.
    if any(piece.endswith("{") for piece in pieces[:-1]):
        return None
    if not (_NOT_FIELDS | _FUNCTIONS | {ITEM}).isdisjoint(names):
        return None
    return _PlainTemplate(pieces, names)


# --- everything else


class _Null(Exception):
    """A null was about to be printed."""


class _FullTemplate:
    def __init__(self, text: str, environment: "Environment", variables: frozenset[str]) -> None:
        self.variables: Final = variables
        self._text = text
        self._environment = environment

    def render(self, fields: Mapping[str, Json]) -> str:
        from minijinja import TemplateError as ForeignError

        try:
            return _within_limit(_render(self._environment, self._context(fields)))
        except ForeignError as error:
            raise self._explained(error, fields) from None
        except _Null:
            raise _null(self._inner_null(fields)) from None

    def _context(self, fields: Mapping[str, Json]) -> JsonObject:
        """The fields that the template asks for. Null ones are left out, since filters would print them as `None`; whole numbers that
        would lose digits go as text.
        """
        context: JsonObject = {}
        if ITEM in self.variables:
            context[ITEM] = dict(fields)
        for name in self.variables:
            value = fields.get(name)
            if value is not None:
                is_huge = type(value) is int and value not in EXACT_INTEGERS
                context[name] = str(value) if is_huge else value
        return context

    def _explained(self, error: "ForeignError", fields: Mapping[str, Json]) -> TemplateError:
        """Minijinja's own detail may quote the item, so the message is made of the template's text."""
        if error.kind == "UndefinedError":
            expression = self._undefined(error)
            return (_null if expression in fields else _missing)(expression)
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


def _compile_full(text: str, where: Where) -> Template:
    from minijinja import TemplateError as ForeignError

    try:
        environment = _environment("strict", text)
        _check_names(text)
    except ForeignError as error:
        raise JobFileError(
            (
                Problem(
                    path=where.path,
                    line=where.line,
                    what=f"{where.key!r}: {_words(error.kind)} on line {error.line or 1} of the template: {error.detail}",
                ),
            )
        ) from None
    variables = environment.undeclared_variables_in_template("item")
    if re.search(r"\bself\b", text):
        variables.add("self")  # a name of Jinja's own, which the listing leaves out
    for name in _FUNCTIONS & variables:
        if re.search(rf"\b{name}\b(?!\s*\()", text):
            environment.remove_global(name)  # not called: a field of that name is meant
        else:
            variables.discard(name)
    return _FullTemplate(text, environment, frozenset(variables))


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
