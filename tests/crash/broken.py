"""Broken programs: batchrun with one part of its protocol taken out, for the controls that the harness must catch.

Each function breaks the process that it is called in, which is a forked one that never comes back.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from batchrun.ledger.connection import Ledger
from batchrun.running import runner, send, sweep
from batchrun.running.context import PassContext


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

    runner.create = effect_first  # type: ignore[attr-defined]
    # The second net, which would adopt what the listing shows already.
    runner.may_create = lambda *_: True  # type: ignore[attr-defined]


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
        no_folder_syncs,
    )
}
