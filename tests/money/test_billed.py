"""What a batch is billed for: its answers against the service's own sum, each figure by itself, at the rates for its size."""

import json
from dataclasses import replace

import pytest

from batchrun.model import Usage
from batchrun.money.billed import (
    ServiceUsage,
    Taken,
    billed,
    billed_cost,
    cost_of,
    differences,
    service_usage,
    size_of,
    usage_of,
)
from batchrun.money.price import Mode, Price, Rates, Tier

PLAIN = Rates(10, 100, 1, 10, 30, 300, 40, 400)
LONG = Rates(20, 150, 2, 20, 60, 450, 80, 600)


def price(*tiers: Tier) -> Price:
    return Price(
        model="m", mode=Mode.BATCH, rates=PLAIN, tiers=tiers, table="a table", dated="2026-01-01"
    )


def usage(given: int, cached: int, made: int, reasoning: int = 0, written: int | None = 0) -> Usage:
    return Usage(
        input_tokens=given,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=made,
        reasoning_tokens=reasoning,
    )


@pytest.mark.parametrize(
    ("items", "service", "expected"),
    [
        (usage(100, 40, 7, 3), None, usage(100, 40, 7, 3)),
        (usage(100, 40, 7, 3), (100, 7, 40, 3), usage(100, 40, 7, 3)),
        (usage(100, 40, 7, 3), (120, 5, 40, 4), usage(120, 40, 7, 4)),
        (usage(100, 40, 7), (100, 7, 0, 0), usage(100, 0, 7)),  # none of it was cached
        (usage(100, 40, 7), (90, 7, None, None), usage(100, 40, 7)),
        (usage(0, 0, 0), (500, 50, 100, 20), usage(500, 100, 50, 20)),  # all answers are lost
    ],
)
def test_each_figure_is_the_larger_one(
    items: Usage, service: tuple[int, int, int | None, int | None] | None, expected: Usage
) -> None:
    assert billed(items, of_service(service)) == expected


def of_service(
    figures: tuple[int, int, int | None, int | None] | None, written: int | None = None
) -> ServiceUsage | None:
    if figures is None:
        return None
    given, made, cached, reasoning = figures
    return ServiceUsage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


@pytest.mark.parametrize(
    ("taken", "tiers", "expected"),
    [
        ((0, 2, 100, 40, 0, 0, 7, 3), (), 60 * 10 + 40 * 1 + 7 * 100),
        ((0, 2, 100, 40, 0, 0, 7, 3), (Tier(200_000, LONG),), 60 * 10 + 40 * 1 + 7 * 100),
        ((200, 1, 200_000, 0, 0, 0, 1, 0), (Tier(200_000, LONG),), 200_000 * 10 + 100),
        ((201, 1, 200_001, 0, 0, 0, 1, 0), (Tier(200_000, LONG),), 200_001 * 20 + 150),
        # A tier that begins within a thousand, or among the small ones: the dearer rates.
        ((201, 1, 200_001, 0, 0, 0, 1, 0), (Tier(200_500, LONG),), 200_001 * 20 + 150),
        ((0, 2, 100, 40, 0, 0, 7, 3), (Tier(8_000, LONG),), 60 * 20 + 40 * 2 + 7 * 150),
    ],
)
def test_each_size_has_the_rates_of_its_tier(
    taken: tuple[int, int, int, int, int, int, int, int], tiers: tuple[Tier, ...], expected: int
) -> None:
    assert cost_of(price(*tiers), [Taken(*taken)]) == expected


@pytest.mark.parametrize(
    ("tokens", "size"), [(0, 0), (16_000, 0), (16_001, 17), (17_000, 17), (200_001, 201)]
)
def test_large_requests_are_told_apart_by_thousands(tokens: int, size: int) -> None:
    assert size_of(tokens) == size


def test_pictures_count_as_the_dearer_tokens() -> None:
    assert (
        cost_of(price(), [Taken(0, 1, 5, 0, 0, 0, 3, 0)], is_of_pictures=True) == 5 * 30 + 3 * 300
    )


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (None, 1340),
        ((100, 7, 40, 3), 1340),
        ((130, 7, 40, 3), 1340 + 30 * 10),
        ((100, 9, 40, 3), 1340 + 2 * 100),
        ((100, 7, 0, 3), 100 * 10 + 7 * 100),  # what was not cached after all
        ((110, 7, 50, 3), 1340 + 10 * 1),
        ((1, 1, 0, 0), 1340),
    ],
)
def test_a_batch_costs_what_the_larger_figures_cost(
    service: tuple[int, int, int | None, int | None] | None, expected: int
) -> None:
    taken = [Taken(0, 2, 100, 40, 0, 0, 7, 3)]
    assert billed_cost(price(), taken, of_service(service)) == expected
    assert expected == price().cost(billed(usage_of(taken), of_service(service)))


def test_what_only_the_service_counts_has_the_dearest_rates() -> None:
    found = billed_cost(price(Tier(200_000, LONG)), [], of_service((100, 7, 40, 0)))
    assert found == 60 * 20 + 40 * 2 + 7 * 150


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        (None, None),
        ("{}", None),
        ("[]", None),
        ("not JSON", None),
        ('{"usage": null}', None),
        ('{"usage": {"input_tokens": 0, "output_tokens": 0}}', None),
        ('{"usage": {"input_tokens": "5", "output_tokens": 1}}', None),
        ('{"usage": {"input_tokens": -5, "output_tokens": 1}}', None),
        ('{"usage": {"input_tokens": 5, "output_tokens": 1}}', (5, 1, None, None)),
        ('{"usage": {"input_tokens": 5, "output_tokens": 5}}', (5, 5, None, None)),
        (
            '{"usage": {"input_tokens": 5, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 0}}}',
            (5, 0, 0, None),
        ),
    ],
)
def test_a_usage_that_is_none_is_no_usage(
    remote: str | None, expected: tuple[int, int, int | None, int | None] | None
) -> None:
    assert service_usage(remote) == of_service(expected)


