"""Which batches of a service are ours to recover, and what each is to become. Nothing is changed here."""

from collections import Counter
from collections.abc import Collection, Sequence

from batchrun.backends.base import TERMINAL_STATUSES, Backend, RemoteBatch
from batchrun.errors import BackendError, Transient, UsageError
from batchrun.ledger.connection import Ledger
from batchrun.ledger.origins import own_ledgers
from batchrun.model import JOB_KEY, LEDGER_KEY, TOKEN_KEY
from batchrun.recovery.found import Became
from batchrun.running.listing import Listing, read_listing
from batchrun.running.results import never_ran


def chosen_ledgers(
    ledger: Ledger | None,
    batches: Sequence[RemoteBatch],
    *,
    jobs: Collection[str],
    asked: Collection[str],
) -> frozenset[str]:
    """Ids of the ledgers whose batches are taken: our own and those that were `asked` for.

    A ledger that has no batch at all takes those of the one other ledger that bear the name of one of `jobs`. Raises UsageError where there
    are several such ledgers: only their owner can say which one was lost.
    """
    own = frozenset() if ledger is None else own_ledgers(ledger)
    if asked:
        known = {batch.metadata.get(LEDGER_KEY, "") for batch in batches} - {""}
        if strange := sorted(set(asked) - known - own):
            named = ", ".join(sorted(known)) or "no ledger at all"
            raise UsageError(
                f"no batch of this service is of ledger {', '.join(strange)}. Nothing was changed. It has batches of {named}."
            )
        return own | frozenset(asked)
    if ledger is not None and ledger.value("select 1 from batch_rows"):
        return own
    found = Counter(
        batch.metadata.get(LEDGER_KEY, "")
        for batch in batches
        if TOKEN_KEY in batch.metadata and batch.metadata.get(JOB_KEY) in jobs
    )
    if own & found.keys():
        return own
    others = {name: n for name, n in found.items() if name}
    if len(others) > 1:
        listed = ", ".join(f"{name} ({n:,} batches)" for name, n in sorted(others.items()))
        raise UsageError(
            f"batches of these jobs come from several ledgers: {listed}. Nothing was changed. "
            "Name the one that was lost with --ledger ID (more than once if it must be)."
        )
    return own | frozenset(others)


def whole_listing(backend: Backend, profile: str) -> Listing:
    """Everything that the service has. Raises BackendError where it cannot be had whole: then nothing can be concluded from it."""
    if not backend.traits.listing_echoes:
        raise BackendError(
            f"profile {profile!r}: the listing of this service shows no metadata, so its batches cannot be told apart. "
            "Restore a backup of the home."
        )
    listing = read_listing(backend, 0)
    if not listing.is_complete:
        raise Transient(
            f"profile {profile!r}: the listing of the service was not complete. Nothing is sent before it is; run recover again."
        )
    return listing


def chosen_batches(batches: Sequence[RemoteBatch]) -> dict[str, RemoteBatch]:
    """Of the batches that bear one token, the one that counts: the earliest that may have run, as in a sweep."""
    found: dict[str, RemoteBatch] = {}
    for remote in sorted(batches, key=lambda r: (r.created_at, r.id)):
        token = remote.metadata.get(TOKEN_KEY)
        if token is not None and not (never_ran(remote)):
            found.setdefault(token, remote)
    return found


def destiny(remote: RemoteBatch, *, is_ours: bool, is_settled: bool, has_job: bool) -> Became:
    """What a batch becomes, as far as its listing tells."""
    if not is_ours:
        return Became.FOREIGN
    if is_settled:
        return Became.KNOWN
    if never_ran(remote):
        return Became.NEVER_RAN
    if not has_job:
        return Became.UNCLAIMED
    return Became.COLLECTED if remote.status in TERMINAL_STATUSES else Became.IN_FLIGHT
