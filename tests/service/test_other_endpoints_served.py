"""Completions, moderations, images and videos of the scripted service."""

import base64

import openai
import pytest
from openai.types import Completion, ImagesResponse, ModerationCreateResponse, Video
from pydantic import BaseModel
from servicekit import DAY_S, OpenDesk

from batchrun.endpoints.pictures import format_of
from batchrun.model import Json, JsonObject
from batchrun.service.bodies import Finish
from batchrun.service.images import tiny_image
from batchrun.service.moderations import CATEGORIES
from batchrun.service.options import ENDPOINTS
from batchrun.service.prompts import COMPLETIONS, EDITS, GENERATIONS, MODERATIONS, VIDEOS
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.llama import LlamaResponder
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.testing import START, ManualClock

REFERENCE = {"image_url": "https://images.example/a.png"}
BODIES: dict[str, JsonObject] = {
    COMPLETIONS: {"model": "m", "prompt": "Once upon"},
    MODERATIONS: {"model": "m", "input": "hello"},
    GENERATIONS: {"model": "m", "prompt": "a cat"},
    EDITS: {"model": "m", "prompt": "a red cat", "images": [REFERENCE]},
    VIDEOS: {"model": "sora-2", "prompt": "a cat that runs"},
}
MODELS: dict[str, type[BaseModel]] = {
    COMPLETIONS: Completion,
    MODERATIONS: ModerationCreateResponse,
    GENERATIONS: ImagesResponse,
    EDITS: ImagesResponse,
    VIDEOS: Video,
}


def ask(url: str, *rules: Rule, **body: Json) -> JsonObject:
    responder = ScriptedResponder(rules, clock=ManualClock())
    reply = responder.respond(url, BODIES[url] | body, custom_id="1-1-abc")
    assert reply.status_code == 200
    return reply.body


@pytest.mark.parametrize("url", BODIES)
def test_the_same_request_has_the_same_answer(url: str) -> None:
    assert ask(url) == ask(url)


def test_a_completion_is_the_prompt_or_what_the_script_says_cut_at_the_cap() -> None:
    assert ask(COMPLETIONS)["choices"][0]["text"] == "Once upon"
    cut = ask(COMPLETIONS, Rule(reply="a time"), max_tokens=1)["choices"][0]
    assert (cut["text"], cut["finish_reason"]) == ("a ti", "length")


def test_a_moderation_is_harmless_but_for_what_the_script_flags() -> None:
    assert ask(MODERATIONS)["results"][0]["flagged"] is False
    (one,) = ask(MODERATIONS, Rule(label="violence"))["results"]
    assert [name for name, is_set in one["categories"].items() if is_set] == ["violence"]
    scores = {"hate": 0.75, "sexual": 0.5}
    (two,) = ask(MODERATIONS, Rule(json=scores))["results"]
    assert {name for name, is_set in two["categories"].items() if is_set} == scores.keys()
    with pytest.raises(ServiceError, match="the script scores 'spam'"):
        ask(MODERATIONS, Rule(label="spam"))


def test_every_input_of_a_moderation_has_a_result_and_parts_are_one_input() -> None:
    assert len(ask(MODERATIONS, input=["a", "b"])["results"]) == 2
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://x"}},
    ]
    (found,) = ask(MODERATIONS, input=parts)["results"]
    assert found["categories"].keys() == set(CATEGORIES)


@pytest.mark.parametrize("kind", ["png", "gif", "svg"])
def test_images_are_images_as_many_as_were_asked_and_all_different(kind: str) -> None:
    body = ask(GENERATIONS, n=3, output_format=kind)
    images = [base64.b64decode(entry["b64_json"]) for entry in body["data"]]
    assert {format_of(image) for image in images} == {kind}
    assert len(set(images)) == 3
    assert body["output_format"] == kind
    assert body["usage"]["total_tokens"] == 3 * 272 + body["usage"]["input_tokens"]