def test_the_usage_of_a_batch_object_is_read_with_its_details() -> None:
    said = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 107,
    }
    assert service_usage(json.dumps({"usage": said})) == of_service((100, 7, 40, 3))


def test_differences_are_told_of_what_both_say() -> None:
    taken = [Taken(0, 2, 100, 40, 10, 0, 7, 3)]
    said = (100, 7, 40, 3)
    assert list(differences(taken, None)) == []
    assert list(differences(taken, of_service((100, 7, None, 3)))) == []
    assert list(differences(taken, of_service((90, 7, 41, None)))) == [
        ("input_tokens", 100, 90),
        ("cached_tokens", 40, 41),
    ]
    assert list(differences(taken, of_service(said, 10))) == []
    assert list(differences(taken, of_service(said, 11))) == [("cache_write_tokens", 10, 11)]
    unsaid = [Taken(0, 1, 50, 20, 10, 0, 7, 3), Taken(17, 1, 50, 20, 0, 30, 0, 0)]
    assert list(differences(unsaid, of_service(said, 11))) == []


# What is written to the cache. A token of 12: dearer than one of input, 10, as on newer models, which do it without being asked.
WRITING = replace(
    price(Tier(200_000, LONG._replace(cache_write=25))), rates=PLAIN._replace(cache_write=12)
)
FRESH, MADE = 600, 400 * 1 + 30 * 100


@pytest.mark.parametrize(
    ("written", "maybe", "of_fresh"),
    [
        (0, 0, 600 * 10),
        (150, 0, 150 * 12 + 450 * 10),
        (600, 0, 600 * 12),
        (0, 600, 600 * 12),  # no answer says it: it may be all of it
        (150, 200, 350 * 12 + 250 * 10),  # some say it
    ],
)
def test_tokens_written_to_the_cache_have_their_own_rate(
    written: int, maybe: int, of_fresh: int
) -> None:
    taken = [Taken(0, 2, 1_000, 400, written, maybe, 30, 0)]
    assert cost_of(WRITING, taken) == of_fresh + MADE
    pictures = cost_of(WRITING, taken, is_of_pictures=True)
    assert pictures == FRESH * 30 + 400 * 1 + 30 * 300, "pictures are dearer than either"


def test_tokens_written_to_the_cache_by_a_long_request_have_the_rate_of_its_tier() -> None:
    taken = [Taken(0, 1, 1_000, 400, 150, 0, 30, 0), Taken(201, 1, 200_001, 1, 50_000, 0, 1, 0)]
    long = 50_000 * 25 + 150_000 * 20 + 1 * 2 + 1 * 150
    assert cost_of(WRITING, taken) == 150 * 12 + 450 * 10 + MADE + long


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (0, None),
        (150, None),
        (151, 25 - 20),  # one of them at the dearest surcharge of any tier
        (600, 450 * 5),
        (9_999, 450 * 5),  # more than there is
    ],
)
def test_what_only_the_service_counts_as_written_is_added(said: int, expected: int | None) -> None:
    taken = [Taken(0, 2, 1_000, 400, 150, 0, 30, 0)]
    service = of_service((1_000, 30, 400, 0), said)
    assert billed_cost(WRITING, taken, service) == cost_of(WRITING, taken) + (expected or 0)
    assert billed(usage_of(taken), service).cache_write_tokens == min(max(150, said), FRESH)


@pytest.mark.parametrize(
    ("said", "more"), [(None, 10 * 25), (150, 10 * 20), (154, 10 * 20 + 4 * 5)]
)
def test_input_that_only_the_service_counts_may_have_been_written(
    said: int | None, more: int
) -> None:
    taken = [Taken(0, 2, 1_000, 400, 150, 0, 30, 0)]
    found = billed_cost(WRITING, taken, of_service((1_010, 30, 400, 0), said))
    assert found == cost_of(WRITING, taken) + more


@pytest.mark.parametrize(
    ("written", "cost"), [(None, 60 * 12), (0, 60 * 10), (25, 25 * 12 + 35 * 10)]
)
def test_one_request_is_priced_in_the_same_way(written: int | None, cost: int) -> None:
    one = usage(100, 40, 7, 3, written)
    assert WRITING.cost(one) == cost + 40 * 1 + 7 * 100
    maybe = 60 if written is None else 0
    assert WRITING.cost(one) == cost_of(WRITING, [Taken(0, 1, 100, 40, written or 0, maybe, 7, 3)])


def test_a_sum_says_what_was_written_as_far_as_answers_do() -> None:
    rows = [Taken(0, 1, 100, 40, 0, 60, 7, 3), Taken(17, 1, 100, 40, 5, 0, 7, 3)]
    assert usage_of(rows) == usage(200, 80, 14, 6, 5)
    assert usage_of(rows[:1]) == usage(100, 40, 7, 3, None)
    assert usage_of([]) == Usage()


@pytest.mark.parametrize(("above", "rates"), [(15_999, LONG), (16_000, PLAIN)])
def test_small_requests_cost_what_the_largest_of_them_may(above: int, rates: Rates) -> None:
    assert cost_of(price(Tier(above, LONG)), [Taken(0, 1, 16_000, 0, 0, 0, 1, 0)]) == (
        16_000 * rates.input + rates.output
    )
