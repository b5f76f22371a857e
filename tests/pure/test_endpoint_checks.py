"""Checks of request bodies and job lines, before anything is sent."""

import pytest

from batchrun.endpoints import ENDPOINTS, endpoint_of
from batchrun.endpoints.parameters import Parameter, kind_of
from batchrun.endpoints.tables import parameters_of
from batchrun.model import JobSettings, Json, JsonObject

RESPONSES, CHAT, EMBEDDINGS = "/v1/responses", "/v1/chat/completions", "/v1/embeddings"
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def problems(url: str, body: JsonObject) -> tuple[str, ...]:
    found, warnings = endpoint_of(url).check_body(body)
    assert not warnings
    return found


def warnings(url: str, body: JsonObject) -> tuple[str, ...]:
    found_problems, found = endpoint_of(url).check_body(body)
    assert not found_problems
    return found


def job(url: str, **keys: Json) -> JobSettings:
    return JobSettings(name="j", path="/jobs/j.jsonl", line=1, endpoint=url, **keys)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (RESPONSES, {"model": "m", "input": "x", "temperature": 0, "reasoning": {"effort": "low"}}),
        (RESPONSES, {"input": [{"role": "user", "content": "x"}], "text": {"verbosity": "low"}}),
        (RESPONSES, {"stream": False, "background": None, "metadata": {"any": "thing"}}),
        (RESPONSES, {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "x"}}),
        (CHAT, {"model": "m", "messages": [], "n": 1, "stop": ["a"], "logit_bias": {"1": 2}}),
        (EMBEDDINGS, {"model": "m", "input": [[1]], "encoding_format": "base64"}),
    ],
)
def test_a_sound_body_has_neither_problems_nor_warnings(url: str, body: JsonObject) -> None:
    assert endpoint_of(url).check_body(body) == ((), ())


@pytest.mark.parametrize(
    ("url", "name", "right"),
    [
        (RESPONSES, "temprature", "temperature"),
        (RESPONSES, "max_tokens", "max_output_tokens"),
        (RESPONSES, "messages", "input"),
        (RESPONSES, "response_format", "text"),
        (CHAT, "max_output_tokens", "max_completion_tokens"),
        (CHAT, "instructions", "messages"),
        (EMBEDDINGS, "Dimension", "dimensions"),
    ],
)
def test_an_unknown_parameter_is_a_problem_that_names_the_right_one(
    url: str, name: str, right: str
) -> None:
    (said,) = problems(url, {name: 1})
    assert said.startswith(f"unknown parameter {name!r} of {url}. Did you mean {right!r}? ")


def test_a_parameter_like_no_other_is_a_problem_without_a_guess() -> None:
    assert problems(RESPONSES, {"zzzz": 1}) == (
        "unknown parameter 'zzzz' of /v1/responses. \"body_unchecked\": true sends it as it is.",
    )


@pytest.mark.parametrize("url", ENDPOINTS)
def test_every_synonym_leads_from_an_unknown_name_to_a_known_one(url: str) -> None:
    for wrong, right in endpoint_of(url).synonyms.items():
        assert wrong not in parameters_of(url)
        assert right in parameters_of(url)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"temperature": "0.5"}, "'temperature' must be number or null, not string."),
        ({"max_output_tokens": 1.5}, "'max_output_tokens' must be integer or null, not number."),
        ({"max_output_tokens": True}, "'max_output_tokens' must be integer or null, not boolean."),
        ({"tools": {}}, "'tools' must be array, not object."),
        ({"user": None}, "'user' must be string, not null."),
    ],
)
def test_a_wrong_kind_is_a_problem(body: JsonObject, said: str) -> None:
    assert problems(RESPONSES, body) == (said,)


def test_all_problems_are_reported_at_once() -> None:
    assert len(problems(RESPONSES, {"a": 1, "temperature": "x", "stream": True})) == 3


@pytest.mark.parametrize("name", ["stream", "background"])
def test_what_cannot_work_in_a_batch_is_a_problem_that_says_why(name: str) -> None:
    (said,) = problems(RESPONSES, {name: True})
    assert f"'{name}' cannot be true" in said
    assert problems(RESPONSES, {name: False}) == ()


