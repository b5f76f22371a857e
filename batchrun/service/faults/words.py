"""The words of a fault script: where something goes wrong, what, and at which moment of a call."""

from enum import StrEnum
from typing import Final


class Place(StrEnum):
    """Where: a call of the API, or a step of the service's own."""

    UPLOAD = "POST /files"
    LIST_FILES = "GET /files"
    GET_FILE = "GET /files/{id}"
    CONTENT = "GET /files/{id}/content"
    DELETE_FILE = "DELETE /files/{id}"
    CREATE = "POST /batches"
    LIST = "GET /batches"
    GET_BATCH = "GET /batches/{id}"
    CANCEL = "POST /batches/{id}/cancel"
    EXECUTION = "execution"  # of one line of a batch
    VALIDATION = "validation"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    EXPIRY = "expiry"
    OUTPUT = "output file"  # while it is written
    ERROR = "error file"


class Moment(StrEnum):
    """When in a call: before its effect, while a body is on its way, after its effect."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class What(StrEnum):
    """The kinds of faults; kinds.py says what each does, where it exists and what it takes."""

    STATUS = "status"
    HTML = "html"
    EMPTY = "empty"
    REDIRECT = "redirect"
    DROP = "drop"
    NOISE = "noise"
    DELAY = "delay"
    STRANGER = "stranger"
    CUT = "cut"
    TRUNCATE = "truncate"
    LENGTH = "length"
    UNSIZED = "unsized"
    CHUNKED = "chunked"
    SLOW = "slow"
    GZIP = "gzip"
    BOMB = "bomb"
    LATE = "late"
    LAG = "lag"
    VANISH = "vanish"
    SHOW = "show"
    OLDEST_FIRST = "oldest_first"
    IGNORE_AFTER = "ignore_after"
    STALL = "stall"
    FAIL = "fail"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    CONTRADICT = "contradict"
    UNKNOWN = "unknown"
    GARBAGE = "garbage"
    BOTH = "both"
    NEITHER = "neither"


CALLS: Final = (
    Place.UPLOAD,
    Place.LIST_FILES,
    Place.GET_FILE,
    Place.CONTENT,
    Place.DELETE_FILE,
    Place.CREATE,
    Place.LIST,
    Place.GET_BATCH,
    Place.CANCEL,
)
RESULT_FILES: Final = (Place.OUTPUT, Place.ERROR)
ANY_CALL: Final = "any call"
