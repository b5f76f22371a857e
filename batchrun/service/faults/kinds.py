"""The table of kinds: what each fault does, where and at which moments it exists, and which keys it takes.

The wire's kinds hide or spoil what the service answered; all others are the service's own and are met in process, too. What a kind does
is in one table of functions for each layer (`wire.py`, `service.py`, `course.py`, `resultlines.py`), held against this one by a test.
"""

from dataclasses import dataclass
from typing import Final

from batchrun.service.faults.words import CALLS, RESULT_FILES, Moment, Place, What

_BEFORE_AFTER = (Moment.BEFORE, Moment.AFTER)
_ERROR = ("code", "type", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One row; `does` goes on from a kind's name. The first of `moments` is the default; without any the key means nothing. `needs` must be given, `takes` may be."""

    does: str
    places: tuple[Place, ...]
    moments: tuple[Moment, ...] = ()
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


def _answered(does: str, *, needs: tuple[str, ...] = (), takes: tuple[str, ...] = ()) -> Kind:
    """Something else than the answer, before the call takes effect or after."""
    return Kind(does=does, places=CALLS, moments=_BEFORE_AFTER, needs=needs, takes=takes)


def _spoiled(does: str, *, needs: tuple[str, ...] = (), takes: tuple[str, ...] = ()) -> Kind:
    """The answer itself, damaged on its way; the call has taken effect."""
    return Kind(does=does, places=CALLS, moments=(Moment.DURING,), needs=needs, takes=takes)


def _line(does: str, *, takes: tuple[str, ...] = ()) -> Kind:
    """A line of a result file."""
    return Kind(does=does, places=RESULT_FILES, takes=takes)


WIRE: Final[dict[What, Kind]] = {
    What.STATUS: _answered(
        "answers with this HTTP status and an error object as the API words it",
        needs=("status",),
        takes=(*_ERROR, "retry_after_s", "as_date"),
    ),
    What.HTML: _answered(
        "answers with a page of HTML, as a proxy or a captive portal does", takes=("status",)
    ),
    What.EMPTY: _answered("answers with an empty body", takes=("status",)),
    What.REDIRECT: _answered("redirects to another address", needs=("to",), takes=("status",)),
    What.DROP: Kind(
        does="resets the connection instead of answering",
        places=CALLS,
        moments=(Moment.AFTER, Moment.BEFORE, Moment.DURING),
        takes=("bytes",),
    ),
    What.NOISE: _answered("answers with something that is no HTTP"),
    What.DELAY: _answered(
        "waits so many seconds before the call is taken up, or before it is answered",
        needs=("seconds",),
    ),
    What.STRANGER: Kind(
        does="answers as if to the key of another project: nothing is listed, no id is known",
        places=CALLS,
        moments=(Moment.BEFORE,),
    ),
    What.CUT: _spoiled("closes the connection after that many bytes of the body", takes=("bytes",)),
    What.TRUNCATE: _spoiled(
        "sends that many bytes of the body only, and a Content-Length that agrees", takes=("bytes",)
    ),
    What.LENGTH: _spoiled(
        "sends the whole body under a Content-Length of that many bytes, and closes",
        needs=("bytes",),
    ),
    What.UNSIZED: _spoiled(
        "sends that many bytes without any Content-Length, and closes", takes=("bytes",)
    ),
    What.CHUNKED: _spoiled(
        "sends that many bytes in chunks, and closes without the last chunk", takes=("bytes",)
    ),
    What.SLOW: _spoiled(
        "sends the body in pieces of that many bytes (1), so many seconds apart (10)",
        takes=("bytes", "seconds"),
    ),
    What.GZIP: _spoiled("says that the body is compressed, which it is not"),
    What.BOMB: _spoiled(
        "sends a small compressed body that grows to that many bytes", needs=("bytes",)
    ),
}

SERVICE: Final[dict[What, Kind]] = {
    What.LATE: Kind(
        does="takes effect so many seconds later; a create is given up at once with a 504, a deletion and a cancel are confirmed",
        places=(Place.CREATE, Place.DELETE_FILE, Place.CANCEL),
        needs=("seconds",),
    ),
    What.LAG: Kind(
        does="does not show what is younger than so many seconds",
        places=(Place.LIST, Place.GET_BATCH, Place.GET_FILE, Place.CONTENT),
        needs=("seconds",),
    ),
    What.VANISH: Kind(
        does="does not know the batch or file any more; in a listing it is left out",
        places=(Place.LIST, Place.GET_BATCH, Place.CANCEL, Place.GET_FILE, Place.CONTENT),
    ),
    What.SHOW: Kind(
        does="shows the batch with the keys of `set` replaced, and those in `nulls` null",
        places=(Place.CREATE, Place.LIST, Place.GET_BATCH, Place.CANCEL),
        takes=("set", "nulls"),
    ),
    What.OLDEST_FIRST: Kind(does="lists the oldest batch first", places=(Place.LIST,)),
    What.IGNORE_AFTER: Kind(
        does="lists the first page again, whatever `after` says", places=(Place.LIST,)
    ),
}

COURSE: Final[dict[What, Kind]] = {
    What.STALL: Kind(
        does="keeps the batch in this status for so many seconds more (`expiry`: it expires that much later)",
        places=(Place.VALIDATION, Place.FINALIZING, Place.CANCELLING, Place.EXPIRY),
        needs=("seconds",),
    ),
    What.FAIL: Kind(
        does="refuses the input file, with one error of this `code`; without a `code` no reason is given",
        places=(Place.VALIDATION,),
        takes=("code", "message"),
    ),
}

# Of the wire's kinds these also exist for a single line of a batch, as what the model's endpoint answered.
EXECUTION: Final[dict[What, Kind]] = {
    What.STATUS: Kind(
        does="answers the line with this HTTP status, with or without asking the model",
        places=(Place.EXECUTION,),
        moments=_BEFORE_AFTER,
        needs=("status",),
        takes=_ERROR,
    ),
    What.DELAY: Kind(
        does="waits so many seconds before the line is executed",
        places=(Place.EXECUTION,),
        needs=("seconds",),
    ),
}

LINES: Final[dict[What, Kind]] = {
    What.MISSING: _line("leaves the line out"),
    What.DUPLICATE: _line("writes the line twice"),
    What.CONTRADICT: _line("writes the line, and another answer to the same request"),
    What.UNKNOWN: _line("writes the line, and one for a request that nobody made"),
    What.GARBAGE: _line(
        "writes `text` instead of the line, repeated up to that many bytes", takes=("text", "bytes")
    ),
    What.SHOW: _line(
        "writes the line with the keys of `set` replaced, and those in `nulls` null",
        takes=("set", "nulls"),
    ),
    What.BOTH: _line("gives the line a response and an error"),
    What.NEITHER: _line("gives the line neither a response nor an error"),
}


def kind_of(what: What, place: Place) -> Kind | None:
    """The row for a kind at a place; None where the kind does not exist there."""
    for table in (WIRE, SERVICE, COURSE, EXECUTION, LINES):
        kind = table.get(what)
        if kind is not None and place in kind.places:
            return kind
    return None


def places_of(what: What) -> tuple[Place, ...]:
    """Everywhere a kind exists."""
    return tuple(place for place in Place if kind_of(what, place) is not None)
