"""Request bodies: what each endpoint builds of a job line and an item."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchrun.endpoints import ENDPOINTS, endpoint_of
from batchrun.errors import UsageError
from batchrun.model import JobSettings, Json, JsonObject

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TEXT_URLS = ["/v1/responses", "/v1/chat/completions"]


def job(url: str = "/v1/responses", **keys: Json) -> JobSettings:
    return JobSettings(name="j", path="/jobs/j.jsonl", line=1, endpoint=url, **keys)


def build(settings: JobSettings, **parts: Json) -> JsonObject:
    given_parts = {"model": None, "prompt": "Hello", "instructions": None, "body": {}, **parts}
    return endpoint_of(settings.endpoint).build(settings, **given_parts)


def test_responses_takes_prompt_instructions_and_cap_under_its_own_names() -> None:
    body = build(job(model="m", max_output_tokens=9), instructions="Be brief.")
    assert body == {
        "model": "m", "instructions": "Be brief.", "input": "Hello", "max_output_tokens": 9,
    }  # fmt: skip


def test_chat_takes_instructions_as_a_system_message_and_its_own_name_of_the_cap() -> None:
    body = build(
        job("/v1/chat/completions", model="m", max_output_tokens=9), instructions="Be brief."
    )
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "max_completion_tokens": 9,
    }


def test_chat_takes_an_array_of_messages_as_the_conversation() -> None:
    conversation = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    body = build(job("/v1/chat/completions"), prompt=conversation, instructions="s")
    assert body["messages"] == [{"role": "system", "content": "s"}, *conversation]


def test_chat_takes_an_array_of_content_parts_as_the_users_message() -> None:
    parts = [{"type": "text", "text": "1"}]
    assert build(job("/v1/chat/completions"), prompt=parts)["messages"] == [
        {"role": "user", "content": parts}
    ]


@pytest.mark.parametrize("prompt", ["Hello", ["a", "b"], [1, 2], [[1], [2]]])
def test_embeddings_takes_whatever_input_there_is(prompt: Json) -> None:
    assert build(job("/v1/embeddings", model="m"), prompt=prompt) == {"model": "m", "input": prompt}


def test_responses_asks_for_a_schema_in_text_format() -> None:
    assert build(job(schema=SCHEMA))["text"] == {
        "format": {"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}
    }


def test_chat_asks_for_a_schema_in_response_format() -> None:
    assert build(job("/v1/chat/completions", schema=SCHEMA))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
    }


def test_labels_become_a_strict_schema_with_one_enum() -> None:
    asked = build(job(labels=("yes", "no")))["text"]["format"]
    assert asked["name"] == "label"
    assert asked["schema"] == {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["label"],
        "additionalProperties": False,
    }


def test_labels_that_were_turned_into_a_schema_before_are_not_turned_again() -> None:
    assert build(job(labels=("x",), schema=SCHEMA))["text"]["format"]["schema"] == SCHEMA


@pytest.mark.parametrize("url", ENDPOINTS)
def test_the_items_own_model_and_body_win_over_the_jobs_and_the_jobs_body_over_ours(
    url: str,
) -> None:
    settings = job(url, model="m", max_output_tokens=5, body={"user": "job", "temperature": 1})
    body = build(settings, model="n", body={"user": "item"})
    assert body["model"] == "n"
    assert body["user"] == "item"
    assert body["temperature"] == 1
    assert build(settings, body={"model": "o"})["model"] == "o"


@pytest.mark.parametrize("url", ENDPOINTS)
def test_a_body_without_any_model_has_no_model_key(url: str) -> None:
    assert "model" not in build(job(url))


def test_other_keys_beside_the_format_do_not_drop_the_schema() -> None:
    settings = job(schema=SCHEMA, body={"text": {"verbosity": "low"}})
    text = build(settings, body={"text": {"verbosity": "high"}})["text"]
    assert text["verbosity"] == "high"
    assert text["format"]["schema"] == SCHEMA


def test_all_other_objects_are_replaced_whole() -> None:
    settings = job(body={"reasoning": {"effort": "low"}})
    assert build(settings, body={"reasoning": {"summary": "auto"}})["reasoning"] == {
        "summary": "auto"
    }


def test_null_in_a_body_is_sent_as_null() -> None:
    assert build(job(schema=SCHEMA), body={"text": None})["text"] is None


@given(st.text(), st.none() | st.text())
@pytest.mark.parametrize("url", TEXT_URLS)
def test_the_prompt_stands_in_the_body_once_so_that_it_can_be_spliced(
    url: str, prompt: str, instructions: str | None
) -> None:
    """A skeleton cut at a sentinel and filled with a prompt is the body that is built of the prompt."""
    settings = job(url, model="m", schema=SCHEMA, max_output_tokens=3, body={"temperature": 0})
    mark = "\x00prompt\x00"
    assume(mark not in (instructions or ""))
    skeleton = msgspec.json.encode(build(settings, prompt=mark, instructions=instructions))
    before, after = skeleton.split(msgspec.json.encode(mark))
    whole = msgspec.json.encode(build(settings, prompt=prompt, instructions=instructions))
    assert before + msgspec.json.encode(prompt) + after == whole


@pytest.mark.parametrize("url", ENDPOINTS)
def test_building_changes_nothing_that_it_was_given(url: str) -> None:
    settings = job(url, schema=SCHEMA, body={"text": {"verbosity": "low"}, "metadata": {"a": "1"}})
    before = msgspec.json.encode(settings)
    build(settings, body={"text": {"verbosity": "high"}})["metadata"] = "changed"
    assert msgspec.json.encode(settings) == before


@pytest.mark.parametrize(
    ("given_input", "count"),
    [("text", 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([], 1), (None, 1)],
)
def test_embedding_inputs_are_counted_as_the_service_counts_them(
    given_input: Json, count: int
) -> None:
    assert endpoint_of("/v1/embeddings").input_count({"input": given_input}) == count


@pytest.mark.parametrize("url", TEXT_URLS)
def test_other_requests_count_for_one(url: str) -> None:
    assert endpoint_of(url).input_count({"input": ["a", "b"]}) == 1


def test_an_unknown_endpoint_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"the Batch API has no endpoint '/v1/audio/speech'.*/v1/responses"
    ):
        endpoint_of("/v1/audio/speech")
