"""The joined table: input columns first, then what came back. One pass finds the columns, a second writes the rows; nothing is held.

RFC 4180 in UTF-8, without a byte order mark, lines ended by a newline. Numbers keep the digits that they came with.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.outputs.fields import LISTED_COLUMNS, LISTED_JOIN, FieldReader, field_names
from batchrun.outputs.lines import FAILURE_CAUSE, FAILURE_MESSAGE, STATUS_NAMES, model_names
from batchrun.outputs.rows import JobView, item_blocks
from batchrun.outputs.values import text_of

# A spreadsheet runs what begins so; the wide forms count in East Asian settings. A plain number such as -5 or +81901234567 is harmless.
_FORMULA_STARTS: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]|\A\s|\s\Z')
_FAILED, _SUCCEEDED = int(ItemState.FAILED), int(ItemState.SUCCEEDED)
_AFTER: Final = (
    "finish",
    "cause",
    "message",
    "attempts",
    "model",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_JOINS: Final = (
    "left join result_rows a on a.item = i.id left join result_rows r on r.item = i.id and r.outcome <> 0 "
    f"left join bad_items b on b.item = i.id left join batch_rows y on y.id = i.batch {LISTED_JOIN}"
)
_COLUMNS: Final = (
    f"{LISTED_COLUMNS}, coalesce(i.key, i.name), i.state, cast(a.output as blob), a.finish, "
    f"case when i.state = {_FAILED} then {FAILURE_CAUSE} end, case when i.state = {_FAILED} then {FAILURE_MESSAGE} end, "
    "a.attempts, a.model, a.input_tokens, a.cached_tokens, a.output_tokens, a.reasoning_tokens"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """`fields`: names of input fields; `members`: keys of answers that are objects; `header`: all names as written, each once."""

    fields: tuple[str, ...]
    has_id: bool
    members: tuple[str, ...]
    has_output: bool
    header: tuple[str, ...]


def find_columns(ledger: Ledger, job: JobView) -> Columns:
    """Read once through fields and answers. Where a schema of an object is given its properties come first, answered or not."""
    fields = field_names(ledger, job)
    has_id = "id" not in fields or job.settings.id is not None or job.settings.is_raw
    properties = (
        (job.settings.schema or {}).get("properties") if job.settings.labels is None else None
    )
    members = dict.fromkeys(properties) if isinstance(properties, dict) else {}
    has_objects, has_others = bool(members), False
    for rows in item_blocks(
        ledger,
        job,
        "case when substr(a.output, 1, 1) = '{' then cast(a.output as blob) end",
        joins="join result_rows a on a.item = i.id",
        where=f"i.state = {_SUCCEEDED}",
    ):
        for (output,) in rows:
            if output is None:
                has_others = True
            else:
                has_objects = True
                members.update(dict.fromkeys(_members(output)))
    has_output = has_others or not has_objects
    names = [*fields, *(["id"] if has_id else []), "status", *(["output"] if has_output else [])]
    return Columns(
        fields=fields,
        has_id=has_id,
        members=tuple(members),
        has_output=has_output,
        header=_each_once([*names, *members, *_AFTER]),
    )


def table_blocks(ledger: Ledger, job: JobView, *, defuse: bool) -> Iterator[bytes]:
    """The table in blocks of whole rows, header first. `defuse`: text that would start a formula gets a `'` before it."""
    columns = find_columns(ledger, job)
    yield _line(columns.header, defuse=defuse)
    reader, models = FieldReader(ledger, job), model_names(ledger)
    for rows in item_blocks(ledger, job, _COLUMNS, joins=_JOINS):
        yield b"".join(
            [
                _line(
                    _cells(row, reader.take(row[0], is_listed=bool(row[1])), columns, models),
                    defuse=defuse,
                )
                for row in rows
            ]
        )


def _cells(
    row: tuple[Any, ...],
    fields: bytes | None,
    columns: Columns,
    models: dict[int | None, str | None],
) -> Iterator[object]:
    _, _, key, state, output, finish, cause, message, attempts, model, *tokens = row
    given = {} if fields is None else _members(fields)
    for name in columns.fields:
        yield _cell(given.get(name))
    if columns.has_id:
        yield key
    yield STATUS_NAMES[state]
    answer = output if state == _SUCCEEDED else None
    members = _members(answer) if answer is not None and answer[:1] == b"{" else None
    if columns.has_output:
        yield None if members is not None or answer is None else _cell(msgspec.Raw(answer))
    for name in columns.members:
        yield None if members is None else _cell(members.get(name))
    yield None if finish == "none" else finish
    yield cause
    yield message
    yield attempts or 0
    yield models[model]
    for count in tokens:
        yield count or 0


class _Verbatim(str):
    """A number, boolean, list or object, spelled as JSON: no text, so nothing to defuse."""

    __slots__ = ()


def _cell(value: msgspec.Raw | None) -> str | None:
    if value is None:
        return None
    raw = bytes(value)
    if raw[:1] == b'"':
        return text_of(raw)
    return None if raw == b"null" else _Verbatim(raw.decode())


def _line(cells: Iterable[object], *, defuse: bool) -> bytes:
    return (",".join([_quoted(cell, defuse=defuse) for cell in cells]) + "\n").encode()


def _quoted(cell: object, *, defuse: bool) -> str:
    if cell is None:
        return ""
    text = str(cell)
    if defuse and type(cell) is str and text[:1] in _FORMULA_STARTS and not _NUMBER.fullmatch(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _each_once(names: list[str]) -> tuple[str, ...]:
    """The header: a name that is taken gets `output.` before it."""
    header: dict[str, None] = {}
    for name in names:
        free = name
        while free in header:
            free = f"output.{free}"
        header[free] = None
    return tuple(header)
