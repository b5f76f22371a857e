"""Prices: those of known price lists, each mode apart, long contexts, and never a price that nobody knows."""

import dataclasses
import tomllib
from decimal import Decimal

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price

from batchrun.errors import UnknownPrice
from batchrun.model import Usage
from batchrun.money.price import Mode, Price
from batchrun.money.prices import OPENAI_URL, OUR_TABLE, PriceBook
from batchrun.money.pricetables import (
    Entry,
    RateCard,
    RateRow,
    builtin_entries,
    read_entries,
    read_fees,
)

AT = 1_795_305_600  # 2026-11-22
MILLION = 1_000_000
BOOK = PriceBook()


def price(model: str, mode: Mode = Mode.LIVE, *, book: PriceBook = BOOK, at: int = AT) -> Price:
    return book.price(model, mode, base_url=OPENAI_URL, at=at)


def a_million(found: Price) -> tuple[Decimal, Decimal]:
    """Dollars a million tokens, of input and of output."""
    rates = found.rates
    return Decimal(rates.input) / MILLION, Decimal(rates.output) / MILLION


# A guide of January 2026.
@pytest.mark.parametrize(
    ("model", "mode", "given", "made"),
    [
        ("gpt-5.2", Mode.LIVE, "1.75", "14"),
        ("gpt-5.2", Mode.BATCH, "0.875", "7"),
        ("gpt-5-mini", Mode.LIVE, "0.25", "2"),
        ("o3", Mode.LIVE, "2", "8"),
        ("o1-pro", Mode.LIVE, "150", "600"),
        ("gpt-4o", Mode.LIVE, "2.50", "10"),
    ],
)
def test_the_prices_of_the_guide_hold(model: str, mode: Mode, given: str, made: str) -> None:
    assert a_million(price(model, mode)) == (Decimal(given), Decimal(made))


def test_sound_costs_what_the_guide_says() -> None:
    rates = price("gpt-audio").rates

    assert (rates.audio_input, rates.audio_output) == (32 * MILLION, 64 * MILLION)


# A table of May 2025. Of o3 and gpt-3.5-turbo it has the prices of before, and by "o1" it means o1-pro.
@pytest.mark.parametrize(
    ("model", "given", "made"),
    [
        ("gpt-4o", "2.50", "10"),
        ("gpt-4o-mini", "0.15", "0.60"),
        ("gpt-4.1", "2", "8"),
        ("gpt-4.1-mini", "0.40", "1.60"),
        ("gpt-4.1-nano", "0.10", "0.40"),
        ("o3-mini", "1.10", "4.40"),
        ("o1-pro", "150", "600"),
    ],
)
def test_the_prices_of_the_table_hold(model: str, given: str, made: str) -> None:
    assert a_million(price(model)) == (Decimal(given), Decimal(made))


@pytest.mark.parametrize(
    ("model", "given", "made"), [("gpt-3.5-turbo", "0.5", "1.5"), ("o1", "15", "60")]
)
def test_where_the_table_is_old_or_wrong_the_list_is_not(model: str, given: str, made: str) -> None:
    """It has 2 and 2 dollars of the one, and o1-pro's price for the other."""
    assert a_million(price(model)) == (Decimal(given), Decimal(made))


def test_a_price_that_fell_since_the_table_is_the_new_one() -> None:
    assert a_million(price("o3")) == (Decimal(2), Decimal(8))
    assert price("o3", at=0) == price("o3"), "what is reckoned is what will be paid"


def test_a_price_has_the_day_of_the_newest_rates_that_hold_by_then() -> None:
    assert price("gpt-4o", at=AT + 10 * 365 * 86_400).dated >= price("gpt-4o").dated > "2026-10"
    assert price("gpt-5-mini", Mode.BATCH, at=0) == price("gpt-5-mini", Mode.BATCH)


def test_pictures_cost_what_the_table_says() -> None:
    rates = price("gpt-image-1").rates

    assert (rates.image_input, rates.image_output) == (10 * MILLION, 40 * MILLION)


