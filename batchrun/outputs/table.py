"""The joined table: input columns first, then what came back. One pass finds the columns, a second gives the rows; nothing is held.

It is written as CSV (csvfiles.py) and as Parquet (parquet.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from batchrun.endpoints.extras import EXTRAS
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.outputs.fields import LISTED_COLUMNS, LISTED_JOIN, FieldReader, field_names
from batchrun.outputs.lines import FAILURE_CAUSE, FAILURE_MESSAGE, STATUS_NAMES, model_names
from batchrun.outputs.rows import JobView
from batchrun.outputs.shown import shown_blocks

# Of keys that answers have and no schema names: a model asked for free keys may invent some for every item, and no reader takes 100,000 columns.
FREE_COLUMNS_MOST: Final = 1_000
# A JSON value as it came, a text or a count of ours, or nothing.
Value: TypeAlias = bytes | str | int | None

_FAILED, _SUCCEEDED = int(ItemState.FAILED), int(ItemState.SUCCEEDED)
_AFTER: Final = (
    "finish",
    "cause",
    "message",
    "attempts",
    "model",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
# A failed item's last row may still be an older answer, and then speaks of that.
_HAS_EXTRAS: Final = f"a.extras is not null and (i.state = {_SUCCEEDED} or a.outcome <> 0)"
_EXTRAS_COLUMN: Final = "cast(a.extras as blob)"
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_JOINS: Final = (
    "left join result_rows a on a.item = i.id left join result_rows r on r.item = i.id and r.outcome <> 0 "
    f"left join bad_items b on b.item = i.id left join batch_rows y on y.id = i.batch {LISTED_JOIN}"
)
_COLUMNS: Final = (
    f"{LISTED_COLUMNS}, coalesce(i.key, i.name), i.state, cast(a.output as blob), a.finish, "
    f"case when i.state = {_FAILED} then {FAILURE_CAUSE} end, case when i.state = {_FAILED} then {FAILURE_MESSAGE} end, "
    f"a.attempts, a.model, case when {_HAS_EXTRAS} then {_EXTRAS_COLUMN} end, "
    "coalesce(a.input_tokens, 0), coalesce(a.cached_tokens, 0), a.cache_write_tokens, coalesce(a.output_tokens, 0), coalesce(a.reasoning_tokens, 0)"
)


@dataclass(slots=True)
class CutCells:
    """What a table could not show as asked: `count` cells were cut, `whole` answers stand whole in `output`, since some of their keys have no column.

    Not `has_fields`: the job did not keep its items' own columns.
    """

    count: int = 0
    whole: int = 0
    has_fields: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """`fields`: names of input fields; `members`: keys of answers that are objects; `extras`: what came beside answers; `header`: all names as written, each once.

    `is_capped`: answers have keys for which there is no column; such an answer stands whole in `output`.
    """

    fields: tuple[str, ...]
    has_id: bool
    members: tuple[str, ...]
    has_output: bool
    extras: tuple[str, ...]
    header: tuple[str, ...]
    is_capped: bool


def find_columns(ledger: Ledger, job: JobView) -> Columns:
    """Read once through fields and answers. Where a schema of an object is given its properties come first, answered or not."""
    fields = field_names(ledger, job)
    has_id = "id" not in fields or job.settings.id is not None or job.settings.is_raw
    schema = job.settings.schema if job.settings.labels is None else None
    properties = (schema or {}).get("properties")
    members = dict.fromkeys(properties) if isinstance(properties, dict) else {}
    has_objects = bool(members)
    most, is_capped = len(members) + FREE_COLUMNS_MOST, False
    for rows in _answers(ledger, job, "cast(a.output as blob)", "= '{'"):
        has_objects = True
        for (output,) in rows:
            new = [name for name in _members(output) if name not in members]
            is_capped = is_capped or len(members) + len(new) > most
            members.update(dict.fromkeys(new[: most - len(members)]))
    has_output = not has_objects or is_capped or any(_answers(ledger, job, "1", "<> '{'"))
    extras = _extras(ledger, job)
    names = [*fields, *(["id"] if has_id else []), "status", *(["output"] if has_output else [])]
    return Columns(
        fields=fields,
        has_id=has_id,
        members=tuple(members),
        has_output=has_output,
        extras=extras,
        header=_each_once([*names, *members, *_AFTER, *extras]),
        is_capped=is_capped,
    )


def table_rows(
    ledger: Ledger, job: JobView, columns: Columns, cut: CutCells | None = None
) -> Iterator[list[list[Value]]]:
    """The rows in blocks, in output order; each has a value for every name of the header. `cut` counts the answers that stand whole."""
    cut = cut or CutCells()
    cut.has_fields = bool(columns.fields)
    reader = FieldReader(ledger, job)
    shown = frozenset(columns.members) if columns.is_capped else None
    models = model_names(ledger)
    for rows in shown_blocks(ledger, job, _COLUMNS, joins=_JOINS):
        yield [
            _row(
                row,
                reader.take(row[0], is_listed=bool(row[1])),
                columns,
                models,
                shown=shown,
                cut=cut,
            )
            for row in rows
        ]


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


def _extras(ledger: Ledger, job: JobView) -> tuple[str, ...]:
    """What came beside the answers, in the order of results.jsonl."""
    found: set[str] = set()
    joins = "join result_rows a on a.item = i.id"
    for rows in shown_blocks(ledger, job, _EXTRAS_COLUMN, joins=joins, where=_HAS_EXTRAS):
        for (extras,) in rows:
            found.update(_members(extras))
    return tuple(name for name in EXTRAS if name in found)


def _row(
    row: tuple[Any, ...],
    fields: bytes | None,
    columns: Columns,
    models: dict[int | None, str | None],
    *,
    shown: frozenset[str] | None,
    cut: CutCells,
) -> list[Value]:
    """`shown`: the keys that have columns, where not all have."""
    _, _, key, state, output, finish, cause, message, attempts, model, extras, *tokens = row
    values: list[Value] = []
    if columns.fields:
        values += _spread(fields, columns.fields)
    if columns.has_id:
        values.append(key)
    elif values[at := columns.fields.index("id")] in {None, b"null"}:
        values[at] = key  # an item without an id of its own is told by its line, as everywhere
    values.append(STATUS_NAMES[state])
    answer = output if state == _SUCCEEDED else None
    members = answer if answer is not None and answer[:1] == b"{" else None
    if columns.has_output:
        is_whole = members is None or (
            shown is not None and not shown.issuperset(_members(members))
        )
        values.append(answer if is_whole else None)
        cut.whole += is_whole and members is not None
    if columns.members:
        values += _spread(members, columns.members)
    values.append(None if finish == "none" else finish)
    values += (cause, message, attempts or 0, models[model], *tokens)
    if columns.extras:
        values += _spread(extras, columns.extras)
    return values


def _spread(given: bytes | None, names: tuple[str, ...]) -> list[Value]:
    """The members of a JSON object under `names`; None for what it lacks, and for all of them where there is no object."""
    if given is None:
        return [None] * len(names)
    members = _members(given)
    return [None if (value := members.get(name)) is None else bytes(value) for name in names]


def _each_once(names: list[str]) -> tuple[str, ...]:
    """The header: a name that is taken gets `output.` before it."""
    header: dict[str, None] = {}
    for name in names:
        free = name
        while free in header:
            free = f"output.{free}"
        header[free] = None
    return tuple(header)
