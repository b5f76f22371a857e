"""Taking a job out of its batches for its deadline: paid for first, then cancelled, and only then asked live."""

from batchrun.clock import rfc3339
from batchrun.errors import GuardError, LedgerError
from batchrun.ledger.batches import add_incident
from batchrun.ledger.deadlines import UNPAID_DEADLINE, go_live, leaving_batches
from batchrun.ledger.reserves import aside_of
from batchrun.money.amounts import dollars
from batchrun.running.context import PassContext


def switch(context: PassContext, job: int, profile: str) -> None:
    """Send what is open of a job to its live profile, if its limits leave what that can cost; else it stays where it is, and an incident says why.

    A limit beats a deadline, as never paying twice does. The next pass tries again. Raises BackendError, UsageError.
    """
    context.backend(profile)  # nothing leaves its batch for a place that cannot be asked
    ledger, now = context.ledger, context.clock.now()
    payment = context.payment(job, profile)
    if payment is None:
        go_live(ledger, job=job, profile=profile, at=now)
        return
    needed, why = 0, None
    try:
        for row in leaving_batches(ledger, job, profile):
            path = ledger.home.request_file(row["request_file"])
            quote = payment.quote(path, endpoint=row["endpoint"], model=row["model"])
            needed += 0 if quote is None else quote.bill.reserved
    except (GuardError, LedgerError) as exc:
        why = str(exc)
    room = payment.room
    if why is None and room is not None and needed > room - aside_of(ledger, job, payment.payer):
        why = "asking the rest live may cost more than its limits leave"
    if why is None:
        go_live(ledger, job=job, profile=profile, at=now, payer=payment.payer, aside=needed)
        return
    context.unpaid.add(job)
    named = ledger.row("select name, deadline_at from jobs where id = ?", (job,))
    assert named is not None
    message = (
        f"job {named['name']!r} cannot keep its deadline of {rfc3339(named['deadline_at'])}, and its batches go on: {why}. "
        "Raise the limit, or wait for the batches"
    )
    told = "select 1 from incidents where job = ? and kind = ? and message = ?"
    if not ledger.value(told, (job, UNPAID_DEADLINE, message)):
        context.note(GuardError(message), job=job)  # once: `status` goes on saying it
    with ledger.transaction():
        add_incident(
            ledger,
            at=now,
            kind=UNPAID_DEADLINE,
            job=job,
            message=message,
            detail={"needed": dollars(needed), "left": dollars(max(room or 0, 0))},
        )
