"""Requests that refer to uploaded files: they are there, or the line fails as it would at OpenAI."""

import io

import pytest
from servicekit import Desk, OpenDesk, request

from batchrun.model import JsonObject
from batchrun.service.llama.supported import check_supported
from batchrun.service.references import file_ids
from batchrun.service.refusals import ServiceError

RESPONSES, CHAT, EDITS = "/v1/responses", "/v1/chat/completions", "/v1/images/edits"


def body_with(file_id: str) -> JsonObject:
    parts = [{"type": "input_text", "text": "hi"}, {"type": "input_file", "file_id": file_id}]
    return {"model": "gpt-5-mini", "input": [{"role": "user", "content": parts}]}


def uploaded(desk: Desk) -> str:
    made = desk.service.create_file(io.BytesIO(b"%PDF"), filename="a.pdf", purpose="user_data")
    return str(made["id"])


def test_a_file_of_any_purpose_and_name_is_kept_and_can_be_read(open_desk: OpenDesk) -> None:
    desk = open_desk()
    file_id = uploaded(desk)
    assert desk.service.get_file(file_id)["expires_at"] is None
    assert desk.service.respond(RESPONSES, body_with(file_id)).status_code == 200


def test_a_line_that_refers_to_a_file_that_is_gone_fails_alone(open_desk: OpenDesk) -> None:
    desk = open_desk()
    file_id = uploaded(desk)
    batch = desk.create(request("a", body=body_with(file_id)), request("b"))
    desk.service.delete_file(file_id)
    desk.work()
    assert desk.batch(batch)["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    reply = desk.service.respond(RESPONSES, body_with(file_id))
    assert reply.status_code == 404
    assert reply.body["error"]["message"] == f"No such File object: {file_id}"


@pytest.mark.parametrize(
    ("url", "body", "found"),
    [
        (RESPONSES, body_with("file-1"), ["file-1"]),
        (
            CHAT,
            {"messages": [{"content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            ["file-1"],
        ),
        (EDITS, {"images": [{"file_id": "a"}, {"image_url": "x"}], "mask": {"file_id": "b"}}, ["a", "b"]),
        (RESPONSES, {"input": "file-1"}, []),
        (RESPONSES, {"input": [None, {"content": "x"}, {"content": [7, {"file_id": 7}]}]}, []),
        (CHAT, {"messages": {"content": 1}}, []),
        (EDITS, {"images": "x", "mask": 7}, []),
        ("/v1/embeddings", {"input": [{"file_id": "x"}]}, []),
    ],
)  # fmt: skip
def test_file_ids_are_found_where_models_read_files(
    url: str, body: JsonObject, found: list[str]
) -> None:
    assert list(file_ids(url, body)) == found


@pytest.mark.parametrize(
    ("url", "key", "part"),
    [
        (RESPONSES, "input", {"type": "input_image", "image_url": "data:image/png;base64,AA=="}),
        (RESPONSES, "input", {"type": "input_file", "file_id": "file-1"}),
        (CHAT, "messages", {"type": "image_url", "image_url": {"url": "https://x"}}),
        (CHAT, "messages", {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}),
        (CHAT, "messages", {"type": "file", "file": {"file_id": "file-1"}}),
    ],
)
def test_the_local_model_refuses_what_it_cannot_read(url: str, key: str, part: JsonObject) -> None:
    with pytest.raises(ServiceError, match="reads text only") as caught:
        check_supported(url, {key: [{"role": "user", "content": [part]}]})
    assert (caught.value.status, caught.value.code) == (400, "unsupported_value")
    check_supported(url, {key: [{"role": "user", "content": [{"type": "text", "text": "x"}]}]})