def test_the_worked_example_costs_three_quarters_of_a_cent() -> None:
    """1,000 tokens in and 500 out at gpt-4o: $0.0025 and $0.005."""
    found = price("gpt-4o")

    assert found.cost(Usage(input_tokens=1_000)) == 2_500_000_000
    assert found.cost(Usage(output_tokens=500)) == 5_000_000_000
    assert found.cost(Usage(input_tokens=1_000, output_tokens=500)) == 7_500_000_000


def test_flex_and_cached_input_have_rates_of_their_own() -> None:
    live, flex = price("gpt-5-mini").rates, price("gpt-5-mini", Mode.FLEX).rates

    assert (live.input, live.cached_input) == (250_000, 25_000)
    assert (flex.input, flex.cached_input, flex.output) == (125_000, 12_500, 1_000_000)


def test_cached_tokens_are_part_of_the_input_and_reasoning_of_the_output() -> None:
    usage = Usage(input_tokens=1_000, cached_tokens=400, output_tokens=50, reasoning_tokens=40)

    assert price("gpt-5-mini").cost(usage) == 600 * 250_000 + 400 * 25_000 + 50 * 2_000_000


def test_a_long_request_is_dearer_as_a_whole() -> None:
    found = price("gpt-6-sol", Mode.BATCH)

    assert found.rates_for(272_000).input == MILLION
    assert found.rates_for(272_001).input == 2 * MILLION
    assert found.rates_for(272_001).output == 7_500_000
    assert found.dearest(272_000) == found.rates
    assert found.dearest(272_001).cache_write == 2_500_000, "what is written is dearer still"


@pytest.mark.parametrize(
    ("model", "base_url", "cents"),
    [
        ("gpt-5.6", "https://eu.api.openai.com/v1", 440),
        ("gpt-5.6", OPENAI_URL, 400),
        ("gpt-5.2", "https://us.api.openai.com/v1", 175),
        ("gpt-5-mini", "https://eu.api.openai.com/v1", 25),
        ("gpt-4.1", "https://in.api.openai.com/v1", 200),
    ],
)
def test_newer_models_cost_a_tenth_more_at_a_host_of_a_region(
    model: str, base_url: str, cents: int
) -> None:
    found = BOOK.price(model, Mode.LIVE, base_url=base_url, at=AT)

    assert found.rates.input == cents * MILLION // 100
    assert ("region" in found.source) == (cents == 440)


def test_what_the_user_says_that_it_costs_at_a_host_of_a_region_is_what_it_costs() -> None:
    row = RateRow(input=Decimal(1), output=Decimal(2))
    own = PriceBook(own={"gpt-6-sol": Entry(cards={"live": RateCard(row)})})
    found = own.price("gpt-6-sol", Mode.LIVE, base_url="https://eu.api.openai.com/v1", at=AT)

    assert a_million(found) == (Decimal(1), Decimal(2))


@pytest.mark.parametrize("mode", [Mode.BATCH, Mode.LIVE])
@pytest.mark.parametrize("model", ["gpt-5-nano", "gpt-6-sol", "gpt-4.1"])
def test_costs_are_those_that_the_list_reckons(model: str, mode: Mode) -> None:
    for given in (1_000, 300_000):
        theirs = calc_price(
            ListUsage(
                input_tokens=given, cache_read_tokens=100, cache_write_tokens=60, output_tokens=77
            ),
            model,
            provider_id="openai",
            price_context={"processing": "batch"} if mode is Mode.BATCH else None,
        )
        usage = Usage(
            input_tokens=given, cached_tokens=100, cache_write_tokens=60, output_tokens=77
        )
        assert price(model, mode).cost(usage) == theirs.total_price * 10**12


