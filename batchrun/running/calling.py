"""Running the functions that answers call, between two batches: one at a time, outside of any transaction, each result committed at once.

A process that dies after a function was run and before its result is committed leaves that call open: it is run again. No other is.
"""

from typing import Final

from batchrun.endpoints import endpoint_of
from batchrun.errors import JobFileError
from batchrun.followups import told_in
from batchrun.ledger.connection import Ledger
from batchrun.ledger.submissions import settings_from_json
from batchrun.ledger.toolcalls import OpenCall, answer_call, next_call, open_calls, told_bytes
from batchrun.model import JsonObject
from batchrun.running.context import PassContext
from batchrun.tools.worker import CallResult

_SLICE_S: Final = 5  # of running functions, before anything else that is due has its turn
_TOLD_LIMIT_BYTES: Final = 8_000_000  # of all results in one conversation; a request takes 16 MB


def run_calls(context: PassContext, job: int) -> None:
    """Run waiting calls of a job for a while, at least one, by the functions that it was submitted with; by others none.

    A file of functions that cannot be loaded is a problem of the whole pass.
    """
    ledger, clock, worker = context.ledger, context.clock, context.tools
    if worker is None:
        return  # the file turned out to be broken, earlier in this plan
    try:
        is_lent = _as_offered(ledger, job) == worker.tools()
    except JobFileError as exc:
        _give_up(context, exc)
        return
    if not is_lent:
        context.not_lent.add(job)  # functions of the same name may do something else
        return
    until = min(clock.now() + _SLICE_S, context.tired_at)
    while (found := next_call(ledger, job)) is not None:
        try:
            result = worker.call(found.call.name, found.call.arguments)
        except JobFileError as exc:
            _give_up(context, exc)
            return
        told = told_bytes(ledger, found.item) + len(result.output.encode())
        if told > _TOLD_LIMIT_BYTES:
            most = f"{_TOLD_LIMIT_BYTES:,} bytes are the most"
            result = CallResult(f"error: results so far {told:,} bytes, and {most}", is_error=True)
        with ledger.transaction():
            _answer(ledger, found, result, clock.now())
        if clock.now() >= until:
            return


def _as_offered(ledger: Ledger, job: int) -> tuple[JsonObject, ...]:
    """The definitions in the job's requests."""
    stored = ledger.value("select settings from jobs where id = ?", (job,))
    return settings_from_json(stored).tools


def _give_up(context: PassContext, problem: JobFileError) -> None:
    context.note(problem)
    if context.tools is not None:
        context.tools.close()
    context.tools = None


def take_told(ledger: Ledger, item: int, request: bytes, at: int) -> None:
    """Answer the item's open calls with what a later request of its conversation tells of them: that one was sent, by a ledger that is lost.

    Inside the caller's transaction.
    """
    if calls := open_calls(ledger, item):
        told = told_in(request)
        for found in calls:
            if (output := told.get(found.call.call_id)) is not None:
                result = CallResult(output, is_error=output.startswith("error: "))
                _answer(ledger, found, result, at)


def _answer(ledger: Ledger, found: OpenCall, result: CallResult, at: int) -> None:
    url = ledger.value(
        "select f.endpoint from item_rows i join request_files f on f.id = i.file where i.id = ?",
        (found.item,),
    )
    calling = endpoint_of(url).calling
    assert calling is not None
    answer_call(
        ledger,
        found,
        output=result.output,
        is_error=result.is_error,
        told=calling.returned(found.call.call_id, result.output),
        at=at,
    )
