"""What requests have in common is found as they stream by, however they are cut into portions."""

import json
from typing import Any

import pytest

from batchrun.money.counting import RequestCounter
from batchrun.money.repeated import SORTS_MOST, Repeated, Repetition
from batchrun.money.tokens import Encoding, count_texts

TEXTS = ["Review: good one. Label?", "Review: bad one. Label?", "Review: gone. Label?"]


def line(body: dict[str, Any]) -> bytes:
    request = {"custom_id": "1-1-a", "method": "POST", "url": "/v1/responses", "body": body}
    return json.dumps(request, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("portion", [1, 2, 3])
def test_texts_begin_and_end_alike(portion: int) -> None:
    found = Repeated()
    for start in range(0, len(TEXTS), portion):
        found.meet(TEXTS[start : start + portion])
    assert (found.requests, found.beginning, found.ending) == (3, "Review: ", "one. Label?")


@pytest.mark.parametrize(
    ("texts", "beginning", "ending"),
    [
        (["same", "same"], "same", ""),
        (["abc", "abcabc"], "abc", ""),
        (["aXa", "aa"], "a", "a"),
        (["", "x"], "", ""),
        (["one", "two"], "", ""),
    ],
)
def test_a_beginning_and_an_ending_never_overlap(
    texts: list[str], beginning: str, ending: str
) -> None:
    found = Repeated()
    found.meet(texts)
    assert (found.beginning, found.ending) == (beginning, ending)


def test_instructions_and_schemas_are_repeated_as_a_whole() -> None:
    repetition = Repetition()
    schema = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    common = {"model": "gpt-5-mini", "instructions": "Label it.", "text": schema}
    RequestCounter("/v1/responses", repetition=repetition).take(
        [line({**common, "input": text}) for text in TEXTS]
    )
    (found,) = repetition.of("gpt-5-mini")
    tokens = found.counted(Encoding.O200K)
    assert found.before == ("Label it.",)
    assert (tokens.requests, tokens.before) == (3, *count_texts(["Label it."], Encoding.O200K))
    assert tokens.shown > 0
    assert tokens.all == 3 * (tokens.before + tokens.shown + tokens.beginning + tokens.ending)
    assert tokens.first > tokens.each - tokens.ending


def test_requests_with_parts_are_compared_by_their_texts() -> None:
    repetition = Repetition()
    image = {"type": "input_image", "image_url": "https://example.com/a.png"}
    bodies = [
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": t}, image]}]}
        for t in TEXTS
    ]  # fmt: skip
    RequestCounter("/v1/responses", repetition=repetition).take(map(line, bodies))
    (found,) = repetition.of("m")
    assert (found.requests, found.beginning) == (3, "Review: ")


def test_of_many_sorts_the_first_are_remembered() -> None:
    repetition = Repetition()
    bodies = [
        {"model": "m", "instructions": f"As number {n}.", "input": "x"}
        for n in range(SORTS_MOST + 9)
    ]
    counter = RequestCounter("/v1/responses", repetition=repetition)
    for body in bodies:
        counter.take([line(body)])
    assert len(repetition.of("m")) == SORTS_MOST
