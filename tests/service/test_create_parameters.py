"""What `POST /batches` and `POST /files` refuse, with the code and the parameter."""

import io
from typing import Any

import pytest
from servicekit import DAY_S, RESPONSES, Desk, jsonl, request

from batchrun.model import JsonObject
from batchrun.service.refusals import ServiceError

POLICY = {"anchor": "created_at", "seconds": DAY_S}


def params(desk: Desk, **changes: Any) -> JsonObject:
    good = {
        "input_file_id": desk.upload(jsonl(request("a"))),
        "endpoint": RESPONSES,
        "completion_window": "24h",
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"input_file_id": ...}, "missing_required_parameter", "input_file_id"),
        ({"input_file_id": ""}, "missing_required_parameter", "input_file_id"),
        ({"input_file_id": 7}, "invalid_type", "input_file_id"),
        ({"input_file_id": "file-of-nobody"}, None, "input_file_id"),
        ({"endpoint": ...}, "missing_required_parameter", "endpoint"),
        ({"endpoint": "/v1/nothing"}, "invalid_value", "endpoint"),
        ({"completion_window": None}, "missing_required_parameter", "completion_window"),
        ({"completion_window": "7d"}, "invalid_value", "completion_window"),
        ({"metadata": ["x"]}, "invalid_type", "metadata"),
        ({"metadata": {"n": 1}}, "invalid_type", "metadata.n"),
        (
            {"metadata": {str(number): "" for number in range(17)}},
            "object_above_max_properties",
            "metadata",
        ),
        ({"metadata": {"k" * 65: ""}}, "property_name_above_max_length", "metadata"),
        ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
        ({"output_expires_after": "1d"}, "invalid_type", "output_expires_after"),
        (
            {"output_expires_after": {"seconds": DAY_S}},
            "missing_required_parameter",
            "output_expires_after.anchor",
        ),
        (
            {"output_expires_after": {**POLICY, "anchor": "last_active_at"}},
            "invalid_value",
            "output_expires_after.anchor",
        ),
        (
            {"output_expires_after": {"anchor": "created_at"}},
            "missing_required_parameter",
            "output_expires_after.seconds",
        ),
        (
            {"output_expires_after": {**POLICY, "seconds": "1"}},
            "invalid_type",
            "output_expires_after.seconds",
        ),
        (
            {"output_expires_after": {**POLICY, "seconds": 3_599}},
            "integer_below_min_value",
            "output_expires_after.seconds",
        ),
        (
            {"output_expires_after": {**POLICY, "seconds": 2_592_001}},
            "integer_above_max_value",
            "output_expires_after.seconds",
        ),
    ],
)
def test_a_create_that_is_refused_makes_no_batch(
    desk: Desk, changes: JsonObject, code: str | None, param: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        desk.service.create_batch(params(desk, **changes))
    error = refused.value
    assert (error.status, error.code, error.param) == (400, code, param)
    assert error.type == "invalid_request_error"
    assert error.body["error"]["message"] == str(error)
    assert desk.service.list_batches()["data"] == []


def test_metadata_at_its_limits_is_kept(desk: Desk) -> None:
    metadata = {f"{number:0>64}": "é" * 512 for number in range(16)}
    batch = desk.service.create_batch(params(desk, metadata=metadata))
    assert batch["metadata"] == metadata


def test_a_file_of_another_purpose_is_no_input(desk: Desk) -> None:
    file_id = desk.upload(jsonl(request("a")), purpose="user_data")
    with pytest.raises(ServiceError, match="purpose 'user_data'"):
        desk.service.create_batch(params(desk, input_file_id=file_id))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"filename": "input.txt"}, None),
        ({"purpose": "hoarding"}, "purpose"),
        ({"purpose": ""}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
    ],
)
def test_an_upload_that_is_refused_keeps_nothing(
    desk: Desk, changes: JsonObject, param: str | None
) -> None:
    with pytest.raises(ServiceError) as refused:
        desk.upload(b"{}\n", **changes)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert desk.service.list_files()["data"] == []
    assert list(desk.data.rglob("file-*")) == []


def test_only_batch_files_need_the_name_of_a_jsonl_file(desk: Desk) -> None:
    file = desk.service.create_file(io.BytesIO(b"x"), filename="x.txt", purpose="user_data")
    assert (file["expires_at"], file["purpose"]) == (None, "user_data")
