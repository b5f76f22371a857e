"""Answers in every shape that a service has been seen to send, and what becomes of them."""

import base64
import json
import struct

import pytest
from msgspec.structs import astuple
from reading_lines import (
    CHAT,
    EMBEDDINGS,
    FAILED,
    RESPONSES,
    RETRY,
    SUCCEEDED,
    completion,
    embedding,
    line,
    message,
    output,
    read,
    response,
    tokens_of,
)

from batchrun.endpoints.answer import Finish, Reading
from batchrun.model import Json, JsonObject


def test_a_response_is_read_whole() -> None:
    body = response({"type": "reasoning", "summary": []}, message('Hé "x"\u2028'))
    assert read(line(body)) == Reading(
        "7-1-abc", SUCCEEDED, None, None, '"Hé \\"x\\"\u2028"'.encode(), None, Finish.STOP,
        10, 4, None, 20, 5, "m-1", "req_1",
    )  # fmt: skip


def test_a_completion_is_read_whole() -> None:
    assert read(line(completion("Hello")), CHAT) == Reading(
        "7-1-abc",
        SUCCEEDED,
        None,
        None,
        b'"Hello"',
        None,
        Finish.STOP,
        10,
        4,
        None,
        20,
        5,
        "m-1",
        "req_1",
    )


def test_an_embedding_is_read_whole_and_keeps_its_digits() -> None:
    raw = json.dumps(line(embedding(["VECTOR"]))).encode()
    raw = raw.replace(b'["VECTOR"]', b"[ 0.10, -1e-05,\t2 ]")
    assert read(raw, EMBEDDINGS) == Reading(
        "7-1-abc", SUCCEEDED, None, None, b"[0.10,-1e-05,2]", None, Finish.STOP,
        10, 0, None, 0, 0, "m-1", "req_1",
    )  # fmt: skip


# Text in its many places.


def test_the_texts_of_all_messages_and_parts_are_joined() -> None:
    body = response(message("a", None, "b"), {"type": "hologram", "content": "?"}, message("c"))
    assert output(read(line(body))) == "abc"


def test_where_messages_have_phases_only_the_final_answer_counts() -> None:
    body = response(message("Let me see.", phase="commentary"), message("42", phase="final_answer"))
    assert output(read(line(body))) == "42"
    only_commentary = response(message("Let me see.", phase="commentary"))
    assert output(read(line(only_commentary))) == "Let me see."


def test_a_completion_may_give_its_text_in_parts() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 7]
    assert output(read(line(completion(content)), CHAT)) == "ab"


def test_the_first_choice_is_the_one_with_index_0() -> None:
    body = completion("second")
    body["choices"][0]["index"] = 1
    body["choices"].append({**completion("first")["choices"][0]})
    assert output(read(line(body), CHAT)) == "first"


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "", None])
def test_any_finish_that_is_not_known_to_be_bad_is_a_stop(finish: Json) -> None:
    reading = read(line(completion("x", finish)), CHAT)
    assert (reading.outcome, reading.finish) == (SUCCEEDED, Finish.STOP)


@pytest.mark.parametrize("status", ["COMPLETED", None, ""])
def test_a_status_may_be_shouted_or_missing(status: Json) -> None:
    assert output(read(line(response(message("x"), status=status)))) == "x"


@pytest.mark.parametrize("status", ["200", 200.0, 201, None, "two hundred", True])
def test_a_success_is_one_whatever_the_kind_of_its_status_code(status: Json) -> None:
    assert output(read(line(response(message("x")), status))) == "x"


def test_a_body_may_be_a_json_string() -> None:
    assert output(read(line(json.dumps(response(message("x")))))) == "x"


# Usage.


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (0, 0, 0, 0)),
        ("many", (0, 0, 0, 0)),
        ({}, (0, 0, 0, 0)),
        ({"input_tokens": 5.0, "output_tokens": 7.9}, (5, 0, 7, 0)),
        ({"input_tokens": -1, "output_tokens": 2**40}, (0, 0, 0, 0)),
        ({"input_tokens": 2**40 - 1, "output_tokens": True}, (2**40 - 1, 0, 0, 0)),
        ({"input_tokens": float("nan"), "output_tokens": float("inf")}, (0, 0, 0, 0)),
        ({"input_tokens": "12", "output_tokens": None}, (0, 0, 0, 0)),
        ({"input_tokens": 3, "output_tokens": 4, "input_tokens_details": None}, (3, 0, 4, 0)),
        ({"input_tokens": 3, "output_tokens": 4, "output_tokens_details": []}, (3, 0, 4, 0)),
    ],
)
def test_odd_usage_costs_the_figures_and_never_the_answer(
    usage: Json, tokens: tuple[int, ...]
) -> None:
    reading = read(line(response(message("x"), usage=usage)))
    assert reading.outcome is SUCCEEDED
    assert tokens_of(reading) == tokens


@pytest.mark.parametrize(
    ("details", "written"),
    [
        (None, None),
        ({}, None),
        ({"cached_tokens": 4}, None),
        ({"cache_write_tokens": None}, None),
        ({"cache_write_tokens": 0}, 0),
        ({"cache_write_tokens": 6}, 6),
        ({"cache_write_tokens": 6.0}, 6),
        ({"cache_write_tokens": -1}, None),
        ({"cache_write_tokens": "6"}, None),
        ({"cache_write_tokens": 2**40}, None),
    ],
)
def test_tokens_written_to_the_cache_are_known_only_where_they_are_said(
    details: Json, written: int | None
) -> None:
    answered = response(message("x"))
    answered["usage"]["input_tokens_details"] = details
    assert read(line(answered)).cache_write_tokens == written
    chat = completion("x")
    chat["usage"]["prompt_tokens_details"] = details
    assert read(line(chat), CHAT).cache_write_tokens == written
    vector = embedding([1])
    vector["usage"]["prompt_tokens_details"] = details
    assert read(line(vector), EMBEDDINGS).cache_write_tokens == written


