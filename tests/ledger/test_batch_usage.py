"""What a batch took, summed up while it is settled: the same as its rows, however large its requests are and whatever a service claims."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.settling import Answer
from batchrun.ledger.usage import ATTEMPTS_SQL, FIGURES, UsageCount, taken_by, uncount
from batchrun.money.billed import SMALL, Taken

PLACES = (3, 4, 5, 6, 7)
Tokens = tuple[int, int, int | None, int, int]
FEW = st.integers(0, 9)


def tokens_of(
    given: st.SearchStrategy[int], written: st.SearchStrategy[int | None]
) -> st.SearchStrategy[Tokens]:
    return st.tuples(given, st.integers(0, SMALL), written, FEW, FEW)


SMALL_ONES = st.integers(0, 50)
TOKENS = tokens_of(
    st.one_of(SMALL_ONES, st.integers(SMALL - 2, SMALL + 2_500)), st.none() | st.integers(0, 60)
)
# As most batches are: small requests, and all answers say how much was written to the cache, or none does.
ALIKE = [
    st.lists(tokens_of(SMALL_ONES, written), max_size=6)
    for written in (st.none(), st.just(0), st.integers(0, 60))
]


def answer(item: int, tokens: Tokens) -> Answer:
    return (item, b'"x"', "stop", *tokens, None, 0, 0, None)


def insert(ledger: Ledger, item: int, tokens: Tokens, output: str | None) -> None:
    ledger.execute(
        "insert into result_rows (item, batch, send, attempts, at, outcome, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, output) "
        "values (?, 1, 1, 1, 0, 0, ?, ?, ?, ?, ?, ?)",
        (item, *tokens, output),
    )


def kept(ledger: Ledger) -> list[tuple[int, ...]]:
    return [
        tuple(row)
        for row in ledger.rows(
            f"select batch, size, {', '.join(FIGURES)} from batch_usage order by size"
        )
    ]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with open_ledger(Home(tmp_path_factory.mktemp("usage") / ".batchrun"), create=True) as found:
        found.execute("pragma foreign_keys = off")
        yield found


@given(plain=st.one_of(*ALIKE, st.lists(TOKENS, max_size=6)), others=st.lists(TOKENS, max_size=4))
def test_what_is_counted_on_the_way_is_what_the_rows_add_up_to(
    ledger: Ledger, plain: list[Tokens], others: list[Tokens]
) -> None:
    ledger.execute("delete from batch_usage")
    ledger.execute("delete from result_rows")
    count = UsageCount()
    half = len(plain) // 2
    for start, part in ((0, plain[:half]), (half, plain[half:])):
        count.add_answers([answer(start + n, tokens) for n, tokens in enumerate(part)], PLACES)
    for tokens in others:
        count.add(*tokens, is_answered=False)
    with ledger.transaction():
        count.store(ledger, 1)
    for item, tokens in enumerate((*plain, *others)):
        insert(ledger, item, tokens, "x" if item < len(plain) else None)
    summed = [tuple(row) for row in ledger.rows(f"{ATTEMPTS_SQL} order by size")]
    assert kept(ledger) == summed
    assert sum(one.input_tokens for one in taken_by(ledger, 1)) == sum(
        tokens[0] for tokens in (*plain, *others)
    )
    with ledger.transaction():
        uncount(ledger, "result_rows", "item >= 0")
    assert not any(any(row[2:]) for row in kept(ledger))


def test_a_batch_that_is_settled_again_adds_to_what_it_took(ledger: Ledger) -> None:
    ledger.execute("delete from batch_usage")
    for tokens in ((10, 4, 5, 2, 1), (20_500, 0, None, 2, 1), (30, 40, 3, 2, 1)):
        count = UsageCount()
        count.add(*tokens, is_answered=True)
        with ledger.transaction():
            count.store(ledger, 1)
    assert taken_by(ledger, 1) == [
        Taken(0, 2, 40, 34, 5, 0, 4, 2),
        Taken(21, 1, 20_500, 0, 0, 20_500, 2, 1),
    ]
