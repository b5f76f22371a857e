"""Item ids, and the fields of an item that steer its request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import JobFileError
from batchrun.jobfile import Fault, check_item, id_of
from batchrun.jobfile.items import NESTING_LIMIT
from batchrun.model import JobSettings, Json

RAW = {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"model": "m"}}


def settings(**more: Any) -> JobSettings:
    keys: dict[str, Any] = {"name": "a", "path": "j.jsonl", "line": 3}
    return JobSettings(**(keys | more))


@pytest.mark.parametrize(
    ("fields", "id_"),
    [
        ({"id": "a"}, "a"),
        ({"id": "é/日本 1"}, "é/日本 1"),
        ({"id": 17}, "17"),
        ({"id": 10**30}, "1" + "0" * 30),
        ({"id": "x" * 512}, "x" * 512),
        ({"text": "a"}, None),
    ],
)
def test_the_id_is_the_field_id_if_there_is_one(fields: dict[str, Json], id_: str | None) -> None:
    assert id_of(settings())(fields) == id_


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("", "an empty id"),
        ("x" * 513, "an id of more than 512 bytes"),
        ("é" * 257, "an id of more than 512 bytes"),
        ("a\nb", "a control character in the id: '\\n'"),
        ("é\0", "a control character in the id: '\\x00'"),
        ("\x7f", "a control character in the id: '\\x7f'"),
        (None, "'id' is null, not a string"),
        (True, "'id' is true or false, not a string"),
        (1.0, "'id' is a number, not a string"),
        ([], "'id' is a list, not a string"),
        ({}, "'id' is an object, not a string"),
    ],
)
def test_what_cannot_be_an_id_is_a_fault(value: Json, what: str) -> None:
    with pytest.raises(Fault) as caught:
        id_of(settings())({"id": value})
    assert caught.value.what == what


def test_a_template_makes_ids_and_is_checked_like_them() -> None:
    make = id_of(settings(id="{{ sku }}/{{ n }}"))
    assert make({"sku": "a", "n": 1, "id": "other"}) == "a/1"
    with pytest.raises(Fault, match="control character"):
        make({"sku": "a\n", "n": 1})
    with pytest.raises(Fault, match="no field 'n'"):
        make({"sku": "a"})


def test_a_broken_id_template_is_a_problem_of_the_job_line() -> None:
    with pytest.raises(JobFileError, match=r"j\.jsonl:3: 'id': syntax error"):
        id_of(settings(id="{{ x"))


def test_the_id_of_a_ready_batch_file_is_the_custom_id() -> None:
    make = id_of(settings(is_raw=True))
    assert make(RAW | {"id": "other"}) == "1"
    with pytest.raises(Fault, match="'custom_id' is a list"):
        make({"custom_id": []})


@given(st.text(max_size=600))
def test_an_id_is_taken_exactly_or_refused(value: str) -> None:
    is_fine = (
        0 < len(value.encode()) <= 512
        and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value)
    )  # fmt: skip
    try:
        assert id_of(settings())({"id": value}) == value
    except Fault:
        assert not is_fine
    else:
        assert is_fine


def deep(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fields", "job", "what"),
    [
        ({}, {"model": "m"}, None),
        ({"model": "x"}, {}, None),
        ({"model": "x", "body": {"temperature": 0, "stream": False}}, {}, None),
        ({"body": None}, {"model": "m"}, None),
        ({"body": {"a": deep(NESTING_LIMIT - 2), "b": {"c": [1, {}]}}}, {"model": "m"}, None),
        ({}, {}, "no model: neither the job line nor the item names one"),
        ({"model": None}, {}, "no model: neither the job line nor the item names one"),
        ({"model": ""}, {"model": "m"}, "'model' is empty, not a model's name"),
        ({"model": 5}, {"model": "m"}, "'model' is a number, not a model's name"),
        ({"body": "x"}, {"model": "m"}, "'body' is a string, not an object"),
        ({"body": {"model": "x"}}, {"model": "m"}, "'model' inside 'body'; it stands beside it, since a batch has one model"),
        ({"body": {"stream": True}}, {"model": "m"}, "'stream' in 'body': a batch has nobody to stream to. Remove it"),
        ({"body": {"a": deep(NESTING_LIMIT)}}, {"model": "m"}, "'body' is nested more than 200 levels deep"),
    ],
)  # fmt: skip
def test_an_items_own_model_and_body_are_checked(
    fields: dict[str, Json], job: dict[str, Any], what: str | None
) -> None:
    assert check_item(fields, settings(**job)) == what


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, None),
        ({"method": "GET"}, "'method' is not 'POST'"),
        ({"url": "/v1/embeddings"}, "'url' is not '/v1/responses', as in the first line; a batch has one endpoint"),
        ({"body": []}, "'body' is a list, not an object"),
        ({"body": {}}, "no model in 'body'"),
        ({"body": {"model": "m", "background": True}}, "'background' in 'body': a batch line is answered in the output file. Remove it"),
    ],
)  # fmt: skip
def test_a_line_of_a_ready_batch_file_is_a_request(
    change: dict[str, Json], what: str | None
) -> None:
    assert check_item(RAW | change, settings(is_raw=True)) == what


@pytest.mark.parametrize("key", list(RAW))
def test_a_line_of_a_ready_batch_file_has_all_its_keys(key: str) -> None:
    fields = {name: value for name, value in RAW.items() if name != key}
    assert check_item(fields, settings(is_raw=True)) == (
        f"no {key!r}; a line of a Batch file has custom_id, method, url, body"
    )
