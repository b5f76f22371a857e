"""Tokens that were written to the service's cache, which newer models bill dearer than other input: from the answers to the picodollar."""

import json
from collections.abc import Iterator

import pytest
from runnerkit import NewWorld, World, items

from batchrun.model import JsonObject, Usage
from batchrun.service.bodies import chat_body, responses_body
from batchrun.service.responders.script import Rule

PRICES = """
[price."gpt-4.1-mini".batch]
input = 10
cached_input = 1
cache_write = 12.5
output = 100
long = { above = 20_000, input = 20, cached_input = 2, cache_write = 25, output = 150 }
"""
DOLLAR_A_MILLION = 10**6  # picodollars a token
BUILDERS = {"/v1/responses": responses_body, "/v1/chat/completions": chat_body}
DETAILS = {"/v1/responses": "input_tokens_details", "/v1/chat/completions": "prompt_tokens_details"}
# Input, cached and written tokens (None: not said), and output.
TOOK = [
    (1_000, 400, 150, 30),
    (1_000, 400, 0, 30),
    (1_000, 400, None, 30),
    (21_000, 1_000, 5_000, 40),
    (1_000, 0, 200, 5),
]
CUT = 5  # the last of them; what it took is billed all the same
COST = (
    (450 * 10 + 400 * 1 + 150 * 12.5 + 30 * 100)
    + (600 * 10 + 400 * 1 + 30 * 100)
    + (600 * 12.5 + 400 * 1 + 30 * 100)  # as if all of it had been written
    + (15_000 * 20 + 1_000 * 2 + 5_000 * 25 + 40 * 150)
    + (800 * 10 + 200 * 12.5 + 5 * 100)
)


def answers(endpoint: str) -> Iterator[Rule]:
    for number, (given, cached, written, made) in enumerate(TOOK, 1):
        body: JsonObject = BUILDERS[endpoint](
            "gpt-4.1-mini",
            "Yes.",
            usage=Usage(
                input_tokens=given,
                cached_tokens=cached,
                cache_write_tokens=written,
                output_tokens=made,
            ),
            created_at=1_790_000_000,
            ident=str(number),
            finish="length" if number == CUT else "stop",
        )
        if written is None:
            del body["usage"][DETAILS[endpoint]]["cache_write_tokens"]
        yield Rule(custom_id=f"^{number}-", body=body)


@pytest.fixture(params=BUILDERS)
def settled(request: pytest.FixtureRequest, new_world: NewWorld) -> World:
    """A batch with these answers, under a limit."""
    world = new_world(script=list(answers(request.param)))
    limits = "[budget]\nmonth = 5\n"
    (world.folder / "batchrun.toml").write_text(PRICES + limits, encoding="utf-8")
    world.write(items(len(TOOK)), endpoint=request.param, attempts=1)
    world.submit()
    world.run()
    return world


def test_a_batch_with_cache_writes_costs_what_they_do_to_the_picodollar(settled: World) -> None:
    (bill,) = settled.rows("select cost, presumed, is_overrun from bills")
    assert bill == {"cost": COST * DOLLAR_A_MILLION, "presumed": 0, "is_overrun": 0}
    assert settled.incidents() == []


def test_what_was_written_is_told_wherever_usage_is(settled: World) -> None:
    lines = map(json.loads, settled.output("results.jsonl").splitlines())
    assert [line["usage"]["cache_write_tokens"] for line in lines] == [
        written for _, _, written, _ in TOOK
    ]
    report = json.loads(settled.output("report.json"))
    assert report["tokens"]["cache_write_tokens"] == 5_350
    spent = settled.api().spend().total
    assert spent.usage.cache_write_tokens == 5_350
    assert spent.cost == COST * DOLLAR_A_MILLION
    attempt = settled.api().explain("reviews", "i0").attempts[0]
    assert attempt.usage.cache_write_tokens == 150


def test_the_sums_that_are_kept_are_those_of_the_answers(settled: World) -> None:
    kept = settled.rows("select * from batch_usage order by size")
    names = ("size", "requests", "cache_write_tokens", "maybe_written_tokens")
    assert [tuple(row[name] for name in names) for row in kept] == [
        (0, 4, 350, 600),
        (21, 1, 5_000, 0),
    ]
    assert not settled.api().verify().broken
    settled.api().forget("reviews")
    assert settled.rows("select * from batch_usage order by size") == kept
