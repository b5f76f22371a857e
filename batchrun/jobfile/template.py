"""Prompt templates: compiled once; the plain ones are string joins, the others go through minijinja.

Both give the same text for the same item, because both turn values into text with `text_of`; a property test holds them to it.
`item` is the whole item (unless it has a field of that name), for fields whose names are no identifiers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Final, Protocol

from batchrun.errors import JobFileError
from batchrun.jobfile.fulltemplate import FUNCTIONS, ITEM, compile_full
from batchrun.jobfile.problems import Fault
from batchrun.jobfile.rendering import TemplateError, missing_field, text_of, within_limit
from batchrun.model import ITEM_LINE_LIMIT_BYTES, Json, JsonObject

__all__ = ["Template", "TemplateError", "Where", "compile_template"]

_PLAIN_VARIABLE = re.compile(r"\{\{[ \t\r\n]*([A-Za-z_][A-Za-z0-9_]*)[ \t\r\n]*\}\}")
_JUST_STRINGS = {str}
_SYNTAX = ("{{", "{%", "{#")
_NOT_FIELDS = frozenset({"true", "false", "none", "True", "False", "None", "not"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What a template is the value of: `key` of the job line on `line` of `path`."""

    path: str
    line: int | None = None
    key: str = "prompt"


class Template(Protocol):
    """A compiled template."""

    @property
    def variables(self) -> frozenset[str]:
        """The fields that it may ask for."""
        ...

    def render(self, fields: Mapping[str, Json]) -> str:
        """The text for one item; raises TemplateError, whose message shows no item data beyond a field's name."""
        ...

    def render_block(self, block: list[JsonObject]) -> Iterable[str] | None:
        """The texts of many items, each made when it is asked for; or None where some item has to be looked at by itself with `render`.

        Their length is not looked at: the caller must.
        """
        ...


def compile_template(text: str, *, where: Where) -> Template:
    """Compile a template. Raises JobFileError, with one problem at `where`, for broken syntax and unknown filters, tests or functions."""
    if plain := _compile_plain(text):
        return plain
    try:
        return compile_full(text)
    except Fault as fault:
        problem = Fault(f"{where.key!r}: {fault.what}", fault.fix).at(where.path, where.line)
        raise JobFileError((problem,)) from None


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
                raise missing_field(name) from None
            pieces[gap] = value if type(value) is str else text_of(value, name)
        text = "".join(pieces)
        return text if len(text) * 4 <= ITEM_LINE_LIMIT_BYTES else within_limit(text)

    def render_block(self, block: list[JsonObject]) -> Iterable[str] | None:
        # Column by column, so that the loops run inside the interpreter's own functions.
        columns: list[Iterable[str]] = [repeat(piece) for piece in self._pieces]
        for gap, name in self._gaps:
            try:
                values = [fields[name] for fields in block]
            except KeyError:
                return None
            if set(map(type, values)) != _JUST_STRINGS:
                return None
            columns[gap] = values
        if not self._gaps:
            return [self._pieces[0]] * len(block)
        return map("".join, zip(*columns, strict=False))


def _compile_plain(text: str) -> Template | None:
    split = _PLAIN_VARIABLE.split(text)
    pieces, names = split[::2], split[1::2]
    if any(mark in piece for piece in pieces for mark in _SYNTAX):
        return None
    # A brace left before a gap would have been read together with it: `{{{ x }}`.
    if any(piece.endswith("{") for piece in pieces[:-1]):
        return None
    if not (_NOT_FIELDS | FUNCTIONS | {ITEM}).isdisjoint(names):
        return None
    return _PlainTemplate(pieces, names)
