"""The service streams: the official SDK's clients take it for a stream of OpenAI's, and what they put together is the plain answer."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from servicekit import OpenDesk

from batchrun.service.bodies import Finish
from batchrun.service.responders.script import Rule, ScriptedCall
from batchrun.service.running import running

KEY = "a key for tests"
TOOL: dict[str, Any] = {
    "name": "weather",
    "description": "Tells it.",
    "parameters": {"type": "object", "properties": {}},
}
RULES = [
    Rule(prompt="refuse", reply="No, I will not.", finish=Finish.REFUSAL),
    Rule(prompt="fail", url="/v1/responses", reply="It broke.", finish=Finish.FAILED),
    Rule(
        prompt="weather", calls=(ScriptedCall(name="weather", arguments={"city": "Lyon and Rome"}),)
    ),
    Rule(prompt="nothing", reply=""),
    Rule(prompt="hello", reply="Good  day\nto\u2028you, too."),
]


@pytest.fixture
def client(open_desk: OpenDesk) -> Iterator[openai.OpenAI]:
    desk = open_desk(script=RULES)
    with (
        running(desk.service, api_key=KEY, works=False) as base_url,
        openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


@pytest.mark.parametrize("prompt", ["hello", "refuse", "nothing"])
def test_the_sdk_follows_a_streamed_response_to_its_end(client: openai.OpenAI, prompt: str) -> None:
    plain = client.responses.create(model="m", input=prompt)
    with client.responses.stream(model="m", input=prompt) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == plain.output_text
    assert final.usage == plain.usage
    assert final.status == "completed"
    said = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in said) == plain.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_calls_of_a_streamed_response_and_a_failed_one(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "strict": False, **TOOL}]
    with client.responses.stream(model="m", input="weather", tools=tools) as stream:
        (call,) = stream.get_final_response().output
    assert call.type == "function_call"
    assert call.arguments == '{"city":"Lyon and Rome"}'
    *_, last = client.responses.create(model="m", input="fail", stream=True)
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.message == "It broke."


@pytest.mark.parametrize("prompt", ["hello", "refuse", "nothing", "weather"])
def test_the_sdk_follows_a_streamed_chat_completion_to_its_end(
    client: openai.OpenAI, prompt: str
) -> None:
    asked: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"type": "function", "function": TOOL}],
    }
    plain = client.chat.completions.create(**asked)
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        final = stream.get_final_completion()
    message, wanted = final.choices[0].message, plain.choices[0].message
    assert (message.content or None, message.refusal) == (wanted.content or None, wanted.refusal)
    assert [call.function.arguments for call in message.tool_calls or ()] == [
        call.function.arguments for call in wanted.tool_calls or () if call.type == "function"
    ]
    assert final.choices[0].finish_reason == plain.choices[0].finish_reason
    assert final.usage == plain.usage


def test_a_streamed_completion_has_usage_only_where_it_is_wanted(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "m", "prompt": "hello", "stream": True}
    chunks = list(client.completions.create(**asked))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Good  day\nto\u2028you, too."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    *_, last = client.completions.create(**asked, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 0