@pytest.mark.parametrize(
    ("url", "body", "said"),
    [
        (CHAT, {"reasoning_effort": "lots"}, "'reasoning_effort' is 'lots'; known values are"),
        (RESPONSES, {"reasoning": {"effort": "lots"}}, "'reasoning.effort' is 'lots'; known"),
        (
            RESPONSES,
            {"reasoning": {"efort": "low"}},
            "'efort' in 'reasoning'. Did you mean 'effort'?",
        ),
        (RESPONSES, {"reasoning": {"zzz": "low"}}, "unknown key 'zzz' in 'reasoning'."),
        (CHAT, {"n": 2}, "The first one is the output, all are in 'choices'"),
        (
            RESPONSES,
            {"tools": [{"type": "mcp"}, {"type": "web_search"}, {"type": "function", "name": "f"}]},
            "tools that the service runs ('mcp', 'web_search') are not documented for batches",
        ),
        (RESPONSES, {"tools": [{"type": "computer"}]}, "tools that need you to act ('computer')"),
        (RESPONSES, {"previous_response_id": "resp_1"}, "'previous_response_id': not documented"),
        (RESPONSES, {"service_tier": "flex"}, "a batch has a tier and a price of its own"),
        (CHAT, {"service_tier": "priority"}, "a batch has a tier and a price of its own"),
        (CHAT, {"web_search_options": {}}, "'web_search_options': not documented for batches"),
    ],
)
def test_what_may_be_newer_than_the_table_or_is_merely_odd_is_a_warning(
    url: str, body: JsonObject, said: str
) -> None:
    (found,) = warnings(url, body)
    assert said in found


def test_a_complete_body_must_have_what_the_endpoint_needs() -> None:
    found, _ = endpoint_of(CHAT).check_body({"model": None}, is_complete=True)
    assert found == (
        "'model' must be string, not null.",
        "'model' is missing: /v1/chat/completions needs it.",
        "'messages' is missing: /v1/chat/completions needs it.",
    )
    assert endpoint_of(EMBEDDINGS).check_body({"model": "m", "input": "x"}, is_complete=True) == (
        (),
        (),
    )


@pytest.mark.parametrize("url", ENDPOINTS)
def test_what_build_makes_passes_the_check(url: str) -> None:
    endpoint = endpoint_of(url)
    settings = job(url, model="m", schema=SCHEMA, max_output_tokens=8)
    images = {"images": [{"file_id": "file-1"}]} if url == "/v1/images/edits" else {}
    body = endpoint.build(settings, model=None, prompt="x", instructions="y", body=images)
    assert endpoint.check_body(body, is_complete=True)[0] == ()


@pytest.mark.parametrize("url", sorted(set(ENDPOINTS) - {RESPONSES, CHAT}))
def test_an_endpoint_refuses_job_keys_that_mean_nothing_to_it_and_says_what_to_do(url: str) -> None:
    settings = job(url, labels=("a",), schema=SCHEMA, instructions="x")
    found = endpoint_of(url).check_job(settings)
    assert len(found) == 3
    for key, said in zip(("instructions", "labels", "schema"), found, strict=True):
        assert said.startswith(f"{key!r} means nothing to {url}. ")
        assert said.endswith(".")


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (RESPONSES, {"text": {"format": {"type": "text"}}}),
        (RESPONSES, {"text": None}),
        (CHAT, {"response_format": {"type": "json_object"}}),
    ],
)
def test_a_body_that_would_undo_the_jobs_schema_is_a_problem(url: str, body: JsonObject) -> None:
    key = next(iter(body))
    (said,) = endpoint_of(url).check_job(job(url, schema=SCHEMA, body=body))
    assert said == f"'body.{key}' would undo the job's 'schema'. Give one of the two."
    (said,) = endpoint_of(url).conflicts(job(url, labels=("a",)), body)
    assert "'labels'" in said
    assert endpoint_of(url).check_job(job(url, body=body)) == ()


@pytest.mark.parametrize("url", ENDPOINTS)
def test_a_body_beside_the_schema_is_fine(url: str) -> None:
    settings = job(url, body={"text": {"verbosity": "low"}, "user": "x"})
    assert endpoint_of(url).check_job(settings) == ()
    assert endpoint_of(RESPONSES).conflicts(job(RESPONSES, schema=SCHEMA), settings.body) == ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"), (True, "boolean"), (1, "integer"), (1.0, "number"),
        ("", "string"), ([], "array"), ({}, "object"),
    ],
)  # fmt: skip
def test_every_json_value_has_a_kind(value: Json, kind: str) -> None:
    assert kind_of(value) == kind


def test_the_table_is_data_of_known_kinds() -> None:
    def walk(table: dict[str, Parameter]) -> None:
        for parameter in table.values():
            assert set(parameter.kinds) <= {
                "null", "boolean", "integer", "number", "string", "array", "object",
            }  # fmt: skip
            assert parameter.kinds
            walk(dict(parameter.fields or {}))

    for url in ENDPOINTS:
        assert parameters_of(url)
        walk(dict(parameters_of(url)))
