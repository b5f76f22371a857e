"""One fault of a script: where, what, at which moment, when, and with which details; and what can be wrong with its wording. Pure."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from batchrun.model import JsonObject
from batchrun.service.faults.kinds import Kind, kind_of, places_of
from batchrun.service.faults.words import ANY_CALL, CALLS, RESULT_FILES, Moment, Place, What

_DETAILS: Final = (
    *("status", "code", "type", "message", "retry_after_s", "as_date", "to"),
    *("bytes", "seconds", "set", "nulls", "text"),
)
_BATCH_PLACES: Final = frozenset(Place) - {
    Place.UPLOAD,
    Place.LIST_FILES,
    Place.GET_FILE,
    Place.CONTENT,
    Place.DELETE_FILE,
}
_FILE_PLACES: Final = frozenset({Place.GET_FILE, Place.CONTENT, Place.DELETE_FILE})
# Which places know what a condition asks about.
_CONDITIONS: Final = {
    "metadata": _BATCH_PLACES,
    "filename": _FILE_PLACES,
    "key": frozenset(CALLS),
    "custom_id": frozenset({Place.EXECUTION, *RESULT_FILES}),
}
_LEAST: Final = {
    "every": 1,
    "times": 1,
    "from_s": 0,
    "until_s": 1,
    "retry_after_s": 0,
    "bytes": 0,
    "seconds": 0,
}


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """`at` is a place, several, or "any call"; `what` a kind of kinds.py, which also says what its details mean.

    When: the `calls`-th of those that fit (from 1), each `every`-th, with `probability`, at most `times`, from `from_s` to `until_s`
    seconds after the script was first played in this folder. All that are given must hold; without any, always.

    What fits: `metadata` (pairs that the batch has), `filename` and `custom_id` (regular expressions, searched), `key` (the API key of the
    caller, which the server then accepts besides its own).
    """

    at: str | tuple[str, ...]
    what: What
    moment: Moment | None = None

    calls: int | tuple[int, ...] = ()
    every: int | None = None
    probability: float | None = None
    times: int | None = None
    from_s: int = 0
    until_s: int | None = None

    metadata: dict[str, str] | None = None
    filename: str | None = None
    custom_id: str | None = None
    key: str | None = None

    status: int | None = None
    code: str | None = None
    type: str | None = None
    message: str | None = None
    retry_after_s: int | None = None
    as_date: bool = False
    to: str | None = None
    bytes: int | None = None
    seconds: int | None = None
    set: JsonObject = {}
    nulls: tuple[str, ...] = ()
    text: str | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where it happens. Only for a fault without a `problem`."""
        if self.at == ANY_CALL:
            return tuple(place for place in CALLS if kind_of(self.what, place) is not None)
        names = (self.at,) if isinstance(self.at, str) else self.at
        return tuple(Place(name) for name in names)

    @property
    def happens(self) -> Moment:
        """Its moment, or the usual one of its kind; DURING where the kind has none."""
        if self.moment is not None:
            return self.moment
        kind = kind_of(self.what, self.places[0])
        return kind.moments[0] if kind is not None and kind.moments else Moment.DURING

    @property
    def numbers(self) -> tuple[int, ...]:
        """`calls` as a tuple; empty where every call will do."""
        return (self.calls,) if isinstance(self.calls, int) else self.calls

    def __str__(self) -> str:
        """`POST /batches, drop (after): resets …`: where, what, when in a call, and what that means."""
        kind = kind_of(self.what, self.places[0])
        assert kind is not None, "a fault without a problem has a kind"
        where = self.at if isinstance(self.at, str) else ", ".join(self.at)
        moment = f" ({self.happens.value})" if len(kind.moments) > 1 else ""
        return f"{where}, {self.what.value}{moment}: {kind.does}."

    def problem(self) -> tuple[str, str] | None:
        """The first thing wrong with it: (key, what is wrong); None for a good one."""
        return next(self._problems(), None)

    def _problems(self) -> Iterator[tuple[str, str]]:
        kind = None
        names = (self.at,) if isinstance(self.at, str) else self.at
        if self.at == ANY_CALL:
            names = tuple(place.value for place in self.places)
        for name in names:
            if name not in place_names():
                yield "at", f"{name!r} is no place{_nearest(name)}"
                return
            kind = kind_of(self.what, Place(name))
            if kind is None:
                where = ", ".join(repr(place.value) for place in places_of(self.what))
                yield "at", f"{self.what.value!r} does not exist at {name!r}, only at {where}"
                return
        if kind is None:
            where = ", ".join(repr(place.value) for place in places_of(self.what))
            yield "at", f"{self.what.value!r} needs a place: {where}"
            return
        yield from self._wrong_details(kind)
        yield from self._wrong_conditions()

    def _wrong_details(self, kind: Kind) -> Iterator[tuple[str, str]]:
        if self.moment is not None and self.moment not in kind.moments:
            known = " or ".join(repr(moment.value) for moment in kind.moments) or "no moment"
            yield (
                "moment",
                f"{self.what.value!r} takes {known} here, not {self.moment.value!r}",
            )
        for key in kind.needs:
            if getattr(self, key) is None:
                yield "what", f"{self.what.value!r} needs {key!r}"
        for key in _DETAILS:
            if self._is_given(key) and key not in (*kind.needs, *kind.takes):
                yield key, f"means nothing to {self.what.value!r} here"
        if self.status is not None and not self._is_good_status():
            yield "status", f"{self.status} cannot be answered by {self.what.value!r}"
        if self.what is What.SHOW and not (self.set or self.nulls):
            yield "what", "'show' needs 'set' or 'nulls'"
        if self.what is What.BOMB and (self.bytes or 0) < 1:
            yield "bytes", "must be at least 1"

    def _is_good_status(self) -> bool:
        assert self.status is not None
        match self.what:
            case What.STATUS:
                return 400 <= self.status <= 599
            case What.REDIRECT:
                return self.status in {301, 302, 303, 307, 308}
            case _:
                return 200 <= self.status <= 599

    def _wrong_conditions(self) -> Iterator[tuple[str, str]]:
        for key, least in _LEAST.items():
            value = getattr(self, key)
            if value is not None and value < least:
                yield key, f"must be at least {least}"
        if any(number < 1 for number in self.numbers):
            yield "calls", "counts from 1"
        if self.probability is not None and not 0 <= self.probability <= 1:
            yield "probability", "must lie between 0 and 1"
        if self.until_s is not None and self.until_s <= self.from_s:
            yield "until_s", "must be later than 'from_s'"
        for key, known_at in _CONDITIONS.items():
            if self._is_given(key):
                for place in self.places:
                    if place not in known_at:
                        yield key, f"is not known at {place.value!r}"
        for key in ("filename", "custom_id"):
            try:
                re.compile(getattr(self, key) or "")
            except re.error as error:
                yield key, f"is not a regular expression: {error}"
        if self.times is not None and not self.is_counted:
            yield "times", "counts calls; name batches or lines by 'calls' or 'every' instead"

    @property
    def is_counted(self) -> bool:
        """Whether calls are counted; elsewhere a batch has the number of its creation, and a line that in its file."""
        return all(place in CALLS or place is Place.EXECUTION for place in self.places)

    def _is_given(self, key: str) -> bool:
        value = getattr(self, key)
        return value is not None and value is not False and value not in ({}, ())


def place_names() -> frozenset[str]:
    """The spellings of all places."""
    return frozenset(place.value for place in Place)


def _all_places() -> str:
    return ", ".join(repr(place.value) for place in Place) + f", or {ANY_CALL!r}"


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, [*place_names(), ANY_CALL], n=1)
    return f" (did you mean {near[0]!r}?)" if near else f": it is one of {_all_places()}"
