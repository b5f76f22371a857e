"""A price kept and read again, and answers priced by it in a database."""

import sqlite3

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.model import Usage
from batchrun.money.frozen import cost_sql, frozen, thawed
from batchrun.money.prices import OPENAI_URL, Mode, Price, PriceBook, Rates, Tier

RATES = st.builds(Rates, *[st.integers(0, 10**9)] * 8)
PRICES = st.builds(
    Price,
    model=st.text(max_size=9),
    mode=st.sampled_from(Mode),
    rates=RATES,
    tiers=st.lists(st.builds(Tier, st.integers(0, 900), RATES), max_size=3).map(
        lambda tiers: tuple(sorted(tiers))
    ),
    table=st.text(max_size=9),
    dated=st.sampled_from(["", "2026-11-22"]),
)


@given(price=PRICES)
def test_a_price_comes_back_as_it_was_kept(price: Price) -> None:
    assert thawed(frozen(price)) == price
    assert "\n" not in frozen(price)


def test_a_kept_price_names_its_rates_and_its_table() -> None:
    price = PriceBook().price("gpt-5-mini", Mode.BATCH, base_url=OPENAI_URL, at=1_795_305_600)
    kept = msgspec.json.decode(frozen(price))

    assert kept["rates"]["cached_input"] == 12_500
    assert (kept["table"], kept["dated"], kept["mode"]) == (price.table, price.dated, "batch")


def test_what_is_no_kept_price_is_none() -> None:
    with pytest.raises(msgspec.MsgspecError):
        thawed('{"model": "m"}')


@given(
    price=PRICES,
    rows=st.lists(
        st.tuples(st.integers(0, 1_000), st.integers(0, 500), st.integers(0, 1_000)), max_size=5
    ),
)
def test_a_database_prices_answers_as_the_price_does(
    price: Price, rows: list[tuple[int, int, int]]
) -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute("create table t (input_tokens, cached_tokens, output_tokens)")
        db.executemany("insert into t values (?, ?, ?)", rows)
        found = db.execute(f"select coalesce(sum({cost_sql(price)}), 0) from t").fetchone()
    db.close()

    usages = (Usage(input_tokens=i, cached_tokens=c, output_tokens=o) for i, c, o in rows)
    assert found == (sum(price.cost(usage) for usage in usages),)


def test_pictures_that_usage_does_not_tell_from_text_cost_as_the_dearer() -> None:
    price = Price(
        model="m",
        mode=Mode.LIVE,
        rates=Rates(2, 3, 1, 2, 5, 7, 2, 3),
        tiers=(Tier(100, Rates(4, 6, 2, 4, 10, 14, 4, 6)),),
        table="",
        dated="",
    )
    with sqlite3.connect(":memory:") as db:
        sql = cost_sql(price, is_of_pictures=True)
        usage = "(select 10 as input_tokens, 4 as cached_tokens, 8 as output_tokens)"
        assert db.execute(f"select {sql} from {usage}").fetchone() == (6 * 5 + 4 * 1 + 8 * 7,)
    db.close()
