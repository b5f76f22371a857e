"""Requests counted: each text once, what stands around it by its rule, caps, images, and what is not in the request at all."""

import json
from base64 import b64encode
from fractions import Fraction
from typing import Any

import pytest

from batchrun.money.asked import MESSAGE_TOKENS, NAME_TOKENS
from batchrun.money.counted import GUESS_TOKENS, LARGE_TOKENS, Counted
from batchrun.money.counting import RequestCounter
from batchrun.money.images import made_tokens, seen_tokens
from batchrun.money.readers import (
    COMPLETION_CAP,
    REPLY_TOKENS,
    SLACK_TOKENS,
    TOOL_TOKENS,
    TOOLS_TOKENS,
)
from batchrun.money.tokens import Encoding, count_texts

RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"
AROUND = MESSAGE_TOKENS + 1  # of one message: its role is a token
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"label": {"enum": ["good", "bad"]}}}


def tokens(*texts: str) -> int:
    return sum(count_texts(texts, Encoding.O200K))


def line(url: str, n: int, body: dict[str, Any]) -> bytes:
    """As it stands in a request file."""
    request = {"custom_id": f"{n}-1-abc", "method": "POST", "url": url, "body": body}
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def counted(url: str, *bodies: dict[str, Any], model: str = "gpt-5-mini") -> Counted:
    counter = RequestCounter(url)
    counter.take([line(url, n, {"model": model, **body}) for n, body in enumerate(bodies)])
    (found,) = counter.own.values()
    return found


def test_a_prompt_with_instructions_is_two_messages_and_the_beginning_of_an_answer() -> None:
    body = {"instructions": "Be brief.", "input": "How are you?", "max_output_tokens": 90}
    sums = counted(RESPONSES, body).sums

    expected = tokens("Be brief.", "How are you?") + 2 * AROUND + REPLY_TOKENS
    assert (sums.requests, sums.input) == (1, expected)
    assert sums.input_most == expected + SLACK_TOKENS
    assert (sums.answers, sums.capped, sums.uncapped, sums.guess) == (1, 90, 0, 90)


def test_chat_counts_each_message_with_its_name_and_each_choice_with_its_cap() -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": "Hello there"},
    ]
    sums = counted(CHAT, {"messages": said, "max_completion_tokens": 50, "n": 3}).sums

    around = 2 * AROUND + NAME_TOKENS + REPLY_TOKENS
    assert sums.input == tokens("Be brief.", "ann", "Hello there") + around
    assert (sums.answers, sums.capped) == (3, 150)


