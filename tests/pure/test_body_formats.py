"""Formats of answers that the job's own `body` asks for are held to like those of `schema`; and inputs that are no text."""

import json

import pytest
from reading_lines import CHAT, RESPONSES, job

from batchrun.endpoints import endpoint_of
from batchrun.endpoints.schemas import judged_schema
from batchrun.model import Json, JsonObject
from batchrun.requests import BadItem, RequestBuilder

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def asking(url: str, kind: str, schema: Json = None) -> JsonObject:
    """A body that asks for a format, as its endpoint spells it."""
    told: JsonObject = {"type": kind}
    if url == RESPONSES:
        told |= {} if schema is None else {"name": "a", "schema": schema}
        return {"text": {"format": told}}
    if schema is not None:
        told["json_schema"] = {"name": "a", "schema": schema}
    return {"response_format": told}


@pytest.mark.parametrize("url", [RESPONSES, CHAT])
def test_the_format_in_a_body_is_what_answers_are_judged_by(url: str) -> None:
    def judged(body: JsonObject, **keys: Json) -> JsonObject | None:
        return judged_schema(job(url, body=body, **keys))

    assert judged(asking(url, "json_schema", SCHEMA)) == SCHEMA
    assert judged(asking(url, "json_object")) == {}
    assert judged(asking(url, "text")) is None
    assert judged({}) is None
    assert judged({"text": {"verbosity": "low"}}) is None
    assert judged(asking(url, "json_schema", 7)) == {}
    assert judged(asking(url, "json_schema", SCHEMA), body_unchecked=True) == {}
    assert judged({}, schema={"type": "array"}) == {"type": "array"}
    assert judged(asking(CHAT if url == RESPONSES else RESPONSES, "json_object")) is None


@pytest.mark.parametrize("url", [RESPONSES, CHAT])
@pytest.mark.parametrize("schema", [{"type": 7}, {"$ref": "file:///etc/passwd"}])
def test_a_schema_in_a_body_is_checked_before_anything_is_sent(
    url: str, schema: JsonObject
) -> None:
    body = asking(url, "json_schema", schema)
    (problem,) = endpoint_of(url).check_job(job(url, body=body))
    assert problem.startswith("'schema' is not a valid JSON Schema: ")
    assert endpoint_of(url).check_job(job(url, body=body, body_unchecked=True)) == ()


@pytest.mark.parametrize("strict", [True, False, None])
@pytest.mark.parametrize("url", [RESPONSES, CHAT])
def test_a_strict_schema_in_a_body_keeps_the_rules_of_strict_output(
    url: str, *, strict: bool | None
) -> None:
    body = asking(url, "json_schema", SCHEMA)
    form = body["text"]["format"] if url == RESPONSES else body["response_format"]["json_schema"]
    tool: JsonObject = {"name": "f", "parameters": SCHEMA}
    if strict is not None:
        form["strict"] = tool["strict"] = strict
    kind = {"type": "function"}
    body["tools"] = [kind | tool if url == RESPONSES else kind | {"function": tool}]
    where = (
        ["text.format.schema", "tools[0].parameters"]
        if url == RESPONSES
        else ["response_format.json_schema.schema", "tools[0].function.parameters"]
    )
    problems, _ = endpoint_of(url).check_body(body)
    told = [problem.partition(" is not for strict output: at $, ")[0] for problem in problems]
    assert told == ([f"'{place}'" for place in where] if strict else [])


@pytest.mark.parametrize("url", [RESPONSES, CHAT])
def test_an_item_cannot_ask_for_another_format_than_its_job(url: str) -> None:
    def build(body: JsonObject) -> object:
        settings = job(url, model="m", body=asking(url, "json_schema", SCHEMA))
        return RequestBuilder(settings).build({"id": "a", "input": "x", "body": body})

    for body in ({}, {"temperature": 0}, asking(url, "json_schema", SCHEMA)):
        build(body)
    with pytest.raises(BadItem, match="asks for another format"):
        build(asking(url, "text"))


def input_of(given: Json, url: str = RESPONSES) -> Json:
    request = RequestBuilder(job(url, model="m")).build({"id": "a", "input": given})
    body = json.loads(b"{" + request.tail)["body"]
    return body["input"] if url == RESPONSES else body["messages"]


def test_input_that_is_no_text_goes_out_as_it_is_and_bare_parts_as_one_message() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_file", "file_id": "f"}]
    whole = [{"role": "user", "content": parts}]
    followed = [
        {"type": "function_call_output", "call_id": "c", "output": "{{ not a template }}"},
        {"type": "item_reference", "id": "msg_1"},
    ]
    assert input_of(whole) == whole
    assert input_of(followed) == followed
    assert input_of(parts) == whole
    assert input_of([]) == []
    chat = [{"type": "text", "text": "a"}]
    assert input_of(chat, CHAT) == [{"role": "user", "content": chat}]
