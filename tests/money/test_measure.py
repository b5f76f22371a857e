"""A request file measured: its sums, its dearest request, and the longest beginning that fits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import Unbounded
from batchrun.money.counting import CHUNK
from batchrun.money.measure import Measured, measure
from batchrun.money.price import Ceiling, Mode, Price, Rates, Tier

URL = "/v1/responses"
RATES = Rates(10, 100, 1, 12, 20, 200, 40, 400)
CEILING = Ceiling(output_tokens=1_000, context_tokens=4_000)


def price(model: str) -> Price:
    tiers = (Tier(2_000, Rates(*(2 * rate for rate in RATES))),)
    return Price(model=model, mode=Mode.BATCH, rates=RATES, tiers=tiers, table="", dated="")


def line(body: dict[str, Any]) -> bytes:
    request = {"custom_id": "c", "method": "POST", "url": URL, "body": body}
    return json.dumps(request, separators=(",", ":")).encode() + b"\n"


def weigh(lines: list[bytes], model: str, room: int | None = None) -> Measured:
    fees = {"web_search": 5_000}
    return measure(lines, URL, price(model), CEILING, fees, room=room)


TEXTS = st.text("ab 日,", max_size=30) | st.just("a " * 31_000)
BODIES = st.one_of(
    st.fixed_dictionaries({"input": TEXTS}),
    st.fixed_dictionaries({"input": TEXTS, "max_output_tokens": st.integers(1, 40)}),
    st.fixed_dictionaries({"input": TEXTS, "instructions": st.sampled_from(["x", "Be brief."])}),
    st.fixed_dictionaries({"input": TEXTS, "previous_response_id": st.just("resp_1")}),
    st.fixed_dictionaries(
        {
            "input": TEXTS,
            "max_tool_calls": st.integers(0, 2),
            "tools": st.just([{"type": "web_search"}]),
        }
    ),
    st.fixed_dictionaries({"input": st.just([{"role": "user", "content": "hello"}])}),
)


@given(
    bodies=st.lists(BODIES, min_size=1, max_size=12),
    model=st.sampled_from(["gpt-5-mini", "gpt-6-sol", "qwen3"]),
    share=st.floats(0, 1.1),
)
def test_what_fits_is_the_longest_beginning_that_does(
    bodies: list[dict[str, Any]], model: str, share: float
) -> None:
    lines = [line({"model": model, **body}) for body in bodies]
    prefixes = [weigh(lines[:n], model) for n in range(len(lines) + 1)]
    whole = prefixes[-1]
    alone = [weigh([one], model) for one in lines]
    room = int(whole.reserved * share)

    assert whole.reserved == sum(one.reserved for one in alone), "each by itself, and all together"
    assert whole.fees == sum(5_000 * body.get("max_tool_calls", 0) for body in bodies)
    assert whole.largest == max(one.reserved for one in alone)
    fitting = max(n for n, one in enumerate(prefixes) if one.reserved <= room)
    assert weigh(lines, model, room).fitting == fitting


@pytest.mark.parametrize("fitting", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
def test_a_file_of_several_chunks_is_cut_to_one_request(fitting: int) -> None:
    lines = [line({"model": "m", "input": "a b c " * (n % 7)}) for n in range(2 * CHUNK + 7)]
    room = weigh(lines[:fitting], "m").reserved

    assert measure(iter(lines), URL, price("m"), CEILING, {}, room=room).fitting == fitting
    assert weigh(lines, "m", room - 1).fitting == max(0, fitting - 1)


def test_without_room_nothing_fits_and_without_a_bound_all_does() -> None:
    lines = [line({"model": "m", "input": "a"})] * 3

    assert [weigh(lines, "m", room).fitting for room in (-1, 0, None)] == [0, 0, 3]
    assert weigh([], "m", 0) == Measured(
        requests=0, reserved=0, largest=0, fees=0, fitting=0, is_seen=True
    )


def test_requests_of_several_models_have_no_price_together() -> None:
    with pytest.raises(Unbounded, match=r"several models: 'm', 'o'"):
        weigh([line({"model": "m", "input": "a"}), line({"model": "o", "input": "a"})], "m")


@pytest.mark.parametrize(
    ("content", "is_seen"),
    [
        ("hello", True),
        ([{"type": "input_text", "text": "hello"}], True),
        ([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}], False),
        ([{"type": "input_image", "image_url": "https://x.org/a.png"}], True),
        ([{"type": "input_file", "file_id": "file-1"}], False),
    ],
)
def test_that_a_model_is_shown_what_is_not_known_here_is_told(
    content: object, is_seen: bool
) -> None:
    asked: list[dict[str, Any]] = [
        {"input": "plain"},
        {"input": [{"role": "user", "content": content}]},
    ]
    whole = weigh([line({"model": "gpt-4o", **body}) for body in asked], "gpt-4o")
    assert whole.is_seen is is_seen


def test_what_hosted_tools_bring_is_text() -> None:
    body = {"input": "x", "max_tool_calls": 1, "tools": [{"type": "web_search"}]}
    assert weigh([line({"model": "gpt-4o", **body})], "gpt-4o").is_seen
