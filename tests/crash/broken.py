"""Broken programs: batchrun with one part of its protocol taken out, for the controls that the harness must catch.

Each function breaks the process that it is called in, which is a forked one that never comes back.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from batchrun.backends.base import Backend
from batchrun.errors import BackendError, NotFound, Transient
from batchrun.ledger.connection import Ledger
from batchrun.running import performing, send, sweep
from batchrun.running.context import PassContext
from batchrun.running.listing import Listing, read_listing


def effect_before_intent() -> None:
    """The batch is created first, and only then is it written down that it would be."""
    create = send.create

    def effect_first(ctx: PassContext, batch: sqlite3.Row) -> None:
        backend = ctx.backend(batch["profile"])
        answer = backend.create(
            input_file_id=batch["input_file_id"],
            endpoint=batch["endpoint"],
            window=batch["window"],
            metadata=json.loads(batch["metadata"]),
        )
        real, backend.create = backend.create, lambda **_: answer  # type: ignore[method-assign]
        try:
            create(ctx, batch)
        finally:
            backend.create = real  # type: ignore[method-assign]

    performing.create = effect_first  # type: ignore[attr-defined]
    _no_second_net()


def _no_second_net() -> None:
    """The look before a create would adopt what the listing shows already, and hide what the first net lets through."""
    performing.may_create = lambda *_: True  # type: ignore[attr-defined]


def no_transaction() -> None:
    """Every statement is a transaction of its own."""

    @contextlib.contextmanager
    def transaction(self: Ledger) -> Iterator[sqlite3.Connection]:
        yield self.connection

    def executemany(self: Ledger, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        return self.connection.executemany(sql, rows)

    Ledger.transaction = transaction  # type: ignore[method-assign]
    Ledger.executemany = executemany  # type: ignore[method-assign]


def no_fence() -> None:
    """The input file of an unanswered create stays, so that the create may still take effect."""
    sweep._fence = lambda *_: True


def no_second_wait() -> None:
    """After the fence the listing is believed at once, though it lags and the deletion has not bitten yet."""
    from batchrun.backends.openai import OpenAIBackend

    traits = OpenAIBackend.traits.fget  # type: ignore[attr-defined]
    OpenAIBackend.traits = property(lambda self: replace(traits(self), second_settle_s=0))  # type: ignore[method-assign,assignment]


def absence_from_part_of_a_listing() -> None:
    """A listing that broke off is believed like a whole one."""

    def credulous(backend: Backend, floor: int) -> Listing:
        return replace(read_listing(backend, floor), is_complete=True)

    sweep.read_listing = credulous  # type: ignore[attr-defined,assignment]


def any_404_is_a_fence() -> None:
    """A file that the service does not show counts as deleted, though this account never saw it."""

    def credulous(ctx: PassContext, backend: Backend, row: sqlite3.Row) -> bool:
        try:
            return backend.delete_file(row["input_file_id"])
        except NotFound:
            return True

    sweep._fence = credulous


def every_4xx_is_a_refusal() -> None:
    """Whatever refusal a create is answered with, it is taken for the proof that there is no batch."""
    not_created = send._not_created

    def credulous(
        ctx: PassContext, batch: sqlite3.Row, exc: BackendError, *, refusals_final: bool
    ) -> None:
        if exc.status is not None and 400 <= exc.status < 500:
            exc = Transient(str(exc), status=429)
        not_created(ctx, batch, exc, refusals_final=refusals_final)

    send._not_created = credulous
    _no_second_net()


def no_folder_syncs() -> None:
    """Names of new files and folders are left to the kernel."""
    from batchrun.ledger import spool
    from batchrun.outputs import disk

    for module in (spool, disk):
        vars(module)["fsync_folder"] = lambda _: None


BROKEN: Final[dict[str, Callable[[], None]]] = {
    break_it.__name__: break_it
    for break_it in (
        effect_before_intent,
        no_transaction,
        no_fence,
        no_second_wait,
        absence_from_part_of_a_listing,
        any_404_is_a_fence,
        every_4xx_is_a_refusal,
        no_folder_syncs,
    )
}
