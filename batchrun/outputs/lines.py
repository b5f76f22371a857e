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

_encode: Final = msgspec.json.Encoder().encode
_LINE: Final = (
    b'{"id":%b,"status":"%b","output":%b,"finish":%b,"usage":{"input_tokens":%d,"cached_tokens":%d,'
    b'"output_tokens":%d,"reasoning_tokens":%d},"attempts":%d,"model":%b}\n'
)
_RESULT_COLUMNS: Final = (
    "coalesce(i.key, i.name), i.state, cast(r.output as blob), r.finish, r.input_tokens, r.cached_tokens, r.output_tokens, "
    "r.reasoning_tokens, r.attempts, r.model"
)
RESULT_JOIN: Final = "left join result_rows r on r.item = i.id"
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


class _Words(dict[str | None, bytes]):
    """Few distinct words, each encoded once; the ledger's "none" (there was no answer) is null outside."""

    def __missing__(self, word: str | None) -> bytes:
        self[word] = encoded = b"null" if word in {None, "none"} else _encode(word)
        return encoded


def model_names(ledger: Ledger) -> dict[int | None, str | None]:
    """Names of models by their number in the ledger; None stands for no answer."""
    names: dict[int | None, str | None] = {None: None}
    names.update((row["id"], row["name"]) for row in ledger.rows("select id, name from models"))
    return names


def result_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """`results.jsonl` in blocks of whole lines: one line an item, whatever became of it."""
    finishes = _Words()
    models = {
        key: b"null" if name is None else _encode(name) for key, name in model_names(ledger).items()
    }
    names = {state: name.encode() for state, name in STATUS_NAMES.items()}
    succeeded = int(ItemState.SUCCEEDED)
    for rows in item_blocks(ledger, job, _RESULT_COLUMNS, joins=RESULT_JOIN):
        yield _one_a_line(
            [
                _LINE
                % (
                    _encode(key),
                    b"succeeded",
                    output,
                    finishes[finish],
                    tokens_in,
                    cached,
                    tokens_out,
                    reasoning,
                    attempts,
                    models[model],
                )
                if state == succeeded
                else _LINE
                % (
                    _encode(key),
                    names[state],
                    b"null",
                    finishes[finish],
                    tokens_in or 0,
                    cached or 0,
                    tokens_out or 0,
                    reasoning or 0,
                    attempts or 0,
                    models[model],
                )
                for key, state, output, finish, tokens_in, cached, tokens_out, reasoning, attempts, model in rows
            ]
        )


def failure_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """`failures.jsonl` in blocks of whole lines: one line a failed item."""
    remedies = Remedies(job)
    columns = f"coalesce(i.key, i.name), {FAILURE_CAUSE}, {FAILURE_MESSAGE}, r.attempts, cast(r.output as blob)"
    for rows in item_blocks(ledger, job, columns, joins=FAILURE_JOINS, where=IS_FAILED):
        yield _one_a_line([_failure_line(row, remedies) for row in rows])


def _failure_line(row: tuple[Any, ...], remedies: Remedies) -> bytes:
    key, cause, message, attempts, partial = row
    return b'{"id":%b,"cause":%b,"message":%b,"attempts":%d,"fix":%b,"partial":%b}\n' % (
        _encode(key),
        _encode(cause),
        _encode(message),
        attempts or 0,
        _encode(remedies.sentence(cause)),
        partial or b"null",
    )


def _one_a_line(lines: list[bytes]) -> bytes:
    """The lines, joined. An answer's JSON may have been pretty-printed by the model: between its tokens a line break is a space."""
    joined = b"".join(lines)
    if joined.count(b"\n") == len(lines):
        return joined
    return b"".join([line[:-1].replace(b"\n", b" ") + b"\n" for line in lines])