def test_embeddings_are_half_in_batches_although_the_list_does_not_know() -> None:
    batch, live = price("text-embedding-3-small", Mode.BATCH), price("text-embedding-3-small")

    assert (batch.rates.input, live.rates.input) == (10_000, 20_000)
    assert (batch.table, batch.dated) == (OUR_TABLE, "2026-11-22")
    assert live.source.startswith("genai-prices 0.")


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("gpt-audio", Mode.BATCH),
        ("gpt-4.1", Mode.FLEX),
        ("ft:gpt-4o-2024-08-06:acme::x", Mode.BATCH),
        ("whisper-1", Mode.LIVE),
        ("gpt-99", Mode.LIVE),
        ("sora-2", Mode.BATCH),
    ],
)
def test_a_rate_that_nobody_knows_is_neither_zero_nor_the_live_one(model: str, mode: Mode) -> None:
    with pytest.raises(UnknownPrice) as caught:
        price(model, mode)

    table = f'[price."{model}"' + ("]" if mode is Mode.LIVE else f".{mode}]")
    assert table in str(caught.value)
    assert (caught.value.exit_code, caught.value.model, caught.value.mode) == (8, model, mode)


@pytest.mark.parametrize(
    ("model", "given", "made"),
    [
        ("ft:gpt-4o-2024-08-06:acme::x", "3.75", "15"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x", "0.3", "1.2"),
        ("ft:gpt-4.1-mini-2025-04-14:acme::x", "0.8", "3.2"),
    ],
)
def test_a_fine_tuned_model_costs_what_fine_tuned_models_of_its_base_do(
    model: str, given: str, made: str
) -> None:
    assert a_million(price(model)) == (Decimal(given), Decimal(made))


def test_moderations_are_free_and_that_is_said_by_a_table() -> None:
    found = price("omni-moderation-latest", Mode.BATCH)

    assert (found.rates.input, found.table) == (0, OUR_TABLE)


def test_other_servers_have_their_own_prices_or_none() -> None:
    groq = BOOK.price(
        "llama-3.3-70b-versatile", Mode.LIVE, base_url="https://api.groq.com/openai/v1", at=AT
    )
    assert groq.source.endswith("(Groq), 2026-11-09")
    with pytest.raises(UnknownPrice, match=r"at llm\.example\.com is known"):
        BOOK.price("gpt-4o", Mode.LIVE, base_url="https://llm.example.com/v1", at=AT)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765/v1", "https://eu.api.openai.com/v1"])
def test_a_way_to_openai_costs_what_openai_does(url: str) -> None:
    assert BOOK.price("gpt-4o", Mode.BATCH, base_url=url, at=AT) == price("gpt-4o", Mode.BATCH)


def test_the_users_own_price_comes_first_and_names_its_file() -> None:
    mine = Entry(cards={"live": RateCard(RateRow(input=Decimal(1), output=Decimal(3)))}, dated="2026-11-01")  # fmt: skip
    book = PriceBook(own={"gpt-4o": mine, "acme-*": mine}, path="batchrun.toml")

    assert a_million(price("gpt-4o", book=book)) == (Decimal(1), Decimal(3))
    assert price("acme-7b", book=book).source == "batchrun.toml, 2026-11-01"
    assert price("gpt-4o", Mode.BATCH, book=book).rates.input == 1_250_000


def test_a_price_without_output_is_not_whole() -> None:
    book = PriceBook(own={"m": Entry(cards={"live": RateCard(RateRow(input=Decimal(1)))})})

    with pytest.raises(UnknownPrice, match="needs 'input' and 'output'"):
        price("m", book=book)


def test_what_an_answer_can_be_at_most_is_the_models_own_maximum_or_its_context() -> None:
    assert BOOK.ceiling("gpt-5-mini", base_url=OPENAI_URL).answer == 128_000
    assert BOOK.ceiling("gpt-5-pro", base_url=OPENAI_URL).answer == 272_000
    assert BOOK.ceiling("gpt-6-sol", base_url=OPENAI_URL).answer == 1_050_000
    assert BOOK.ceiling("gpt-99", base_url=OPENAI_URL).answer is None


def test_tables_are_read_with_tiers_and_bounds() -> None:
    problems: list[str] = []
    table = {
        "date": "2026-11-01",
        "input": 0.1,
        "output": 2,
        "batch": {"input": 0.05, "output": 1, "long": {"above": 200_000, "input": 0.1}},
        "max_output_tokens": 4_096,
    }
    entry = read_entries({"m": table}, "batchrun.toml", problems)["m"]

    assert problems == []
    assert entry.cards["live"].row.input == Decimal("0.1")
    found = price("m", Mode.BATCH, book=PriceBook(own={"m": entry}))
    assert found.rates_for(200_001) == found.rates._replace(
        input=100_000, cached_input=100_000, cache_write=100_000, image_input=100_000, audio_input=100_000
    )  # fmt: skip
    assert PriceBook(own={"m": entry}).ceiling("m", base_url=OPENAI_URL).answer == 4_096


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"input": "1"}, "takes a number from 0"),
        ({"input": -1}, "takes a number from 0"),
        ({"inputs": 1}, "unknown key 'inputs'. Did you mean 'input'?"),
        ({"batch": {"cached": 1}}, '[price."m".batch] has an unknown key'),
        ({"batch": 0.5}, "takes a table"),
        ({"long": {"input": 1}}, "needs 'above'"),
        ({"input": 1}, "needs both 'input' and 'output'"),
        ({"batch": {"cached_input": 1}}, "needs both 'input' and 'output'"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_place(
    table: dict[str, object], problem: str
) -> None:
    problems: list[str] = []
    read_entries({"m": table}, "batchrun.toml", problems)

    assert problem in "\n".join(problems)
    assert all(line.startswith('batchrun.toml: [price."m"') for line in problems)


@pytest.mark.parametrize(
    ("name", "whole"), [("gpt-4.1", "gpt-4.1"), ("a-1.2.3-mini", "a-1.2.3-mini")]
)
def test_a_model_whose_name_has_a_dot_is_to_be_quoted(name: str, whole: str) -> None:
    problems: list[str] = []
    tables = tomllib.loads(f"[price.{name}]\ninput = 1\noutput = 2\n")["price"]
    read_entries(tables, "batchrun.toml", problems)
    assert problems == [
        f'batchrun.toml: [price.{whole}] has a dot in its name. Quote it: [price."{whole}"].'
    ]


@pytest.mark.parametrize("day", ["2026-11-20", '"2026-11-20"', "2026-11-20T10:00:00Z"])
def test_the_day_of_a_price_may_be_a_date_of_toml(day: str) -> None:
    problems: list[str] = []
    tables = tomllib.loads(f"[m]\ninput = 1\noutput = 2\ndate = {day}\n")
    assert read_entries(tables, "batchrun.toml", problems)["m"].dated == "2026-11-20"
    assert problems == []


def test_a_fee_for_what_is_nearly_the_name_of_a_tool_is_refused() -> None:
    problems: list[str] = []
    read_fees({"web_serch": 0.01}, "batchrun.toml", problems)
    assert problems == [
        "batchrun.toml: [fee] has 'web_serch', which is no known tool. Did you mean 'web_search'?"
    ]
    fees = read_fees({"web_search_preview_2025_03_11": 0.01, "lookup": 1}, "batchrun.toml", [])
    assert len(fees) == 2


def test_our_own_list_has_a_day_for_every_price_and_repeats_none_that_the_other_has() -> None:
    """Once the other list knows a rate, ours is dead weight that grows old."""
    other = dataclasses.replace(BOOK)
    for name, entry in builtin_entries().items():
        for mode in entry.cards:
            assert entry.dated, name
            found = other.price(name.replace("*", "x"), Mode(mode), base_url=OPENAI_URL, at=AT)
            assert found.table == OUR_TABLE, name


def test_a_fee_for_every_request_makes_a_price_a_token_unknown() -> None:
    with pytest.raises(UnknownPrice, match="no live price of 'sonar-pro' is known"):
        PriceBook().price("sonar-pro", Mode.LIVE, base_url="https://api.perplexity.ai", at=AT)
