"""Each kind of answer, all the way: an item's own `input` and `body`, the request that goes out, the line that comes back, results.jsonl.

The golden files are results.jsonl, whole. After a change that is meant: `GOLDEN=write pytest` over this file, and read the diff.
"""

import json
import os
from pathlib import Path
from typing import Final

import pytest
from exchanges import CHAT, RESPONSES, Exchange
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from runnerkit import NewWorld, items

from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule

GOLDEN: Final = Path(__file__).with_name("golden")


@pytest.mark.parametrize(
    ("endpoint", "exchanges", "model"),
    [
        ("/v1/responses", RESPONSES, Response),
        ("/v1/chat/completions", CHAT, ChatCompletion),
    ],
    ids=["responses", "chat-completions"],
)
def test_every_kind_of_answer_is_split_into_its_fields(
    new_world: NewWorld,
    endpoint: str,
    exchanges: tuple[Exchange, ...],
    model: type[Response] | type[ChatCompletion],
) -> None:
    script = [
        Rule(custom_id=f"^{number}-", body=exchange.answer)
        for number, exchange in enumerate(exchanges, 1)
    ]
    world = new_world(script=script)
    asked = [{"id": one.name, "input": one.asked, "body": one.body} for one in exchanges]
    world.write(asked, endpoint=endpoint, prompt=None, max_output_tokens=None, attempts=1)
    tally = world.submit()
    assert tally.error is None, tally
    world.run()

    sent = [
        json.loads(line)["body"] for line in world.home.request_file(1).read_bytes().splitlines()
    ]
    assert sent == [{"model": "gpt-4.1-mini", **request_of(endpoint, one)} for one in exchanges]
    for line in world.home.result_file(1, 0).read_bytes().splitlines():
        body = json.loads(line)["response"]["body"]
        read = model.model_validate(body)
        assert json.loads(read.model_dump_json(exclude_unset=True, by_alias=True)) == body
        assert set(unknown_fields(read)) <= {
            "store"
        }  # the API writes it, the SDK has no name for it
    _is_golden(endpoint, world.output("results.jsonl"))


def request_of(endpoint: str, exchange: Exchange) -> JsonObject:
    """What goes out for an exchange, but for the model."""
    asked = exchange.asked
    if endpoint == "/v1/chat/completions":
        return {"messages": [{"role": "user", "content": asked}], **exchange.body}
    if exchange.name == "parts-in":
        asked = [{"role": "user", "content": asked}]
    return {"input": asked, **exchange.body}


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
