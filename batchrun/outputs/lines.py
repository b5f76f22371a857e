"""The lines of `results.jsonl` and `failures.jsonl`, as bytes.

An answer is a JSON value in the ledger already: it is spliced into its line and never parsed again, so it comes out digit for digit
as it came in, and a line costs little more than reading its row.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.outputs.remedies import Remedies
from batchrun.outputs.rows import JobView, item_blocks
from batchrun.outputs.shown import shown_blocks

_encode: Final = msgspec.json.Encoder().encode
# What came beside the answer is an object too: its members follow ours.
# One line is put together by SQLite, which has all its parts at hand: half the cost of fetching ten columns and formatting them here.
_LINE: Final = f"""cast(printf('{{"id":%s,"status":"%s","output":%s,"finish":%s,"usage":{{"input_tokens":%d,"cached_tokens":%d,"cache_write_tokens":%s,"output_tokens":%d,"reasoning_tokens":%d}},"attempts":%d,"model":%s%s',
  json_quote(coalesce(i.key, i.name)),
  case i.state {" ".join(f"when {int(state)} then '{state.name.lower()}'" for state in ItemState)} end,
  case i.state when {int(ItemState.SUCCEEDED)} then r.output else 'null' end,
  case r.finish when 'stop' then '"stop"' else json_quote(nullif(r.finish, 'none')) end,
  r.input_tokens, r.cached_tokens, coalesce(r.cache_write_tokens, 'null'), r.output_tokens, r.reasoning_tokens, r.attempts, json_quote(m.name),
  case when r.extras is null or (r.outcome = 0 and i.state <> {int(ItemState.SUCCEEDED)}) then '}}' else ',' || substr(r.extras, 2) end) as blob)"""
RESULT_JOIN: Final = "left join result_rows r on r.item = i.id"
_LINE_JOINS: Final = f"{RESULT_JOIN} left join models m on m.id = r.model"
# A failed item's last row may still be an older answer (asked again with --redo, then rejected): that says nothing of the failure.
FAILURE_JOINS: Final = (
    "left join result_rows r on r.item = i.id and r.outcome <> 0 left join bad_items b on b.item = i.id "
    "left join batch_rows y on y.id = i.batch"
)
FAILURE_CAUSE: Final = (
    "coalesce(r.cause, b.cause, case when y.reason is null then 'unknown' else 'rejected' end)"
)
FAILURE_MESSAGE: Final = "coalesce(r.message, b.message, y.reason, 'no reason was recorded')"
IS_FAILED: Final = f"i.state = {int(ItemState.FAILED)}"
STATUS_NAMES: Final = {int(state): state.name.lower() for state in ItemState}


def model_names(ledger: Ledger) -> dict[int | None, str | None]:
    """Names of models by their number in the ledger; None stands for no answer."""
    names: dict[int | None, str | None] = {None: None}
    names.update((row["id"], row["name"]) for row in ledger.rows("select id, name from models"))
    return names


def result_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """`results.jsonl` in blocks of whole lines: one line an item, whatever became of it."""
    for rows in shown_blocks(ledger, job, _LINE, joins=_LINE_JOINS):
        yield _one_a_line([line for (line,) in rows])


def failure_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """`failures.jsonl` in blocks of whole lines: one line a failed item."""
    remedies = Remedies(job)
    columns = f"coalesce(i.key, i.name), {FAILURE_CAUSE}, {FAILURE_MESSAGE}, r.attempts, cast(r.output as blob)"
    for rows in item_blocks(ledger, job, columns, joins=FAILURE_JOINS, where=IS_FAILED):
        yield _one_a_line([_failure_line(row, remedies) for row in rows])


def _failure_line(row: tuple[Any, ...], remedies: Remedies) -> bytes:
    key, cause, message, attempts, partial = row
    return b'{"id":%b,"cause":%b,"message":%b,"attempts":%d,"fix":%b,"partial":%b}' % (
        _encode(key),
        _encode(cause),
        _encode(message),
        attempts or 0,
        _encode(remedies.sentence(cause)),
        partial or b"null",
    )


def _one_a_line(lines: list[bytes]) -> bytes:
    """The lines, each with its newline. An answer's JSON may have been pretty-printed by the model: between its tokens a line break is a space."""
    if any(b"\n" in line for line in lines):
        lines = [line.replace(b"\n", b" ") for line in lines]
    return b"\n".join(lines) + b"\n"
