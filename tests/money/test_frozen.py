"""A price kept and read again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.money.frozen import frozen, thawed
from batchrun.money.price import Mode, Price, Rates, Tier
from batchrun.money.prices import OPENAI_URL, PriceBook

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


def test_input_of_any_kind_costs_as_much_as_the_dearest_kind_in_every_tier() -> None:
    text, heard = Rates(10, 100, 1, 12, 10, 100, 10, 100), Rates(10, 100, 1, 12, 20, 200, 40, 400)
    price = Price(
        model="m", mode=Mode.LIVE, rates=text, tiers=(Tier(9, heard),), table="", dated=""
    ).of_any_input
    assert price.rates == text
    assert price.rates_for(10) == heard._replace(input=40, cached_input=40, cache_write=40)