def test_a_script_may_give_the_image() -> None:
    image = tiny_image("gif", "mine")
    body = ask(EDITS, Rule(reply=base64.b64encode(image).decode()), n=2)
    assert [base64.b64decode(entry["b64_json"]) for entry in body["data"]] == [image, image]
    for reply in ("a cat", "ein Kätzchen"):
        with pytest.raises(ServiceError, match="no base64"):
            ask(EDITS, Rule(reply=reply))


def test_a_video_can_be_fetched_for_a_day_and_may_have_failed() -> None:
    made = ask(VIDEOS, seconds="8")
    assert (made["status"], made["seconds"], made["expires_at"]) == (
        "completed",
        "8",
        START + DAY_S,
    )
    failed = ask(VIDEOS, Rule(finish=Finish.FAILED, reply="too fast"))
    assert Video.model_validate(failed).status == "failed"
    assert failed["error"]["message"] == "too fast"


@pytest.mark.parametrize(
    ("url", "change", "param"),
    [
        (COMPLETIONS, {"prompt": None}, "prompt"),
        (COMPLETIONS, {"prompt": [{}]}, "prompt[0]"),
        (MODERATIONS, {"input": ""}, "input"),
        (MODERATIONS, {"input": [{"type": "audio"}]}, "type"),
        (MODERATIONS, {"input": [{"type": "image_url"}]}, "input[0].image_url"),
        (GENERATIONS, {"prompt": ["a"]}, "prompt"),
        (GENERATIONS, {"n": 11}, "n"),
        (GENERATIONS, {"n": "1"}, "n"),
        (GENERATIONS, {"output_format": "jpeg"}, "output_format"),
        (EDITS, {"images": None}, "images"),
        (EDITS, {"images": "https://x"}, "images"),
        (EDITS, {"images": ["https://x"]}, "images[0]"),
        (EDITS, {"images": [{}]}, "images[0]"),
        (EDITS, {"mask": {}}, "mask"),
        (VIDEOS, {"seconds": "5"}, "seconds"),
        (VIDEOS, {"input_reference": "x"}, "input_reference"),
    ],
)
def test_a_request_of_a_wrong_shape_is_refused(url: str, change: JsonObject, param: str) -> None:
    with pytest.raises(ServiceError) as refused:
        ask(url, **change)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_the_local_model_says_what_it_cannot_do() -> None:
    with pytest.raises(ServiceError, match=r"not supported in '/v1/videos'") as refused:
        LlamaResponder().respond(VIDEOS, BODIES[VIDEOS], custom_id=None)
    assert refused.value.status == 400


def test_all_eight_endpoints_take_a_batch(open_desk: OpenDesk) -> None:
    desk = open_desk()
    for url, body in BODIES.items():
        line = {"custom_id": "a", "method": "POST", "url": url, "body": body}
        batch = desk.create(line, endpoint=url)
        desk.work()
        (answered,) = desk.lines(desk.batch(batch)["output_file_id"])
        MODELS[url].model_validate(answered["response"]["body"])
    assert set(BODIES) < set(ENDPOINTS)


def test_the_sdk_asks_them_over_a_socket(open_desk: OpenDesk) -> None:
    desk = open_desk()
    with (
        running(desk.service, api_key="a key", works=False) as base_url,
        openai.OpenAI(base_url=base_url, api_key="a key", max_retries=0) as client,
    ):
        assert client.completions.create(model="m", prompt="Hi").choices[0].text == "Hi"
        assert not client.moderations.create(model="m", input="Hi").results[0].flagged
        found = client.images.generate(model="m", prompt="a cat", n=2)
    assert found.data is not None
    assert len(found.data) == 2


def test_a_script_that_cannot_be_played_fails_the_line_and_the_batch_ends(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk(script=[Rule(reply="a cat")])
    line = {"custom_id": "a", "method": "POST", "url": EDITS, "body": BODIES[EDITS]}
    batch = desk.create(line, endpoint=EDITS)
    desk.work()
    found = desk.batch(batch)
    assert found["status"] == "completed"
    (failed,) = desk.lines(found["error_file_id"])
    assert failed["response"]["status_code"] == 400
    assert "no base64" in failed["response"]["body"]["error"]["message"]
