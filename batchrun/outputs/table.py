"""The joined table: input columns first, then what came back. One pass finds the columns, a second writes the rows; nothing is held.

RFC 4180 in UTF-8, without a byte order mark, lines ended by a newline. Numbers keep the digits that they came with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.outputs.cells import defused, quoted, value_cell
from batchrun.outputs.fields import LISTED_COLUMNS, LISTED_JOIN, FieldReader, field_names
from batchrun.outputs.lines import FAILURE_CAUSE, FAILURE_MESSAGE, STATUS_NAMES, model_names
from batchrun.outputs.rows import JobView
from batchrun.outputs.shown import shown_blocks

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
    schema = job.settings.schema if job.settings.labels is None else None
    properties = (schema or {}).get("properties")
    members = dict.fromkeys(properties) if isinstance(properties, dict) else {}
    has_objects = bool(members)
    for rows in _answers(ledger, job, "cast(a.output as blob)", "= '{'"):
        has_objects = True
        for (output,) in rows:
            members.update(dict.fromkeys(_members(output)))
    has_output = not has_objects or any(_answers(ledger, job, "1", "<> '{'"))
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
    cell = defused if defuse else quoted
    yield (",".join(map(cell, columns.header)) + "\n").encode()
    reader = FieldReader(ledger, job)
    models = {key: cell(name or "") for key, name in model_names(ledger).items()}
    for rows in shown_blocks(ledger, job, _COLUMNS, joins=_JOINS):
        lines = [
            _line(row, reader.take(row[0], is_listed=bool(row[1])), columns, models, defuse=defuse)
            for row in rows
        ]
        yield "".join(lines).encode()


def _answers(
    ledger: Ledger, job: JobView, columns: str, first_character: str
) -> Iterator[list[tuple[Any, ...]]]:
    return shown_blocks(
        ledger,
        job,
        columns,
        joins="join result_rows a on a.item = i.id",
        where=f"i.state = {_SUCCEEDED} and substr(a.output, 1, 1) {first_character}",
    )


def _line(
    row: tuple[Any, ...],
    fields: bytes | None,
    columns: Columns,
    models: dict[int | None, str],
    *,
    defuse: bool,
) -> str:
    cell = defused if defuse else quoted
    _, _, key, state, output, finish, cause, message, attempts, model, *tokens = row
    cells: list[str] = []
    if columns.fields:
        cells += _spread(fields, columns.fields, defuse=defuse)
    if columns.has_id:
        cells.append(cell(key))
    cells.append(STATUS_NAMES[state])
    answer = output if state == _SUCCEEDED else None
    is_object = answer is not None and answer[:1] == b"{"
    if columns.has_output:
        cells.append("" if answer is None or is_object else value_cell(answer, defuse=defuse))
    if columns.members:
        cells += _spread(answer if is_object else None, columns.members, defuse=defuse)
    cells.append("" if finish is None or finish == "none" else finish)
    cells += ("", "") if cause is None else (cell(cause), cell(message))
    cells += (str(attempts or 0), models[model], *[str(count or 0) for count in tokens])
    return ",".join(cells) + "\n"


def _spread(given: bytes | None, names: tuple[str, ...], *, defuse: bool) -> list[str]:
    """The members of a JSON object under `names`; "" for what it lacks, and for all of them where there is no object."""
    members = {} if given is None else _members(given)
    return [
        "" if (value := members.get(name)) is None else value_cell(bytes(value), defuse=defuse)
        for name in names
    ]


def _each_once(names: list[str]) -> tuple[str, ...]:
    """The header: a name that is taken gets `output.` before it."""
    header: dict[str, None] = {}
    for name in names:
        free = name
        while free in header:
            free = f"output.{free}"
        header[free] = None
    return tuple(header)
