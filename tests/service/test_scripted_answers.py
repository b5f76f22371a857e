"""The scripted responder: plausible without a script, exact with one, the same in every run."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from batchrun.errors import UsageError
from batchrun.model import Json, JsonObject
from batchrun.service.bodies import CHAT, EMBEDDINGS, RESPONSES, Finish
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Reply
from batchrun.service.responders.examples import example_of
from batchrun.service.responders.script import Rule, read_rules
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import START, ManualClock

LABELS: JsonObject = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"]},
        "why": {"type": "string"},
    },
    "required": ["label", "why"],
    "additionalProperties": False,
}


def ask(
    *rules: Rule, url: str = RESPONSES, custom_id: str | None = "1-1-abc", **body: Any
) -> Reply:
    responder = ScriptedResponder(rules, clock=ManualClock())
    return responder.respond(url, request_body(url, **body), custom_id=custom_id)


def request_body(url: str = RESPONSES, **body: Any) -> JsonObject:
    key = "messages" if url == CHAT else "input"
    prompt = [{"role": "user", "content": "hello"}] if url == CHAT else "hello"
    return {"model": "gpt-5-mini", key: prompt, **body}


def text_of(reply: Reply) -> str:
    assert reply.status_code == 200
    text: str = reply.body["output"][0]["content"][0]["text"]
    return text


def test_without_a_script_the_prompt_comes_back() -> None:
    assert text_of(ask()) == "hello"
    asked = ask(url=CHAT)
    assert asked.body["choices"][0]["message"]["content"] == "hello"
    assert asked.body["choices"][0]["finish_reason"] == "stop"


def test_with_a_schema_an_instance_of_it_comes_back() -> None:
    schema = {"format": {"type": "json_schema", "name": "x", "schema": LABELS}}
    assert json.loads(text_of(ask(text=schema))) == {"label": "good", "why": "example"}
    chat = {"type": "json_schema", "json_schema": {"name": "x", "schema": LABELS}}
    answer = ask(url=CHAT, response_format=chat).body["choices"][0]["message"]["content"]
    assert json.loads(answer) == {"label": "good", "why": "example"}


def test_a_label_goes_into_the_schema_or_stands_alone() -> None:
    schema = {"format": {"type": "json_schema", "name": "x", "schema": LABELS}}
    assert json.loads(text_of(ask(Rule(label="bad"), text=schema)))["label"] == "bad"
    assert text_of(ask(Rule(label="bad"))) == "bad"


def test_two_runs_give_the_same_bodies() -> None:
    assert ask() == ask()
    assert ask().body["id"] != ask(input="other").body["id"]
    assert ask(url=EMBEDDINGS) == ask(url=EMBEDDINGS)


def test_tokens_are_counted_and_the_limit_cuts() -> None:
    reply = ask(Rule(reply="x" * 100), max_output_tokens=5)
    assert text_of(reply) == "x" * 20
    assert reply.body["status"] == "incomplete"
    assert reply.body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert reply.body["usage"]["output_tokens"] == 5
    assert reply.body["usage"]["input_tokens"] == 2
    assert reply.body["usage"]["total_tokens"] == 7
    chat = ask(Rule(reply="x" * 100), url=CHAT, max_completion_tokens=5)
    assert chat.body["choices"][0]["finish_reason"] == "length"
    assert chat.body["usage"]["completion_tokens"] == 5


def test_embeddings_are_unit_vectors_in_the_order_of_the_inputs() -> None:
    reply = ask(url=EMBEDDINGS, input=["one", "two", "one"])
    first, second, third = (entry["embedding"] for entry in reply.body["data"])
    assert [entry["index"] for entry in reply.body["data"]] == [0, 1, 2]
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1.0)
    assert reply.body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert len(ask(url=EMBEDDINGS, dimensions=3).body["data"][0]["embedding"]) == 3


def test_the_first_fitting_rule_answers() -> None:
    rules = [
        Rule(url=CHAT, reply="chat"),
        Rule(model="gpt-9", reply="model"),
        Rule(custom_id="^2-", reply="custom_id"),
        Rule(prompt="h.llo", reply="prompt"),
        Rule(reply="any"),
    ]
    assert ask(*rules, url=CHAT).body["choices"][0]["message"]["content"] == "chat"
    assert text_of(ask(*rules, model="gpt-9")) == "model"
    assert text_of(ask(*rules, custom_id="2-1-abc")) == "custom_id"
    assert text_of(ask(*rules)) == "prompt"
    assert text_of(ask(*rules, input="other", custom_id=None)) == "any"


def test_a_rule_with_times_fits_each_request_so_often_then_the_next_rule_answers() -> None:
    rules = [Rule(times=2, status=500), Rule(reply="at last")]
    responder = ScriptedResponder(rules, clock=ManualClock())

    def status(text: str, custom_id: str) -> int:
        return responder.respond(
            RESPONSES, request_body(input=text), custom_id=custom_id
        ).status_code

    assert [status("one", f"1-{send}-abc") for send in (1, 2, 3)] == [500, 500, 200]
    assert status("two", "2-1-abc") == 500


def test_a_share_of_the_requests_is_always_the_same_and_another_for_another_rule() -> None:
    rules = [Rule(share=0.25, status=500), Rule(share=0.25, status=503)]
    responder = ScriptedResponder(rules, clock=ManualClock())

    def statuses() -> list[int]:
        bodies = (request_body(input=f"text {number}") for number in range(200))
        return [responder.respond(RESPONSES, b, custom_id="1-1-a").status_code for b in bodies]

    first = statuses()
    assert statuses() == first
    assert 30 <= first.count(500) <= 70
    assert 20 <= first.count(503) <= 60, "a quarter of the rest"


def test_times_are_remembered_in_a_file_for_the_next_process(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"rules": [{"times": 1, "status": 429, "code": "rate_limit_exceeded"}]}')
    statuses = []
    for _ in range(2):
        responder = ScriptedResponder.from_file(
            script, clock=ManualClock(), seen=tmp_path / "script.seen"
        )
        reply = responder.respond(RESPONSES, request_body(), custom_id="1-1-abc")
        statuses.append(reply.status_code)
    assert statuses == [429, 200]


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (Rule(status=400, code="context_length_exceeded"), "invalid_request_error"),
        (Rule(status=401), "authentication_error"),
        (Rule(status=429, code="insufficient_quota", type="insufficient_quota"), "insufficient_quota"),
        (Rule(status=503), "server_error"),
    ],
)  # fmt: skip
def test_an_error_has_the_body_of_the_api(rule: Rule, kind: str) -> None:
    reply = ask(rule)
    assert reply.status_code == rule.status
    error = reply.body["error"]
    assert (error["type"], error["code"], error["param"]) == (kind, rule.code, None)
    assert error["message"]


@pytest.mark.parametrize(
    ("finish", "status", "reason", "part"),
    [
        (Finish.STOP, "completed", None, "output_text"),
        (Finish.LENGTH, "incomplete", "max_output_tokens", "output_text"),
        (Finish.CONTENT_FILTER, "incomplete", "content_filter", "output_text"),
        (Finish.REFUSAL, "completed", None, "refusal"),
    ],
)
def test_an_answer_ends_as_the_rule_says(
    finish: Finish, status: str, reason: str | None, part: str
) -> None:
    body = ask(Rule(reply="So", finish=finish)).body
    assert body["status"] == status
    assert (body["incomplete_details"] or {}).get("reason") == reason
    assert body["output"][0]["content"][0]["type"] == part
    choice = ask(Rule(reply="So", finish=finish), url=CHAT).body["choices"][0]
    refused = finish is Finish.REFUSAL
    assert choice["finish_reason"] == ("stop" if refused else finish)
    assert (choice["message"]["content"], choice["message"]["refusal"]) == (
        (None, "So") if refused else ("So", None)
    )


def test_an_answer_can_fail_with_http_200_where_the_api_has_that() -> None:
    rule = Rule(reply="It broke.", finish=Finish.FAILED)
    body = ask(rule).body
    assert (body["status"], body["error"]["message"], body["output"]) == ("failed", "It broke.", [])
    assert ask(rule, url=CHAT).body["choices"][0]["message"]["content"] == "hello"


def test_a_body_is_sent_as_it_is() -> None:
    assert ask(Rule(body={"odd": 1}, status=207)) == Reply(status_code=207, body={"odd": 1})


def test_json_is_sent_as_text() -> None:
    assert text_of(ask(Rule(json={"é": None}))) == '{"é":null}'
    assert text_of(ask(Rule(json=None))) == "null"


def test_a_delay_passes_on_the_clock() -> None:
    clock = ManualClock()
    responder = ScriptedResponder([Rule(delay_s=3600)], clock=clock)
    reply = responder.respond(RESPONSES, request_body(), custom_id=None)
    assert text_of(reply) == "hello"
    assert clock.now() == reply.body["created_at"] == START + 3600


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (RESPONSES, {"input": "x"}, "model"),
        (RESPONSES, {"model": "m"}, "input"),
        (RESPONSES, {"model": "m", "input": 7}, "input"),
        (RESPONSES, {"model": "m", "input": "x", "instructions": []}, "instructions"),
        (RESPONSES, {"model": "m", "input": ["x"]}, "input[0]"),
        (CHAT, {"model": "m"}, "messages"),
        (CHAT, {"model": "m", "messages": []}, "messages"),
        (CHAT, {"model": "m", "messages": [{"content": 1}]}, "messages[0].content"),
        (EMBEDDINGS, {"model": "m"}, "input"),
        (EMBEDDINGS, {"model": "m", "input": ""}, "input"),
        (EMBEDDINGS, {"model": "m", "input": {}}, "input"),
        (EMBEDDINGS, {"model": "m", "input": [None]}, "input[0]"),
    ],
)
def test_a_request_of_a_wrong_shape_is_refused_as_the_api_would(
    url: str, body: JsonObject, param: str
) -> None:
    responder = ScriptedResponder(clock=ManualClock())
    with pytest.raises(ServiceError) as refused:
        responder.respond(url, body, custom_id=None)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_prompts_are_read_from_messages_and_parts() -> None:
    parts = [{"type": "input_text", "text": "one"}, {"type": "input_image"}, {"text": "two"}]
    assert text_of(ask(input=[{"role": "user", "content": parts}])) == "one\ntwo"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "truncated"),
        ("[]", "it takes a table, not a list"),
        ('{"rules": {}}', "'rules': it takes a list, not a table"),
        ('{"rules": [{"promt": "x"}]}', "rule 1: unknown key 'promt' (did you mean 'prompt'?)"),
        (
            '{"rules": [{"delay_s": "soon"}]}',
            "rule 1: 'delay_s': it takes a whole number, not text",
        ),
        (
            '{"rules": [{}, {"delay_s": 1.5}]}',
            "rule 2: 'delay_s': it takes a whole number, not a fraction",
        ),
        ('{"rules": [{"delay_s": null}]}', "'delay_s': it takes a whole number, not nothing"),
        ('{"rules": [{"delay_s": -3}]}', "rule 1: 'delay_s' must be 0 or more seconds"),
        (
            '{"rules": [{"finish": "lenght"}]}',
            "'lenght' is none of its words (did you mean 'length'?)",
        ),
        (
            '{"rules": [{"url": "/v1/images/edits", "reply": "a cat"}]}',
            "rule 1: 'reply' must be base64",
        ),
        ('{"rules": [{"prompt": "("}]}', "rule 1: 'prompt' is not a regular expression"),
        ('{"rules": [{}, {"reply": "x", "label": "y"}]}', "rule 2: one rule gives one answer"),
        ('{"rules": [{"times": 0}]}', "'times' must be at least 1"),
        ('{"rules": [{"share": 2}]}', "'share' must lie between 0 and 1"),
        (
            f'{{"rules": [{{"finish": "failed", "url": "{CHAT}"}}]}}',
            "/v1/responses and /v1/videos only",
        ),
    ],
)
def test_a_wrong_script_is_explained_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(UsageError) as wrong:
        read_rules(path)
    assert str(path) in str(wrong.value)
    assert what in str(wrong.value)


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.json"):
        read_rules(tmp_path / "missing.json")


@pytest.mark.parametrize(
    "schema",
    [
        LABELS,
        {"const": 7},
        {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
        {"type": ["null", "string"]},
        {"type": "array", "items": {"type": "number"}, "minItems": 2},
        {"type": "array", "items": {"type": "boolean"}},
        {"properties": {"x": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": {"enum": [1]}}},
        {"type": "object"},
        {},
    ],
)
def test_an_example_is_an_instance_of_its_schema(schema: JsonObject) -> None:
    assert jsonschema_rs.is_valid(schema, example_of(schema))


def test_a_schema_without_an_end_gets_an_example_with_one() -> None:
    schema: Json = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert isinstance(example_of(schema), dict)
