"""Passes for as long as events are received: at once where one woke a batch, else when the plan's next moment has come.

One pass at a time: what comes meanwhile is the next one's, all of it together. What woke before this process began is due in the ledger.
"""

from collections.abc import Iterator
from typing import Final

from batchrun.api import Batchrun
from batchrun.errors import BatchrunError, HomeLocked
from batchrun.receiving.inbox import Inbox
from batchrun.running.passresult import PassResult

LOOK_S: Final = 60.0  # between two looks at the plan, since others may have submitted something
WORK_S: Final = 30.0  # of a model in this very process, in one pass: events wait behind it
BUSY_S: Final = 5.0  # until the next try where another process is at work


def passes(batchrun: Batchrun, inbox: Inbox) -> Iterator[PassResult | BatchrunError]:
    """Make passes for ever; what each came to, or what kept it from being made: it is tried again."""
    wait_s, left = 0.0, frozenset[str]()
    while True:
        woken = inbox.woken(wait_s) | left
        try:
            result = (
                batchrun.pass_for(woken, work_s=WORK_S) if woken else batchrun.tick(work_s=WORK_S)
            )
        except HomeLocked:
            wait_s, left = BUSY_S, woken
        except BatchrunError as exc:
            wait_s, left = LOOK_S, woken
            yield exc
        else:
            left = frozenset()
            wait_s = _wait_s(batchrun, result)
            if result is not None:
                yield result


def only_mark(inbox: Inbox) -> None:
    """Receive events for ever; the ledger knows what is due, and others make the passes."""
    while True:
        inbox.woken(LOOK_S)


def _wait_s(batchrun: Batchrun, result: PassResult | None) -> float:
    """None stands for another process at work."""
    if result is None:
        return BUSY_S
    if result.next_at is None:
        return LOOK_S
    return min(max(result.next_at - batchrun.clock.now(), 0.0), LOOK_S)
