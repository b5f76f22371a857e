"""What batches took: summed up as they are settled, so that no report ever reads the answers for it, and kept when answers are forgotten."""

import sqlite3
from collections.abc import Sequence
from operator import itemgetter, sub
from typing import Any, Final

from batchrun.ledger.connection import Ledger
from batchrun.money.billed import SMALL, Taken, size_of

# (attempts, requests, and tokens: input, cached, written to the cache, perhaps written to it, output, reasoning)
_Sums = tuple[int, ...]
FIGURES: Final = (
    *("attempts", "requests"),
    *("input_tokens", "cached_tokens", "cache_write_tokens", "maybe_written_tokens"),
    *("output_tokens", "reasoning_tokens"),
)
USAGE_DIFFERS: Final = "usage_differs"  # the kind of an incident
_ADD: Final = (
    f"insert into batch_usage (batch, size, {', '.join(FIGURES)}) values (?, ?{', ?' * len(FIGURES)}) on conflict (batch, size) do update set "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in FIGURES)
)
# The same sums of attempts as they are stored, by batch and size. A count of cached or written tokens that is more
# than there were of input is a broken one.
_CACHED: Final = "min(cached_tokens, input_tokens)"
_SUMS: Final = (
    f"select batch, case when input_tokens > {SMALL} then (input_tokens + 999) / 1000 else 0 end as size, count(*) as attempts, "
    "sum(output is not null or model is not null or input_tokens + output_tokens > 0) as requests, sum(input_tokens) as input_tokens, "
    f"sum({_CACHED}) as cached_tokens, sum(coalesce(min(cache_write_tokens, input_tokens - {_CACHED}), 0)) as cache_write_tokens, "
    f"sum(case when cache_write_tokens is null then input_tokens - {_CACHED} else 0 end) as maybe_written_tokens, "
    "sum(output_tokens) as output_tokens, sum(reasoning_tokens) as reasoning_tokens from "
)
_OF_ATTEMPTS: Final = "batch, output, model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens"
# An answer that was another's took nothing.
ATTEMPTS_SQL: Final = (
    f"{_SUMS} (select {_OF_ATTEMPTS} from result_rows where send > 0 "
    f"union all select {_OF_ATTEMPTS} from history where send > 0) group by 1, 2"
)


class UsageCount:
    """The sums of one settling."""

    def __init__(self) -> None:
        self._sums: dict[int, _Sums] = {}

    def add_answers(self, answers: Sequence[tuple[Any, ...]], places: Sequence[int]) -> None:
        """Answers to plain requests, whose tokens stand at these places: the hot way, without a step of ours for each where all are small."""
        given, cached, written, made, reasoning = map(itemgetter, places)
        n = len(answers)
        if not n:
            return
        writes = list(map(written, answers))
        unsaid = writes.count(None)
        if 0 < unsaid < n or max(map(given, answers)) > SMALL:
            for one in map(itemgetter(*places), answers):
                self.add(*one, is_answered=True)
            return
        inputs = list(map(given, answers))
        all_input = sum(inputs)
        read = sum(map(cached, answers)) and sum(map(min, map(cached, answers), inputs))
        wrote = 0
        if not unsaid and any(writes):
            rests = map(sub, inputs, map(min, map(cached, answers), inputs))
            wrote = sum(map(min, writes, rests))
        sums = (
            all_input,
            read,
            wrote,
            all_input - read if unsaid else 0,
            sum(map(made, answers)),
            sum(map(reasoning, answers)),
        )
        self._add(0, (n, n, *sums))

    def add(
        self,
        given: int,
        cached: int,
        written: int | None,
        made: int,
        reasoning: int,
        *,
        is_answered: bool,
    ) -> None:
        """One attempt; `is_answered`: the service gave an answer or a model's name."""
        requests = int(is_answered or given + made > 0)
        cached = min(cached, given)
        rest = given - cached
        writes = (0, rest) if written is None else (min(written, rest), 0)
        self._add(size_of(given), (1, requests, given, cached, *writes, made, reasoning))

    def _add(self, size: int, figures: _Sums) -> None:
        known = self._sums.get(size)
        if known is None:
            self._sums[size] = figures
        else:
            self._sums[size] = tuple(a + b for a, b in zip(known, figures, strict=True))

    def store(self, ledger: Ledger, batch: int) -> None:
        """Add them to those of the batch, inside the transaction that settles it."""
        ledger.executemany(_ADD, [(batch, size, *sums) for size, sums in self._sums.items()])


def taken_by(ledger: Ledger, batch: int) -> list[Taken]:
    """What the answers of a batch took."""
    return list(
        map(
            _taken, ledger.rows("select * from batch_usage where batch = ? order by size", (batch,))
        )
    )


def attempts_without_answer(ledger: Ledger, batch: int) -> int:
    """How many of its settled attempts the service did not answer."""
    found = ledger.value(
        "select sum(attempts - requests) from batch_usage where batch = ?", (batch,)
    )
    return int(found or 0)


def uncount(ledger: Ledger, table: str, where: str) -> None:
    """Rows of `result_rows` or `history` are about to go because their attempts are settled anew: they count no longer."""
    rows = ledger.execute(f"{_SUMS} {table} where {where} group by 1, 2").fetchall()
    ledger.executemany(_ADD, [(batch, size, *(-n for n in sums)) for batch, size, *sums in rows])


def _taken(row: sqlite3.Row) -> Taken:
    return Taken(*(row[name] for name in Taken._fields))
