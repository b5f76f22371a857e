"""Each kind of answer, all the way: an item's own `input` and `body`, the request that goes out, the line that comes back, results.jsonl.

The golden files are results.jsonl, whole. After a change that is meant: `GOLDEN=write pytest` over this file, and read the diff.
"""

import json
import os
from pathlib import Path
from typing import Final

import msgspec
import pytest
from exchanges import EXCHANGES, STRUCTURED, Exchange
from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ImagesResponse,
    ModerationCreateResponse,
    Video,
)
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel
from runnerkit import NewWorld, World, items

from batchrun.endpoints import ENDPOINTS, endpoint_of
from batchrun.model import Json, JsonObject
from batchrun.service.responders.script import Rule

GOLDEN: Final = Path(__file__).with_name("golden")


MODELS: Final[dict[str, type[BaseModel]]] = {
    "/v1/responses": Response,
    "/v1/chat/completions": ChatCompletion,
    "/v1/embeddings": CreateEmbeddingResponse,
    "/v1/completions": Completion,
    "/v1/moderations": ModerationCreateResponse,
    "/v1/images/generations": ImagesResponse,
    "/v1/images/edits": ImagesResponse,
    "/v1/videos": Video,
}


@pytest.mark.parametrize("endpoint", EXCHANGES)
def test_every_kind_of_answer_is_split_into_its_fields(new_world: NewWorld, endpoint: str) -> None:
    exchanges = EXCHANGES[endpoint]
    world = exchanged(new_world, endpoint, exchanges)
    sent = [
        json.loads(line)["body"] for line in world.home.request_file(1).read_bytes().splitlines()
    ]
    assert sent == [{"model": "gpt-4.1-mini", **request_of(endpoint, one)} for one in exchanges]
    for line in world.home.result_file(1, 0).read_bytes().splitlines():
        held(MODELS[endpoint], json.loads(line)["response"]["body"])
    _is_golden(endpoint, world.output("results.jsonl"))


@pytest.mark.parametrize("key", STRUCTURED)
@pytest.mark.parametrize(
    "endpoint", [url for url, endpoint in ENDPOINTS.items() if endpoint.structured_key]
)
def test_structured_answers_are_split_too(new_world: NewWorld, endpoint: str, key: str) -> None:
    asked, exchanges = STRUCTURED[key]
    world = exchanged(new_world, endpoint, exchanges, **asked)
    _is_golden(f"{endpoint}/{key}", world.output("results.jsonl"))


def exchanged(
    new_world: NewWorld, endpoint: str, exchanges: tuple[Exchange, ...], **changes: Json
) -> World:
    """A world in which a job of these exchanges was run; `changes` are keys of its job line."""
    script = [
        msgspec.structs.replace(one.rule, custom_id=f"^{number}-", body=one.answer)
        for number, one in enumerate(exchanges, 1)
    ]
    world = new_world(script=script)
    asked = [{"id": one.name, "input": one.asked, "body": one.body} for one in exchanges]
    world.write(
        asked,
        endpoint=endpoint,
        prompt=None,
        max_output_tokens=None,
        attempts=1,
        dedupe=False,
        **changes,
    )
    tally = world.submit()
    assert tally.error is None, tally
    world.run()
    return world


def held(model: type[BaseModel], body: JsonObject) -> None:
    """The SDK's model takes it whole. Vectors in base64 are unpacked by the SDK before."""
    if any(isinstance(one.get("embedding"), str) for one in body.get("data", ())):
        return
    read = model.model_validate(body)
    assert json.loads(read.model_dump_json(exclude_unset=True, by_alias=True)) == body
    assert unknown_fields(read) == []


def request_of(endpoint: str, exchange: Exchange) -> JsonObject:
    """What goes out for an exchange, but for the model."""
    asked = exchange.asked
    if endpoint == "/v1/chat/completions":
        return {"messages": [{"role": "user", "content": asked}], **exchange.body}
    if endpoint == "/v1/responses" and exchange.name == "parts-in":
        asked = [{"role": "user", "content": asked}]
    key = "prompt" if "prompt" in endpoint_of(endpoint).required else "input"
    return {key: asked, **exchange.body}


def test_a_format_in_the_body_gives_json_and_holds_answers_to_its_schema(
    new_world: NewWorld,
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    told = {"type": "json_schema", "name": "a", "schema": schema}
    script = [
        Rule(custom_id="^1-", reply='{ "n": 1 }'),
        Rule(custom_id="^2-", reply='{"n": "one"}'),
        Rule(custom_id="^3-", reply="one"),
    ]
    world = new_world(script=script)
    world.write(items(3), body={"text": {"format": told}})
    world.submit()
    world.run()
    lines = [json.loads(line) for line in world.output("results.jsonl").splitlines()]
    assert [line["output"] for line in lines] == [{"n": 1}, None, None]
    assert world.failures() == {"i1": "schema_mismatch", "i2": "invalid_json"}


def _is_golden(endpoint: str, written: bytes) -> None:
    path = GOLDEN / f"{endpoint.strip('/').replace('/', '-')}.jsonl"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written)
    wanted = path.read_bytes().splitlines()
    assert [json.loads(line) for line in written.splitlines()] == list(map(json.loads, wanted))
    assert written.splitlines() == wanted


def unknown_fields(value: object) -> list[str]:
    """Fields that the SDK's model does not know, anywhere in it."""
    found = list(getattr(value, "model_extra", None) or ())
    parts: JsonObject = getattr(value, "__dict__", {})
    for part in value if isinstance(value, list) else parts.values():
        if isinstance(part, list) or hasattr(part, "model_extra"):
            found += unknown_fields(part)
    return found
