"""What comes back from completions, moderations and videos."""

import json

import pytest
from reading_lines import FAILED, RETRY, line, output, read

from batchrun.model import Json, JsonObject

COMPLETIONS, MODERATIONS, VIDEOS = "/v1/completions", "/v1/moderations", "/v1/videos"


def completion(*choices: JsonObject, **more: Json) -> JsonObject:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return {"object": "text_completion", "choices": list(choices), "usage": usage, **more}


def choice(text: Json, reason: str = "stop", index: int = 0, **more: Json) -> JsonObject:
    return {"index": index, "text": text, "finish_reason": reason, "logprobs": None, **more}


def result(flagged: Json = False, **scores: Json) -> JsonObject:
    flags = {name: isinstance(score, float) and score > 0.5 for name, score in scores.items()}
    return {"flagged": flagged, "categories": flags, "category_scores": scores}


def video(status: str = "completed", **more: Json) -> JsonObject:
    return {
        "id": "video_1", "object": "video", "status": status, "model": "sora-2", "progress": 100,
        "created_at": 1, "seconds": "4", "size": "720x1280", "expires_at": 90_000, **more,
    }  # fmt: skip


def test_a_completion_is_its_text_with_the_blanks_at_its_ends() -> None:
    reading = read(line(completion(choice(" and so on\n"))), COMPLETIONS)
    assert output(reading) == " and so on\n"
    assert (reading.input_tokens, reading.output_tokens) == (3, 4)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_completion_that_was_cut_is_a_failure_that_keeps_its_text(reason: str) -> None:
    reading = read(line(completion(choice("once upon", reason))), COMPLETIONS)
    assert (reading.outcome, reading.cause, reading.partial) == (FAILED, reason, "once upon")


def test_of_several_completions_the_first_is_the_output_and_all_are_told() -> None:
    reading = read(line(completion(choice("b", index=1), choice("a"))), COMPLETIONS)
    assert output(reading) == "a"
    assert reading.extras is not None
    told = json.loads(reading.extras)["choices"]
    assert [one["output"] for one in told] == ["a", "b"]


def test_the_logprobs_of_a_completion_are_told_by_token() -> None:
    columns = {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, None],
        "top_logprobs": [{"a": -0.5, "x": -2}, None],
        "text_offset": [0, 1],
    }
    reading = read(line(completion(choice("ab", logprobs=columns))), COMPLETIONS)
    assert reading.extras is not None
    alternatives = [{"token": "a", "logprob": -0.5}, {"token": "x", "logprob": -2}]
    assert json.loads(reading.extras)["logprobs"] == [
        {"token": "a", "logprob": -0.5, "top_logprobs": alternatives},
        {"token": "b"},
    ]


def test_a_moderation_is_flags_and_scores() -> None:
    body = {"model": "omni", "results": [result(True, hate=0.9, violence=1e-05, sexual=0)]}
    assert output(read(line(body), MODERATIONS)) == {
        "flagged": True,
        "categories": ["hate"],
        "scores": {"hate": 0.9, "violence": 1e-05, "sexual": 0},
    }


def test_several_inputs_give_a_list_in_their_order() -> None:
    body = {"results": [result(hate=0.1), result(True, hate=0.8)]}
    found = output(read(line(body), MODERATIONS))
    assert [one["flagged"] for one in found] == [False, True]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"categories": {"hate": True}}, {"flagged": True, "categories": ["hate"], "scores": {}}),
        ({"flagged": "yes"}, {"flagged": False, "categories": [], "scores": {}}),
        (
            {"category_scores": {"a": "high", "b": None, "c": True, "d": 0.5}},
            {"flagged": False, "categories": [], "scores": {"d": 0.5}},
        ),
    ],
)
def test_an_odd_moderation_is_told_as_far_as_it_goes(given: JsonObject, told: JsonObject) -> None:
    assert output(read(line({"results": [given]}), MODERATIONS)) == told


def test_a_moderation_without_results_is_empty() -> None:
    assert read(line({"results": []}), MODERATIONS).cause == "empty_output"


def test_a_video_is_told_with_where_to_fetch_it() -> None:
    reading = read(line(video()), VIDEOS)
    assert output(reading) == {
        "id": "video_1", "status": "completed", "seconds": "4", "size": "720x1280",
        "expires_at": 90_000, "content": "/v1/videos/video_1/content",
    }  # fmt: skip
    assert reading.model == "sora-2"


@pytest.mark.parametrize(
    ("body", "outcome", "cause"),
    [
        (video("failed", error={"code": "moderation_blocked", "message": "no"}), FAILED, "content_filter"),
        (video("failed", error={"code": "server_error", "message": "oh"}), RETRY, "server_error"),
        (video("failed"), RETRY, "unknown"),
        (video("expired"), FAILED, "video_expired"),
        (video("in_progress"), FAILED, "unknown"),
        (video("completed", id=None), FAILED, "unknown"),
    ],
)  # fmt: skip
def test_a_video_that_is_none_is_a_failure_by_its_own_word(
    body: JsonObject, outcome: str, cause: str
) -> None:
    """What may have been charged is not asked for again unasked."""
    reading = read(line(body), VIDEOS)
    assert (reading.outcome, reading.cause) == (outcome, cause)


@pytest.mark.parametrize("url", [COMPLETIONS, MODERATIONS, VIDEOS])
def test_an_error_is_an_error_at_every_endpoint(url: str) -> None:
    body = {"error": {"code": "rate_limit_exceeded", "message": "slow down"}}
    assert read(line(body, 429), url).cause == "rate_limited"
