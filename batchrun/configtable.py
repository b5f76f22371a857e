"""One table of `batchrun.toml`: hands out typed values and collects what is wrong, so that all of it is reported at once."""

import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from batchrun.clock import duration_s
from batchrun.model import Json

_DATE: Final = len("2026-11-20")
_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})


class ConfigTable:
    """Reads by key; a wrong value becomes a problem and the default. `where` opens each problem: the file and the table's name.

    `beneath` holds what counts where the table is silent; none of it is ever a problem.
    """

    def __init__(
        self,
        where: str,
        table: dict[str, Json],
        problems: list[str],
        *,
        beneath: Mapping[str, Json] = _NOTHING,
    ) -> None:
        self._where = where
        self._table = table
        self._beneath = beneath
        self._problems = problems
        self._known: set[str] = set()

    def problem(self, what: str) -> None:
        """Report something; `what` goes on from `FILE: [TABLE] `."""
        self._problems.append(f"{self._where} {what}.")

    def text(self, key: str) -> str:
        """A line of text, stripped; "" where there is none."""
        value = self._value(key, "")
        if isinstance(value, str) and value.isprintable():
            return value.strip()
        self._wrong(key, "a line of text", value)
        return ""

    def day(self, key: str) -> str:
        """A day: a date of TOML, or a line of text as it is; "" where there is none."""
        value = self._value(key, "")
        return value.isoformat()[:_DATE] if isinstance(value, date) else self.text(key)

    def words(self, key: str) -> tuple[str, ...]:
        """A command: a list of words, or one string that is split as a shell would."""
        value = self._value(key, [])
        if isinstance(value, str):
            import shlex

            try:
                return tuple(shlex.split(value))
            except ValueError as error:
                self.problem(f"has a {key!r} that cannot be split: {error}")
                return ()
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
        self._wrong(key, "a command (text, or a list of words)", value)
        return ()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, none of them empty."""
        value = self._value(key, [])
        if isinstance(value, list) and all(isinstance(text, str) and text for text in value):
            return tuple(value)
        self._wrong(key, "a list of texts", value)
        return ()

    def integer(self, key: str, default: int, *, least: int = 0) -> int:
        """A whole number, at least `least`."""
        value = self._value(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self._wrong(key, f"a whole number from {least}", value)
        return default

    def integers(
        self, key: str, default: tuple[int, ...], *, least: int, most: int
    ) -> tuple[int, ...]:
        """A list of whole numbers between two."""
        value = self._value(key, list(default))
        if isinstance(value, list) and all(type(n) is int and least <= n <= most for n in value):
            return tuple(value)
        self._wrong(key, f"a list of whole numbers from {least} to {most}", value)
        return default

    def names(self) -> tuple[str, ...]:
        """Every key that is written here."""
        return tuple(self._table)

    def amount(self, key: str) -> Decimal | None:
        """A number from 0, exactly as it is written; None where there is none."""
        value = self._value(key, None)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
            return Decimal(repr(value))
        self._wrong(key, "a number from 0", value)
        return None

    def duration_s(self, key: str, *, least: int) -> int | None:
        """A duration (`"30d"`) of at least `least` seconds, in seconds; None where there is none."""
        value = self._value(key, None)
        if value is None:
            return None
        seconds = duration_s(value) if isinstance(value, str) else None
        if seconds is not None and seconds >= least:
            return int(seconds)
        self._wrong(key, f'a duration such as "30d", of {least:,} seconds or more', value)
        return None

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if isinstance(value, bool):
            return value
        self._wrong(key, "true or false", value)
        return default

    def table(self, key: str) -> "ConfigTable":
        """The table inside this one; an empty one where there is none."""
        value, beneath = self._table.get(key, {}), self._beneath.get(key, {})
        self._known.add(key)
        if not isinstance(value, dict):
            self._wrong(key, "a table", value)
            value = {}
        where = self._where.replace("]", f".{key}]")
        return ConfigTable(where, value, self._problems, beneath=beneath)

    def end(self, *, meaningless: Iterable[str] = ()) -> None:
        """Report the keys that nobody asked for; `meaningless` are those of another kind of backend."""
        for key in self._table:
            if key in meaningless:
                self.problem(f"has {key!r}, which means nothing to this backend. Remove it")
            elif key not in self._known:
                self._problems.append(
                    f"{self._where} has an unknown key {key!r}.{nearest(key, self._known)}"
                )

    def _value(self, key: str, default: Json) -> Json:
        self._known.add(key)
        return self._table.get(key, self._beneath.get(key, default))

    def _wrong(self, key: str, wanted: str, value: Json) -> None:
        self.problem(f"has {key} = {value!r}; it takes {wanted}")


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'settle_s'?` for a word that is nearly one of the known ones, else nothing."""
    import difflib

    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
