"""From counts to ranges of tokens and money."""

import dataclasses

from batchrun.estimating.costs import Cost, Spread, cost_of, output_of, total
from batchrun.estimating.estimate import joined
from batchrun.ledger.answered import Answered
from batchrun.money.counted import Counted, Sums
from batchrun.money.price import Ceiling, Mode, Price, Rates, Tier
from batchrun.money.tokens import tokenizer_of

FREE = Ceiling(output_tokens=None, context_tokens=None)
BOUND = Ceiling(output_tokens=128_000, context_tokens=400_000)
CHEAP = Rates(2, 10, 1, 2, 3, 20, 2, 10)
DEAR = Rates(4, 15, 2, 4, 4, 30, 4, 15)
PRICE = Price(model="m", mode=Mode.LIVE, rates=CHEAP, table="list", dated="2026-11-22")


def counted(sums: Sums, *large: Sums, url: str = "/v1/responses") -> Counted:
    return Counted(model="m", url=url, tokenizer=tokenizer_of("m"), sums=sums, large=list(large))


ASKED = Sums(requests=10, input=1_000, input_most=1_100, answers=10, capped=20_000, guess=10_000)


def test_without_answers_to_learn_from_the_caps_are_guessed_by() -> None:
    assert output_of(counted(ASKED), FREE, None) == Spread(1_000, 5_000, 20_000)


def test_earlier_answers_say_what_to_expect_and_the_caps_what_is_worst() -> None:
    history = Answered(answers=40, low=7, mean=30.05, slowest_s=None)

    assert output_of(counted(ASKED), FREE, history) == Spread(70, 301, 20_000)


def test_nothing_is_expected_beyond_the_worst() -> None:
    history = Answered(answers=40, low=3_000, mean=9_000.0, slowest_s=None)

    assert output_of(counted(ASKED), FREE, history) == Spread(20_000, 20_000, 20_000)


def test_an_answer_without_a_cap_is_bound_by_its_model_or_by_nothing() -> None:
    asked = counted(Sums(requests=2, answers=2, capped=50, uncapped=1, guess=1_050))

    assert output_of(asked, BOUND, None).worst == 50 + 128_000
    assert output_of(asked, FREE, None).worst is None
    assert cost_of(asked, FREE, None, PRICE).worst is None


def test_what_has_no_answer_in_tokens_costs_its_input() -> None:
    asked = counted(Sums(requests=1, input=100, input_most=110), url="/v1/embeddings")

    assert cost_of(asked, FREE, None, PRICE) == Spread(200, 200, 220)


def test_pictures_whose_tokens_are_not_known_have_no_price() -> None:
    asked = counted(Sums(requests=1, input=9, answers=1, uncapped=1), url="/v1/images/generations")

    assert cost_of(asked, FREE, None, PRICE) == Spread(None, None, None)


def test_pictures_cost_as_pictures() -> None:
    made = Sums(requests=1, input=10, input_most=10, answers=1, made=100, made_most=200)
    shown = Sums(requests=1, input=50, input_most=60, image_input=40, image_most=50)

    assert cost_of(counted(made), FREE, None, PRICE) == Spread(2_020, 2_020, 4_020)
    assert cost_of(counted(shown), FREE, None, PRICE) == Spread(140, 140, 170)


def test_the_worst_case_takes_the_most_input_and_the_longest_answers() -> None:
    assert cost_of(counted(ASKED), FREE, None, PRICE) == Spread(12_000, 52_000, 202_200)


def test_only_requests_above_a_threshold_pay_the_price_of_long_contexts() -> None:
    long = Sums(requests=1, input=300, input_most=310, answers=1, capped=100, guess=100)
    edge = Sums(requests=1, input=200, input_most=201, answers=1, capped=100, guess=100)
    sums = Sums(requests=1, input=5, input_most=5)
    for one in (long, edge):
        sums.add(one)
    tiered = Price(
        model="m", mode=Mode.LIVE, rates=CHEAP, tiers=(Tier(200, DEAR),), table="list", dated=""
    )

    expected = 2 * 5 + (4 * 300 + 15 * 50) + (2 * 200 + 10 * 50)
    worst = 2 * 5 + (4 * 310 + 15 * 100) + (4 * 201 + 15 * 100)
    assert cost_of(counted(sums, long, edge), FREE, None, tiered)[1:] == (expected, worst)


def test_a_sum_with_something_unknown_in_it_is_unknown() -> None:
    assert total([Spread(1, 2, 3), Spread(1, 2, None)]) == Spread(2, 4, None)
    known = Cost(spread=Spread(1, 2, 3), sources=("list",))
    assert joined([known, known]) == Cost(spread=Spread(2, 4, 6), sources=("list",))
    assert joined([known, Cost(why_not="no price")]).why_not == "no price"


def test_at_worst_all_input_is_written_to_the_cache() -> None:
    dear = dataclasses.replace(PRICE, rates=CHEAP._replace(cache_write=5))

    assert cost_of(counted(ASKED), FREE, None, dear) == Spread(12_000, 52_000, 1_100 * 5 + 200_000)
