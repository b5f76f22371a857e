"""From an item's values to text, the same in every kind of template, and the errors of rendering.

* a string as it is; true, false as in JSON; lists and objects as JSON;
* whole numbers as digits (`4.0` too: minijinja does not tell the two apart); other numbers as the shortest text that reads back;
* null is an error that names the field, and so is a field that the item lacks.

An error says which field or expression and never shows what an item holds: messages end up in logs and tickets.
"""

import json

from batchrun.jobfile.problems import Fault
from batchrun.model import ITEM_LINE_LIMIT_BYTES, Json

WHOLE_FLOAT_LIMIT = 2.0**63  # below it minijinja hands a whole float to its finalizer as an int


class TemplateError(Fault):
    """One item does not fit the template. `variable` is the field or expression at fault, "" where that cannot be told."""

    def __init__(self, message: str, variable: str = "", fix: str = "") -> None:
        super().__init__(message, fix)
        self.message = message
        self.variable = variable


def text_of(value: Json, name: str) -> str:
    """A decoded JSON value as it stands in a rendered text; `name` is for the error that null is."""
    if isinstance(value, str):  # minijinja's `safe` gives a subclass
        return str(value)
    if value is None:
        raise null_field(name)
    if type(value) is float:
        whole = value.is_integer() and abs(value) < WHOLE_FLOAT_LIMIT
        return str(int(value)) if whole else repr(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=list)
    except RecursionError:
        raise TemplateError(f"field {name!r} is nested too deeply", name) from None
    except TypeError:  # keys that JSON does not have, in an object of the template's own making
        raise TemplateError(f"{name} has no text form", name) from None


def missing_field(name: str) -> TemplateError:
    """The error for a field, or an expression, that the item does not have."""
    return TemplateError(
        f"the item has no field {name!r}",
        name,
        "Give it one, or say what stands in its place: {{ " + name + ' | default("") }}.',
    )


def null_field(name: str) -> TemplateError:
    """The error for a field, or an expression, that is null."""
    return TemplateError(
        f"field {name!r} is null",
        name,
        "Give it a value, or say what stands in its place: {{ " + name + ' | default("") }}.',
    )


def within_limit(text: str) -> str:
    """The text, if it has at most 16 MB of UTF-8; otherwise TemplateError."""
    # A character is at most 4 bytes of UTF-8, so nearly every text is let through without being encoded.
    if len(text) * 4 > ITEM_LINE_LIMIT_BYTES and len(text.encode()) > ITEM_LINE_LIMIT_BYTES:
        raise TemplateError(f"the rendered text is over {ITEM_LINE_LIMIT_BYTES:,} bytes")
    return text
