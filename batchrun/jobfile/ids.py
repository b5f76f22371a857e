"""Item ids: where they come from, and what may be one."""

import re
from collections.abc import Callable, Mapping

from batchrun.jobfile.problems import Fault
from batchrun.jobfile.strict import kind_of
from batchrun.jobfile.template import Where, compile_template
from batchrun.model import JobSettings, Json

ID_LIMIT_BYTES = 512
IdOf = Callable[[Mapping[str, Json]], str | None]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def id_of(settings: JobSettings) -> IdOf:
    """Compile the rule of a job into a function from an item's fields to its id, None where it has none of its own.

    The rule: the job line's `id` template; else the field `id` (a string as it is, a whole number as its digits); of a ready Batch file
    the `custom_id`. The function raises Fault where the id is no string of 1..512 bytes of UTF-8 without control characters, or where
    the template does not fit. Raises JobFileError if the template is broken.
    """
    if settings.is_raw:
        return _from_field("custom_id")
    if settings.id is None:
        return _from_field("id")
    where = Where(path=settings.path, line=settings.line, key="id")
    render = compile_template(settings.id, where=where).render

    def from_template(fields: Mapping[str, Json]) -> str:
        return _checked(render(fields))

    return from_template


def _from_field(name: str) -> IdOf:
    def from_field(fields: Mapping[str, Json]) -> str | None:
        value = fields.get(name)
        if type(value) is str:
            # The common case is settled in C: printable ASCII holds no control character.
            if 0 < len(value) <= ID_LIMIT_BYTES and value.isascii() and value.isprintable():
                return value
            return _checked(value)
        if type(value) is int:
            return _checked(str(value))
        if name in fields:
            raise Fault(
                f"{name!r} is {kind_of(value)}, not a string",
                "Give the item an id, or leave it out.",
            )
        return None

    return from_field


def _checked(value: str) -> str:
    if not value:
        raise Fault("an empty id", "Give each item its own.")
    if len(value.encode()) > ID_LIMIT_BYTES:
        raise Fault(f"an id of more than {ID_LIMIT_BYTES} bytes", "Shorten it.")
    if found := _CONTROL.search(value):
        raise Fault(f"a control character in the id: {found[0]!r}", "Remove it.")
    return value
