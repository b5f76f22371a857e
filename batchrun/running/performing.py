"""What each planned action does: one line to the module that knows how, on the rows as they are by now.

A plan is made at once and performed in steps. So a step of a batch looks at the state once more, and a hold is heeded that came meanwhile.
"""

import logging

from batchrun.errors import LedgerError
from batchrun.ledger.canaries import settle_canary
from batchrun.ledger.held import is_held
from batchrun.ledger.jobs import sends_to
from batchrun.ledger.states import BatchState
from batchrun.model import Limits
from batchrun.planning.actions import (
    Action,
    Cancel,
    Collect,
    Count,
    Create,
    Cut,
    Drop,
    Form,
    GoLive,
    Look,
    Poll,
    Recut,
    Release,
    RunCalls,
    Sweep,
    Tidy,
    Upload,
    Wait,
    Work,
    WriteOutputs,
)
from batchrun.planning.classify import Outcome
from batchrun.running.attaching import uploading
from batchrun.running.calling import run_calls
from batchrun.running.clearance import may_create
from batchrun.running.context import PassContext
from batchrun.running.cutting import cut_queued
from batchrun.running.ended import settle_ended
from batchrun.running.form import form_from_file
from batchrun.running.lost import look, postpone
from batchrun.running.observe import cancel, poll
from batchrun.running.queueing import count, limits_by_model, limits_of_file, recut
from batchrun.running.refusing import reject
from batchrun.running.room import has_room
from batchrun.running.send import create, upload
from batchrun.running.sweep import sweep
from batchrun.running.switching import switch
from batchrun.running.tidying import tidy

log = logging.getLogger(__name__)


def perform(context: PassContext, action: Action) -> None:
    """One action of a plan. Raises BackendError, UsageError, LedgerError: the caller tells what they mean for the rest."""
    ledger, now = context.ledger, context.clock.now()
    match action:
        case Sweep(profile):
            sweep(context, profile)
        case Work(profile):
            context.backend(profile)
            context.work(profile)
        case Poll(profile, batches):
            poll(context, profile, batches)
        case GoLive(job, profile):
            switch(context, job, profile)
        case Form(job, file):
            profile = sends_to(ledger, job)
            limits = limits_of_file(context, profile, file, _limits_elsewhere(context, job))
            form_from_file(ledger, file, now, limits, context.payment(job, profile))
        case Cut(job):
            profile = sends_to(ledger, job)
            whole = context.backend(profile).limits
            payment = context.payment(job, profile)
            fitting = limits_by_model(context, profile, job, whole)
            uploaded = uploading(context, profile)
            cut_queued(ledger, job, whole, now, uploaded, payment=payment, fitting=fitting)
        case Release(job):
            with ledger.transaction():
                settle_canary(ledger, job, now)
        case RunCalls(job):
            run_calls(context, job)
        case Tidy(profile):
            tidy(context, profile)
        case WriteOutputs(job):
            write_job_outputs(context, job)
        case Wait():
            raise AssertionError("a wait is not performed")
        case _:
            _perform_on_batch(context, action)


def _limits_elsewhere(context: PassContext, job: int) -> Limits | None:
    """The limits of the profile that a job's batches go to, where that is not the one for which its request files were written."""
    profile = sends_to(context.ledger, job)
    own = context.ledger.value("select profile from jobs where id = ?", (job,))
    return None if profile == own else context.backend(profile).limits


def _perform_on_batch(
    context: PassContext, action: Count | Recut | Upload | Create | Cancel | Collect | Drop | Look
) -> None:
    """A step of one batch, on its row as it is now: an earlier action of the same plan may have moved it."""
    row = context.ledger.row("select * from batch_rows where id = ?", (action.batch,))
    assert row is not None
    state = BatchState(row["state"])
    match action, state:
        case Drop(), BatchState.PLANNED | BatchState.UPLOADED:
            reject(
                context,
                row,
                "cancelled before it was sent",
                outcome=Outcome.RELEASED,
                cause="cancelled",
            )
        case Count(), _:
            count(context, row)
        case Recut(), BatchState.PLANNED | BatchState.UPLOADED:
            recut(context, row)
        case ((Upload() | Create()), _) if is_held(context.ledger, row["job"]):
            pass  # since this plan was made
        case Upload(), BatchState.PLANNED:
            if has_room(context, row):
                upload(context, row)
        case Create(), BatchState.UPLOADED:
            if has_room(context, row) and may_create(context, row):
                create(context, row)
        case Cancel(), BatchState.CREATED:
            cancel(context, row)
        case Collect(), BatchState.ENDED:
            settle_ended(context, row)
        case Look(), BatchState.LOST if row["remote_id"] is None:
            postpone(context, row)
            sweep(context, row["profile"])
        case Look(), BatchState.LOST:
            look(context, row)
        case _:
            log.debug("batch %s is %s by now: %r is not needed", row["id"], state.name, action)


def write_job_outputs(context: PassContext, job: int) -> None:
    """Write a job's outputs; then, and only then, the ledger says that they are up to date.

    A folder that refuses is that job's problem: it is told, tried again by the next pass, and keeps no other job from its outputs.
    """
    from batchrun.outputs.writing import write_outputs

    now = context.clock.now()
    try:
        write_outputs(context.ledger, job, now=now)
    except LedgerError as exc:
        context.note(exc, job=job)
        context.unwritable.add(job)
        return
    with context.ledger.transaction():
        context.ledger.execute("update jobs set stale = 0 where id = ?", (job,))
    context.ended.append(job)
    context.observer("ended", job=job)