@pytest.mark.parametrize(
    ("url", "bodies"),
    [
        (RESPONSES, [{"instructions": "Be brief.", "input": f"item {n} " * n} for n in range(99)]),
        (RESPONSES, [{"instructions": f"Be {n}.", "input": f"item {n}"} for n in range(99)]),
        (
            CHAT,
            [
                {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": f"q {n}"}]}
                for n in range(99)
            ],
        ),
        (RESPONSES, [{"input": "a", "max_output_tokens": 1 + n % 3} for n in range(99)]),
        (RESPONSES, [{"instructions": "a" * (1 + n % 2), "input": "aa"} for n in range(99)]),
        (RESPONSES, [{"input": f"{n}", "metadata": {"input": f"{n % 2}"}} for n in range(99)]),
        (RESPONSES, [{"input": '","instructions":"Be brief.' + "x" * n} for n in range(9)]),
        (RESPONSES, [{"input": "a", "instructions": "b"} if n % 2 else {"input": "a"} for n in range(9)]),
        (CHAT, [{"messages": [{"role": "user", "content": f"a {n // 2}"}], "n": n % 2} for n in range(9)]),
    ],
)  # fmt: skip
def test_what_many_requests_have_in_common_is_counted_as_if_each_stood_alone(
    url: str, bodies: list[dict[str, Any]]
) -> None:
    alone = [counted(url, body).sums for body in bodies]
    together = counted(url, *bodies).sums

    for name in ("requests", "input", "input_most", "answers", "capped", "uncapped", "guess"):
        assert getattr(together, name) == sum(getattr(one, name) for one in alone), name


def test_tools_and_schemas_count_as_they_are_written_within_a_fifth() -> None:
    asked_for = {"json_schema": {"name": "answer", "schema": SCHEMA}}
    body = {"messages": [], "tools": [TOOL], "response_format": asked_for}
    sums = counted(CHAT, body).sums

    loose = tokens(*(json.dumps(one, separators=(",", ":")) for one in (TOOL, SCHEMA)))
    assert sums.input == loose + TOOL_TOKENS + TOOLS_TOKENS + REPLY_TOKENS
    assert sums.input_most == sums.input + SLACK_TOKENS + -(-loose // 5)


def test_embeddings_count_texts_and_tokens_and_make_none() -> None:
    texts = counted(
        "/v1/embeddings", {"input": ["one", "two three"]}, model="text-embedding-3-small"
    )
    ready = counted("/v1/embeddings", {"input": [[1, 2, 3], [4]]}, {"input": [5, 6]})  # fmt: skip

    assert texts.sums.input == sum(count_texts(["one", "two three"], Encoding.CL100K))
    assert (ready.sums.input, ready.sums.answers, ready.sums.guess) == (6, 0, 0)


def test_completions_have_a_small_cap_of_their_own() -> None:
    sums = counted("/v1/completions", {"prompt": ["a", "b"], "best_of": 4, "n": 2}).sums

    assert (sums.input, sums.answers, sums.capped) == (2, 8, 8 * COMPLETION_CAP)


def test_an_answer_without_a_cap_is_counted_apart() -> None:
    sums = counted(RESPONSES, {"input": "a"}, {"input": "b", "max_output_tokens": 50_000}).sums

    assert (sums.capped, sums.uncapped, sums.guess) == (50_000, 1, 2 * GUESS_TOKENS)


def test_what_the_service_reads_beside_the_request_is_counted_by_what_it_is() -> None:
    parts = [{"type": "input_text", "text": "see"}, {"type": "input_file", "file_id": "file-1"}]
    sums = counted(
        RESPONSES,
        {"input": [{"role": "user", "content": parts}]},
        {"input": "go on", "previous_response_id": "resp_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"input": "news?", "tools": [{"type": "web_search"}, TOOL]},
    ).sums

    assert sums.unseen == {
        "files": 1,
        "earlier responses": 1,
        "stored prompts": 1,
        "hosted tools": 1,
    }


def test_what_an_assistant_said_in_other_ways_is_part_of_the_conversation() -> None:
    called = {"role": "assistant", "function_call": {"name": "look_up", "arguments": "{}"}}
    sums = counted(CHAT, {"messages": [called, {"role": "assistant", "refusal": "I won't."}]}).sums

    texts = tokens("look_up", "{}", "I won't.")
    assert sums.input == texts + 2 * AROUND + MESSAGE_TOKENS + REPLY_TOKENS


def test_a_suffix_goes_with_each_prompt() -> None:
    sums = counted("/v1/completions", {"prompt": ["a", "b"], "suffix": "the end"}).sums

    assert sums.input == 2 + 2 * tokens("the end")


def test_a_format_may_be_described() -> None:
    asked_for = {"json_schema": {"name": "answer", "schema": SCHEMA, "description": "What it is."}}
    plain = counted(CHAT, {"messages": [], "response_format": {"json_schema": {"schema": SCHEMA}}})
    sums = counted(CHAT, {"messages": [], "response_format": asked_for}).sums

    assert sums.input == plain.sums.input + tokens("What it is.")


def test_calls_and_what_they_returned_are_part_of_the_conversation() -> None:
    items = [
        {"role": "user", "content": "When?"},
        {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": '{"id": 7}'},
        {"type": "function_call_output", "call_id": "c", "output": "on Monday"},
    ]
    sums = counted(RESPONSES, {"input": items}).sums

    texts = tokens("When?", "look_up", '{"id": 7}', "on Monday")
    assert sums.input == texts + AROUND + 2 * MESSAGE_TOKENS + REPLY_TOKENS


def test_images_are_input_of_their_own_rate() -> None:
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    sums = counted(RESPONSES, {"input": [{"role": "user", "content": [image]}]}).sums

    seen = seen_tokens("gpt-5-mini")
    assert seen is not None
    assert (sums.image_input, sums.image_most) == seen
    assert sums.input == seen.common + AROUND + REPLY_TOKENS


@pytest.mark.parametrize("url", [RESPONSES, CHAT])
def test_an_image_counts_by_its_own_size_and_detail(url: str) -> None:
    data = "data:image/gif;base64," + b64encode(b"GIF89a\x00\x08\x00\x04" + bytes(99)).decode()
    shown = [
        {"type": "image_url", "image_url": {"url": data, "detail": detail}}
        if url == CHAT
        else {"type": "input_image", "image_url": data, "detail": detail}
        for detail in ("high", "low")
    ]
    said = [{"role": "user", "content": shown}]
    sums = counted(url, {"messages": said, "input": said}, model="gpt-4o").sums

    assert (sums.images, sums.image_spare) == (1, 6 * 170), "with little detail it would be 85 too"
    assert sums.image_input == sums.image_most == (85 + 6 * 170) + 85, (
        "768 by 1,536 in tiles of 512"
    )


def test_an_image_that_is_only_named_may_be_known() -> None:
    image = {"type": "input_image", "file_id": "file-1"}
    body = {"model": "gpt-4o", "input": [{"role": "user", "content": [image, image | {"file_id": "x"}]}]}  # fmt: skip
    counter = RequestCounter(RESPONSES, look={"file-1": (500, 900)}.get)
    counter.take([line(RESPONSES, 1, body)])

    sums = counter.own["gpt-4o"].sums
    assert sums.image_input == (85 + 2 * 170) + (85 + 4 * 170)


def test_images_of_a_model_without_a_rule_are_in_no_figure() -> None:
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    body = {"input": [{"role": "user", "content": [image]}]}
    sums = counted(RESPONSES, body, model="qwen3-vl").sums

    assert (sums.image_input, sums.unseen) == (0, {"images": 1})


@pytest.mark.parametrize(
    ("quality", "cents"), [("low", "1.088"), ("medium", "4.224"), ("high", "16.64")]
)
def test_a_square_picture_has_the_tokens_that_its_price_comes_from(
    quality: str, cents: str
) -> None:
    """About $0.01, $0.04 and $0.17 at 40 dollars a million."""
    made = made_tokens("gpt-image-1", quality, "1024x1024")

    assert made is not None
    assert made[0] == made[1] == Fraction(cents) / 100 * 1_000_000 / 40


def test_pictures_count_where_their_model_is_known() -> None:
    body = {"prompt": "a cat", "n": 2, "quality": "low", "size": "1024x1024"}
    known = counted("/v1/images/generations", body, model="gpt-image-1").sums
    unknown = counted("/v1/images/generations", body, model="gpt-image-9").sums

    assert (known.answers, known.uncapped, known.made, known.made_most) == (2, 0, 544, 544)
    assert (unknown.uncapped, unknown.made) == (2, 0)
    assert made_tokens("gpt-image-1", "auto", "auto") == (1_056, 6_240)


def test_a_foreign_model_may_count_a_quarter_more() -> None:
    sums = counted(RESPONSES, {"input": "four words of text"}, model="qwen3-32b").sums

    text = tokens("four words of text")
    assert sums.input_most == sums.input + SLACK_TOKENS + -(-text // 4)


def test_large_requests_are_kept_apart_and_are_part_of_the_sum() -> None:
    found = counted(RESPONSES, {"input": "a " * (LARGE_TOKENS + 1)}, {"input": "b"})

    (large,) = found.large
    assert LARGE_TOKENS < large.input < found.sums.input
    assert (large.requests, found.sums.requests) == (1, 2)


def test_each_request_counts_for_its_own_model_however_they_are_mixed() -> None:
    counter = RequestCounter(RESPONSES)
    for start in (0, 6):
        counter.take(
            line(RESPONSES, n, {"model": f"gpt-{4 + n % 2}", "input": f"a 日本語 {n // 3}"})
            for n in range(start, start + 6)
        )

    texts = [f"a 日本語 {n // 3}" for n in range(12)]
    around = 6 * (AROUND + REPLY_TOKENS)
    assert [one.sums.requests for one in counter.own.values()] == [6, 6]
    assert counter.own["gpt-4"].sums.input == sum(count_texts(texts[::2], Encoding.CL100K)) + around
    assert counter.own["gpt-5"].sums.input == tokens(*texts[1::2]) + around


def test_others_count_the_same_requests_with_tokenizers_of_their_own() -> None:
    counter = RequestCounter(RESPONSES, ["gpt-4", "gpt-5-nano"])
    lines = [{"body": {"model": "gpt-5-mini", "input": f"日本語の文章 {n}"}} for n in range(3)]
    counter.take([json.dumps(line).encode() for line in lines])

    own, older, newer = counter.own["gpt-5-mini"], *counter.others.values()
    assert own.sums == newer.sums
    assert older.sums.input > own.sums.input


def test_a_request_of_odd_kinds_is_counted_as_far_as_it_can_be() -> None:
    """What is wrong with it, `check` says, or the service."""
    for url, body in (
        (
            RESPONSES,
            {
                "input": [
                    7,
                    None,
                    {"type": "x"},
                    {"role": "user", "content": [7, {"type": []}, {"type": "input_image"}]},
                ]
            },
        ),
        (RESPONSES, {"input": [{"type": {}}], "tools": [{"type": []}], "max_output_tokens": [1]}),
        (CHAT, {"messages": [{"role": "user", "content": "a"}], "n": {}, "service_tier": []}),
        (CHAT, {"messages": ["x", {"role": 1, "content": None}], "tools": "none", "n": "two"}),
        ("/v1/embeddings", {"input": None}),
        ("/v1/moderations", {"input": [{"type": "text", "text": "a"}]}),
        ("/v1/videos", {"prompt": "a"}),
    ):
        assert counted(url, body).sums.requests == 1
