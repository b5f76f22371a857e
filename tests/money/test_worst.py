"""The worst case of a request: never below what an answer costs, and refused where nothing bounds it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import Unbounded
from batchrun.model import Usage
from batchrun.money.counting import RequestCounter
from batchrun.money.measure import Measured, measure
from batchrun.money.price import Ceiling, Mode, Price, Rates, Tier
from batchrun.money.worst import OVER_TOKENS

RESPONSES, CHAT, PICTURES = "/v1/responses", "/v1/chat/completions", "/v1/images/generations"
RATES = Rates(
    input=10, output=100, cached_input=1, cache_write=12,
    image_input=20, image_output=200, audio_input=40, audio_output=400,
)  # fmt: skip
DEAR = Rates(*(2 * rate for rate in RATES))
CEILING = Ceiling(output_tokens=128_000, context_tokens=400_000)
UNKNOWN = Ceiling(output_tokens=None, context_tokens=None)
SEARCH = {"type": "web_search"}


def price(model: str = "gpt-5-mini", mode: Mode = Mode.LIVE, *tiers: Tier) -> Price:
    return Price(model=model, mode=mode, rates=RATES, tiers=tiers, table="list", dated="")


def lines(*bodies: dict[str, Any], model: str = "gpt-5-mini") -> list[bytes]:
    return [
        json.dumps({"custom_id": f"{n}", "method": "POST", "body": {"model": model, **body}},
                   separators=(",", ":")).encode() + b"\n"
        for n, body in enumerate(bodies)
    ]  # fmt: skip


def measured(
    *bodies: dict[str, Any],
    url: str = RESPONSES,
    at: Price | None = None,
    ceiling: Ceiling = CEILING,
    fees: dict[str, int] | None = None,
) -> Measured:
    at = at or price()
    return measure(lines(*bodies, model=at.model), url, at, ceiling, fees or {})


def most_input(url: str, body: dict[str, Any], model: str = "gpt-5-mini") -> int:
    counter = RequestCounter(url)
    counter.take(lines(body, model=model))
    return counter.own[model].sums.input_most


def answer(cap: int, answers: int = 1, rate: int = RATES.output) -> int:
    return -(-cap * answers * 102 * rate // 100) + answers * OVER_TOKENS * rate


def test_input_is_dearest_where_it_is_written_to_the_cache_and_answers_overshoot() -> None:
    body = {"input": "Say something.", "max_output_tokens": 1_001}

    assert measured(body).reserved == 12 * most_input(RESPONSES, body) + answer(1_001)


def test_each_choice_may_be_as_long_as_the_cap() -> None:
    said = {"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 50, "n": 3}
    found = measured(said, url=CHAT)

    assert found.reserved == 12 * most_input(CHAT, said) + answer(50, answers=3)


def test_an_answer_without_a_cap_is_as_long_as_its_model_answers() -> None:
    body = {"input": "x"}
    found = measured(body, ceiling=Ceiling(output_tokens=None, context_tokens=9_000))

    assert found.reserved == 12 * most_input(RESPONSES, body) + answer(9_000)


def test_a_large_request_pays_the_rates_of_a_large_one() -> None:
    body = {"input": "a " * 40_000, "max_output_tokens": 10}
    at = price("gpt-5-mini", Mode.LIVE, Tier(40_001, DEAR))
    edge = price("gpt-5-mini", Mode.LIVE, Tier(50_000, DEAR))

    plain = 12 * most_input(RESPONSES, body) + answer(10)
    assert measured(body, at=at).reserved == 2 * plain
    assert measured(body, at=edge).reserved == plain


@pytest.mark.parametrize(
    "body",
    [
        {"input": "x", "previous_response_id": "resp_1"},
        {"input": "x", "conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"type": "reasoning", "encrypted_content": "abc"}]},
        {"input": [{"role": "user", "content": [{"type": "input_hologram", "data": "…"}]}]},
        {"input": {"text": "x"}},
        {"input": "x", "instructions": [{"role": "system", "content": "x"}]},
    ],
)
def test_what_a_request_does_not_contain_takes_all_that_the_model_takes_in(
    body: dict[str, Any],
) -> None:
    capped = {**body, "max_output_tokens": 10}

    assert measured(capped).reserved == 40 * 400_000 + answer(10)
    with pytest.raises(Unbounded, match="context_tokens"):
        measured(capped, ceiling=UNKNOWN)


def test_tools_of_the_service_cost_their_fees_and_read_again_after_each_call() -> None:
    tools = [SEARCH, {"type": "file_search"}, {"type": "function", "name": "f"}]
    body = {"input": "x", "tools": tools, "max_tool_calls": 4, "max_output_tokens": 10}
    found = measured(body, fees={"web_search": 7_000, "file_search": 9_000})

    assert found.reserved == 4 * 9_000 + 5 * 400_000 * 40 + answer(10)


ASKED = {"input": "x", "max_output_tokens": 10}
SAID = {"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 10}


@pytest.mark.parametrize(
    ("url", "body", "message"),
    [
        (RESPONSES, {**ASKED, "tools": [SEARCH]}, "max_tool_calls"),
        (RESPONSES, {**ASKED, "tools": [SEARCH], "max_tool_calls": 2}, r"\[fee\] web_search = …"),
        (RESPONSES, {**ASKED, "tools": [{"type": "mcp"}], "max_tool_calls": 2}, "'mcp'"),
        (RESPONSES, {**ASKED, "service_tier": "priority"}, "service_tier"),
        (RESPONSES, {**ASKED, "service_tier": "auto"}, "service_tier"),
        (CHAT, {**SAID, "modalities": ["text", "audio"]}, "sound"),
        (CHAT, {**SAID, "audio": {"voice": "ash"}}, "sound"),
        (CHAT, {**SAID, "prediction": {"type": "content", "content": "x"}}, "prediction"),
        (RESPONSES, {**ASKED, "context_management": [{"type": "compaction"}]}, "context_manage"),
        (RESPONSES, {**ASKED, "reasoning": {"mode": "pro"}}, "'pro'"),
        (RESPONSES, {**ASKED, "prompt_cache_options": {"ttl": "12h"}}, "'12h'"),
        (CHAT, {**SAID, "web_search_options": {}}, "max_tool_calls"),
        (CHAT, {**SAID, "model": "gpt-4o-search-preview"}, "max_tool_calls"),
        (PICTURES, {"prompt": "a cat", "model": "gpt-image-9"}, "picture"),
        ("/v1/videos", {"prompt": "a cat"}, "/v1/videos"),
        ("/v1/audio/speech", {"input": "a cat"}, "/v1/audio/speech"),
    ],
)
def test_what_nothing_bounds_is_refused_with_the_reason_and_what_to_write(
    url: str, body: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unbounded, match=message) as caught:
        measured(body, url=url)

    assert caught.value.exit_code == 8
    assert caught.value.reason in caught.value.message


def test_an_answer_that_nothing_bounds_is_refused_and_a_cap_mends_it() -> None:
    with pytest.raises(Unbounded, match=r"max_output_tokens.*\[price\.\"gpt-99\"\]"):
        measured({"input": "x"}, at=price("gpt-99"), ceiling=UNKNOWN)

    assert measured(ASKED, at=price("gpt-99"), ceiling=UNKNOWN).reserved > 0


@pytest.mark.parametrize(
    ("mode", "tier", "is_bound"),
    [
        (Mode.LIVE, "default", True),
        (Mode.LIVE, "flex", True),
        (Mode.FLEX, "flex", True),
        (Mode.FLEX, "default", False),
        (Mode.PRIORITY, "priority", True),
        (Mode.PRIORITY, "auto", False),
        (Mode.LIVE, "ultrafast", False),
        (Mode.BATCH, "priority", True),
    ],
)
def test_a_tier_counts_where_it_may_be_dearer_than_the_price(
    mode: Mode, tier: str, is_bound: bool
) -> None:
    body = {**ASKED, "service_tier": tier}

    if is_bound:
        assert measured(body, at=price("gpt-5-mini", mode)).requests == 1
    else:
        with pytest.raises(Unbounded):
            measured(body, at=price("gpt-5-mini", mode))


def test_what_is_said_of_reasoning_and_caching_that_changes_no_price_is_no_reason() -> None:
    plain = measured(ASKED).reserved
    said = {"reasoning": {"effort": "low", "mode": "standard"}, "prompt_cache_options": {"mode": "explicit"}}  # fmt: skip

    assert measured({**ASKED, **said}).reserved == plain


def test_pictures_are_bound_by_their_quality_and_size() -> None:
    body = {"prompt": "a cat", "n": 2, "quality": "low", "size": "1024x1024"}
    found = measured(body, url=PICTURES, at=price("gpt-image-1"))

    given = 12 * most_input(PICTURES, body, "gpt-image-1")
    assert found.reserved == given + answer(272, answers=2, rate=200)


def test_images_to_look_at_cost_as_images() -> None:
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    body = {"input": [{"role": "user", "content": [image]}], "max_output_tokens": 10}

    most = most_input(RESPONSES, body)
    images = most - most_input(RESPONSES, {"input": [{"role": "user", "content": []}]})
    assert measured(body).reserved == 20 * images + 12 * (most - images) + answer(10)


def test_images_of_which_no_rule_is_known_take_all_that_the_model_takes_in() -> None:
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    body = {"input": [{"role": "user", "content": [image]}], "max_output_tokens": 10}

    assert measured(body, at=price("qwen3-vl")).reserved == 40 * 400_000 + answer(10)


def test_embeddings_and_moderations_cost_their_input() -> None:
    assert measured({"input": [[1, 2, 3]]}, url="/v1/embeddings").reserved == 36
    assert measured({"input": [[1, 2, 3]]}, url="/v1/embeddings", ceiling=UNKNOWN).largest == 36


CAPS = st.integers(1, 5_000)
rates = st.builds(Rates, *[st.integers(0, 10**6)] * 8)


@given(
    rates=rates,
    dearer=rates,
    above=st.integers(1, 60_000),
    cap=CAPS,
    choices=st.integers(1, 4),
    words=st.integers(0, 300) | st.just(35_000),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_answer_within_its_cap_costs_more_than_the_worst_case(
    rates: Rates,
    dearer: Rates,
    above: int,
    cap: int,
    choices: int,
    words: int,
    share: tuple[float, float, float],
) -> None:
    body = {
        "messages": [{"role": "user", "content": "a " * words}],
        "max_completion_tokens": cap,
        "n": choices,
    }
    at = Price(
        model="gpt-5-mini",
        mode=Mode.BATCH,
        rates=rates,
        tiers=(Tier(above, dearer),),
        table="",
        dated="",
    )
    given = int(most_input(CHAT, body) * share[0])
    usage = Usage(
        input_tokens=given,
        cached_tokens=int(given * share[1]),
        output_tokens=int(cap * choices * share[2]),
    )

    assert at.cost(usage) <= measured(body, url=CHAT, at=at).reserved


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"type": "image_url", "image_url": "https://x.org/a.png"}]},
        {"input": [["a text in a list of its own"]]},
        {"messages": [{"role": "user", "content": "x"}]},
    ],
)
def test_what_is_embedded_and_no_text_takes_all_that_the_model_takes_in(
    body: dict[str, Any],
) -> None:
    assert measured(body, url="/v1/embeddings").reserved == 40 * 400_000


def test_calls_that_a_conversation_had_are_input() -> None:
    def said(call: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [{"role": "assistant", "tool_calls": [call]}], "max_tokens": 1}

    name = {"name": "f", "arguments": "x " * 500}
    custom = {"type": "custom", "custom": {"name": "f", "input": "x " * 500}}
    functions = ({"type": "function", "function": name}, {"function": name}, custom)
    assert len({most_input(CHAT, said(call)) for call in functions}) == 1
    assert most_input(CHAT, said(custom)) > 500
    other = said({"type": "spell", "words": "x " * 500})
    assert measured(other, url=CHAT).reserved == 40 * 400_000 + answer(1)


@pytest.mark.parametrize("extra", [{"models": ["gpt-5-pro"]}, {"plugins": [{"id": "web"}]}])
def test_what_another_server_may_add_to_a_request_is_refused(extra: dict[str, Any]) -> None:
    said = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    with pytest.raises(Unbounded, match=next(iter(extra))):
        measured(said, {**said, **extra}, url=CHAT)