@pytest.mark.parametrize(("model", "request_id"), [(None, None), ("", ""), (7, {})])
def test_a_missing_model_or_request_id_is_none(model: Json, request_id: Json) -> None:
    given = line(response(message("x"), model=model))
    given["response"]["request_id"] = request_id
    assert astuple(read(given))[-3:] == (None, None, None)


# Answers that are of no use.


def test_a_cut_response_fails_with_its_text_and_says_how_many_tokens_went_where() -> None:
    body = response(
        message("half a"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    reading = read(line(body))
    assert astuple(reading)[1:7] == (
        FAILED,
        "length",
        "the response is incomplete: max_output_tokens (20 output tokens, 5 of them reasoning)",
        None,
        "half a",
        Finish.LENGTH,
    )
    assert reading.output_tokens == 20


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MODEL_LENGTH"])
def test_a_cut_completion_fails_with_its_text(finish: str) -> None:
    reading = read(line(completion("half a", finish)), CHAT)
    assert (reading.cause, reading.partial, reading.finish) == ("length", "half a", Finish.LENGTH)


def test_a_response_cut_during_reasoning_has_no_partial() -> None:
    body = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert astuple(read(line(body)))[1:3] == (FAILED, "length")
    assert read(line(body)).partial is None


@pytest.mark.parametrize("details", [None, {}, {"reason": "steered"}, "odd"])
def test_a_response_incomplete_for_an_unknown_reason_is_tried_again(details: Json) -> None:
    body = response(message("half"), status="incomplete", incomplete_details=details)
    reading = read(line(body))
    assert astuple(reading)[1:3] == (RETRY, "unknown")
    assert reading.message is not None
    assert reading.message.startswith("the response is incomplete: ")
    assert reading.partial == "half"


def test_a_filtered_answer_fails_as_content_filter() -> None:
    body = response(status="incomplete", incomplete_details={"reason": "content_filter"})
    assert astuple(read(line(body)))[1:3] == (FAILED, "content_filter")
    assert read(line(body)).finish is Finish.CONTENT_FILTER
    reading = read(line(completion("So", "content_filter")), CHAT)
    assert (reading.cause, reading.partial) == ("content_filter", "So")


def test_a_refusal_fails_with_its_words() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't."}]}
    for reading in (
        read(line(response(refusal))),
        read(line(completion(None, refusal="I can't.")), CHAT),
        read(line(completion("", refusal="I can't.")), CHAT),
    ):
        assert astuple(reading)[1:3] == (FAILED, "refusal")
        assert (reading.partial, reading.finish) == ("I can't.", Finish.REFUSAL)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (RESPONSES, response()),
        (RESPONSES, response({"type": "reasoning", "content": [{"type": "reasoning_text"}]})),
        (RESPONSES, response(message(""))),
        (RESPONSES, response(message(" \n"))),
        (RESPONSES, response(message(None))),
        (RESPONSES, response({"type": "message", "content": None})),
        (RESPONSES, {"status": "completed"}),
        (RESPONSES, {**response(), "output": None}),
        (CHAT, completion(None)),
        (CHAT, completion("")),
        (CHAT, completion(" ")),
        (CHAT, completion([])),
        (CHAT, completion(None, "tool_calls")),
        (CHAT, {"id": "x", "choices": []}),
        (CHAT, {"id": "x", "choices": [{"message": None}]}),
        (EMBEDDINGS, embedding()),
        (EMBEDDINGS, embedding([])),
        (EMBEDDINGS, embedding(["x"])),
        (EMBEDDINGS, embedding([True])),
        (EMBEDDINGS, embedding([float("nan")])),
        (EMBEDDINGS, embedding([1.0], None)),
        (EMBEDDINGS, embedding("not base64!")),
        (EMBEDDINGS, embedding("AAAAAAA=")),
    ],
)
def test_an_answer_with_nothing_in_it_fails_as_empty(url: str, body: JsonObject) -> None:
    assert astuple(read(line(body), url))[1:3] == (FAILED, "empty_output")


# Embeddings.


def test_several_inputs_give_several_vectors_in_input_order() -> None:
    body = embedding([1, 2], [3.5, 4])
    body["data"].reverse()
    assert read(line(body), EMBEDDINGS).output == b"[[1,2],[3.5,4]]"


@pytest.mark.parametrize("kept", [[0, 2], [1, 2], [1], [2]])
def test_vectors_of_which_one_is_missing_are_not_taken_for_all(kept: list[int]) -> None:
    body = embedding([1, 2], [3, 4], [5, 6])
    body["data"] = [body["data"][n] for n in kept]
    reading = read(line(body), EMBEDDINGS)
    assert (reading.outcome, reading.cause) == (FAILED, "malformed_result")
    assert reading.message == (
        f"{len(kept)} vectors came, and one of them is number {kept[-1]}, counted from 0: some are missing"
    )


def test_base64_vectors_are_unpacked() -> None:
    packed = base64.b64encode(struct.pack("<3f", 0.5, -2.0, 1e-3)).decode()
    vector = output(read(line(embedding(packed)), EMBEDDINGS))
    assert vector == pytest.approx([0.5, -2.0, 1e-3])


def test_vectors_without_an_index_stay_as_they_came() -> None:
    body = {"data": [{"embedding": [2]}, {"embedding": [1]}, "odd"]}
    assert read(line(body), EMBEDDINGS).output == b"[[2],[1]]"
