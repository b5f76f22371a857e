"""Advice that saves: each line with its figure and the exact thing to change, and none where there is nothing to say."""

from typing import Any

import pytest

from batchrun.estimating.advice import (
    Instead,
    Spending,
    Topic,
    advice_at_sight,
    advice_on,
    smaller_names,
)
from batchrun.ledger.answered import Answered
from batchrun.model import JobSettings
from batchrun.money.counted import Counted, Sums
from batchrun.money.price import Ceiling, Mode, Price, Rates
from batchrun.money.repeated import RepeatedTokens
from batchrun.money.tokens import tokenizer_of

CENT = 10**10
RATES = Rates(CENT, 10 * CENT, CENT // 10, CENT, 2 * CENT, 0, 0, 0)
PRICE = Price(model="gpt-4o", mode=Mode.BATCH, rates=RATES, table="list", dated="")
BOUND, UNBOUND = (
    Ceiling(output_tokens=16_000, context_tokens=None),
    Ceiling(output_tokens=None, context_tokens=None),
)
REPEATED = RepeatedTokens(requests=10, before=30, shown=5, overhead=11, beginning=3, ending=2)


def said(sums: Sums | None = None, *repeated: RepeatedTokens, **given: Any) -> dict[Topic, Any]:
    """What is said, by topic."""
    line = JobSettings(name="faq", path="faq.jsonl", line=1, **given.pop("line", {}))
    sums = sums or Sums(requests=10, input=1_000)
    spending = Spending(
        settings=line,
        counted=Counted(
            model="gpt-4o", url=line.endpoint, tokenizer=tokenizer_of("gpt-4o"), sums=sums
        ),
        repeated=repeated,
        **{"price": PRICE, "ceiling": BOUND, "history": None, "expected": None, **given},
    )
    found = list(advice_on(spending))
    assert len({one.topic for one in found}) == len(found)
    return {one.topic: one for one in found}


def test_where_nothing_is_wasted_nothing_is_said() -> None:
    assert said(Sums(requests=10, input=9_000, answers=10, capped=900), REPEATED) == {}


def test_a_missing_cap_is_told_with_its_part_of_the_worst_case() -> None:
    found = said(Sums(requests=3, answers=3, capped=100, uncapped=2))[Topic.NO_CAP]
    assert found.text == (
        "no output cap: 2 of 3 answers may have 16,000 tokens each, $3,200.00 of the worst case; "
        '"max_output_tokens": 4000 makes that 4,000, $800.00'
    )
    assert (found.tokens, found.saves) == (24_000, 2_400 * 10**12)


def test_a_cap_leaves_room_above_what_answers_took() -> None:
    took = Answered(answers=9, low=1, mean=260.0, slowest_s=None)
    sums = Sums(requests=2, answers=2, uncapped=2)
    assert '"max_output_tokens": 2000' in said(sums, history=took)[Topic.NO_CAP].text
    quiet = took._replace(mean=0.0)
    assert '"max_output_tokens": 1000' in said(sums, history=quiet)[Topic.NO_CAP].text


def test_where_nothing_bounds_an_answer_there_is_no_worst_case_to_tell() -> None:
    sums = Sums(requests=2, answers=2, uncapped=2)
    found = said(sums, ceiling=UNBOUND, price=None)[Topic.NO_CAP]
    assert found.text == (
        'no output cap: nothing bounds 2 of 2 answers; "max_output_tokens": 4000 does, at 4,000 tokens each'
    )
    assert found.saves is None
    tiny = Ceiling(output_tokens=4_000, context_tokens=None)
    assert said(sums, ceiling=tiny) == {}, "the model bounds them itself"


def test_requests_that_stand_ready_have_caps_of_their_own_name() -> None:
    line = {"is_raw": True, "endpoint": "/v1/chat/completions"}
    found = said(Sums(requests=2, answers=2, uncapped=2), line=line)[Topic.NO_CAP]
    assert '"max_completion_tokens": 4000' in found.text


def test_what_each_request_repeats_is_told_from_a_tenth_of_the_input_on() -> None:
    found = said(None, REPEATED)[Topic.REPEATED]
    assert found.text.startswith(
        "repeated: the same 40 tokens stand in each of 10 requests, 40 % of the input, $4.00; --instead"
    )
    assert found.tokens == 400
    assert said(Sums(requests=10, input=4_001), REPEATED) == {}
    assert said(None, REPEATED, expected=401 * 100 * CENT) == {}
    alone = RepeatedTokens(requests=1, before=90, shown=0, overhead=0, beginning=9, ending=0)
    assert said(Sums(requests=1, input=100), alone) == {}


@pytest.mark.parametrize(
    ("tokens", "text", "saves"),
    [
        (12, "short.txt has 12 tokens where the instructions have 30: 180 fewer in 10 requests, $1.80", 180),
        (31, "short.txt has 31 tokens where the instructions have 30: 10 more in 10 requests, $0.10", -10),
    ],
)  # fmt: skip
def test_another_text_is_held_against_the_one_that_it_would_replace(
    tokens: int, text: str, saves: int
) -> None:
    found = said(None, REPEATED, instead=Instead(name="short.txt", tokens=tokens))
    assert list(found) == [Topic.INSTEAD], "what it answers is not asked again"
    assert (found[Topic.INSTEAD].text, found[Topic.INSTEAD].saves) == (text, saves * CENT)


def test_without_instructions_it_would_replace_the_beginning_of_the_prompt() -> None:
    prompt = RepeatedTokens(requests=10, before=3, shown=0, overhead=0, beginning=50, ending=9)
    text = said(None, prompt, instead=Instead(name="f", tokens=7))[Topic.INSTEAD].text
    assert "where each prompt begins with 50" in text
    nothing = RepeatedTokens(requests=10, before=0, shown=9, overhead=9, beginning=0, ending=0)
    for repeated in ((), (nothing,)):
        found = said(None, *repeated, instead=Instead(name="f", tokens=7))[Topic.INSTEAD]
        assert (
            found.text == "f has 7 tokens, and the requests repeat no text that it could stand for"
        )


def common(before: int, ending: int) -> RepeatedTokens:
    return RepeatedTokens(
        requests=10, before=before, shown=0, overhead=10, beginning=20, ending=ending
    )


WHERE = "less where the service finds them in its cache"
KEPT = "caching: 10 requests begin with the same 1,030 tokens; kept first and unchanged, they cost"
MOVED = "caching: 1,530 tokens are the same in 10 requests, 930 of them at the beginning; with all of them there, before the item's own text, they cost"


@pytest.mark.parametrize(
    ("repeated", "text"),
    [
        (common(before=1_000, ending=600), f"{KEPT} up to $82.95 {WHERE}"),
        (common(before=900, ending=600), f"{MOVED} up to $114.05 {WHERE}"),
        (common(before=900, ending=90), None),
    ],
)
def test_what_all_requests_share_is_cheaper_first_and_cached(
    repeated: RepeatedTokens, text: str | None
) -> None:
    found = said(Sums(input=10**9), repeated).get(Topic.CACHING)
    assert (found and found.text) == text


def test_a_cache_that_costs_as_much_as_none_is_not_spoken_of() -> None:
    dear = Price(
        model="m", mode=Mode.BATCH, rates=RATES._replace(cached_input=CENT), table="", dated=""
    )
    for price in (dear, None):
        assert Topic.CACHING not in said(Sums(input=10**9), common(2_000, 0), price=price)
    twice = RepeatedTokens(requests=2, before=2_000, shown=0, overhead=0, beginning=0, ending=0)
    written = Price(
        model="m", mode=Mode.BATCH, rates=RATES._replace(cache_write=2 * CENT), table="", dated=""
    )
    assert Topic.CACHING not in said(Sums(input=10**9), twice, price=written)


def test_images_in_detail_are_told_with_what_little_would_save() -> None:
    sums = Sums(requests=3, input=9_000, images=2, image_spare=1_360, image_input=1_700)
    found = said(sums)[Topic.IMAGE_DETAIL]
    assert found.text == (
        'image detail: "detail": "low" in the part of "input" that shows it makes 2 images 1,360 tokens fewer, of 1,700, $27.20'
    )
    assert (found.tokens, found.saves) == (1_360, 1_360 * 2 * CENT)
    assert said(sums, price=None)[Topic.IMAGE_DETAIL].saves is None


def test_the_cheapest_of_the_other_models_is_named_where_it_is_cheaper_by_enough() -> None:
    others = [("a", 80 * CENT), ("b", 50 * CENT), ("c", 90 * CENT)]
    found = said(expected=100 * CENT, others=others)[Topic.SMALLER_MODEL]
    assert found.text.startswith(
        'a smaller model: "model": "b" would cost $0.50 instead of $1.00, 50 % less;'
    )
    assert found.saves == 50 * CENT
    for expected in (55 * CENT, 0, None):
        assert said(expected=expected, others=others) == {}


@pytest.mark.parametrize(
    ("model", "smaller"),
    [
        ("gpt-5", ("gpt-5-mini", "gpt-5-nano")),
        ("gpt-4o-2024-08-06", ("gpt-4o-mini", "gpt-4o-nano")),
        ("gpt-5-mini", ("gpt-5-nano",)),
        ("gpt-5-nano", ()),
        ("ft:gpt-4o:acme", ()),
    ],
)
def test_the_names_of_smaller_models(model: str, smaller: tuple[str, ...]) -> None:
    assert smaller_names(model) == smaller


def test_what_can_be_told_at_sight_has_its_figures_too() -> None:
    long = JobSettings(
        name="a", path="a", line=1, instructions="x" * 390, prompt="{{ text }}{# no #} answer, now"
    )
    assert list(advice_at_sight(long, 20)) == [
        'no output cap: nothing bounds 20 answers; "max_output_tokens": 4000 does, at 80,000 tokens together',
        "repeated: 402 characters of the job line go with each of 20 requests, 8,040 in all; `batchrun estimate` counts and prices them",
    ]
    quiet = JobSettings(name="a", path="a", line=1, prompt="{{ x }}", body={"max_tokens": 9})
    assert [*advice_at_sight(quiet, 20), *advice_at_sight(long, 0)] == []
