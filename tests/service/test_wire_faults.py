"""Every fault of the wire, as the official SDK meets it and as the socket carries it; and whether the call took effect."""

import json

import httpx2
import openai
import pytest
from faultkit import ask, connected, fault, truth
from servicekit import RESPONSES, OpenDesk, jsonl, request

from batchrun.service.faults.fault import Fault

LINES = jsonl(request("a"), request("b"), request("c"))


def create(client: openai.OpenAI) -> object:
    """A batch of three lines; the fault under test is at the create."""
    file = client.files.create(file=("a.jsonl", LINES), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=RESPONSES, completion_window="24h", metadata={"job": "a"}
    )


ERRORS = openai.APIConnectionError, openai.APIStatusError, httpx2.HTTPError


@pytest.mark.parametrize(
    ("bad", "seen", "batches"),
    [
        (fault("POST /batches", "drop"), openai.APIConnectionError, 1),
        (fault("POST /batches", "drop", moment="before"), openai.APIConnectionError, 0),
        (fault("POST /batches", "drop", moment="during", bytes=5), openai.APIConnectionError, 0),
        (fault("POST /batches", "noise"), openai.APIConnectionError, 0),
        (fault("POST /batches", "noise", moment="after"), openai.APIConnectionError, 1),
        (fault("POST /batches", "status", status=500), openai.InternalServerError, 0),
        (fault("POST /batches", "status", status=409), openai.ConflictError, 0),
        (fault("POST /batches", "status", status=429), openai.RateLimitError, 0),
        (
            fault("POST /batches", "status", status=429, moment="after"),
            openai.RateLimitError,
            1,
        ),
        (fault("POST /batches", "html", status=502), openai.InternalServerError, 0),
        (
            fault("POST /batches", "html", status=504, moment="after"),
            openai.InternalServerError,
            1,
        ),
        (fault("POST /batches", "cut"), openai.APIConnectionError, 1),
        (fault("POST /batches", "chunked"), openai.APIConnectionError, 1),
        (fault("POST /batches", "length", bytes=100_000), openai.APIConnectionError, 1),
        (fault("POST /batches", "stranger"), openai.BadRequestError, 0),
    ],
    ids=lambda value: (
        "-".join(filter(None, (value.what, value.moment))) if isinstance(value, Fault) else None
    ),
)
@pytest.mark.fault(4, 5, 7, 8, 11, 13)
def test_a_create_that_fails_has_made_a_batch_or_not(
    open_desk: OpenDesk, bad: Fault, seen: type[Exception], batches: int
) -> None:
    desk = open_desk(faults=[bad])
    with connected(desk) as client:
        with pytest.raises(seen):
            create(client)
        told = truth(client)
    assert len(told["batches"]) == batches
    assert [entry["fired"] for entry in told["faults"]] == [1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524])  # fmt: skip
def test_any_status_can_be_answered_and_is_worded_as_the_api_does(
    open_desk: OpenDesk, status: int
) -> None:
    bad = fault("GET /batches", "status", status=status, code="some_code", message="No.")
    desk = open_desk(faults=[bad])
    with connected(desk) as client, pytest.raises(openai.APIStatusError) as caught:
        client.batches.list()
    assert (caught.value.status_code, caught.value.code) == (status, "some_code")
    assert caught.value.response.json()["error"]["message"] == "No."
    assert caught.value.response.headers["x-request-id"].startswith("req_")


def test_retry_after_comes_in_seconds_as_a_date_or_not_at_all(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("any call", "status", status=429, retry_after_s=30, calls=1),
            fault("any call", "status", status=429, retry_after_s=30, as_date=True, calls=2),
            fault("any call", "status", status=429, calls=3),
        ]
    )
    with connected(desk) as client:
        said = [ask(client, "GET", "/v1/batches").headers for _ in range(3)]
    assert said[0]["retry-after"] == "30"
    assert said[1]["date"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    assert said[1]["retry-after"] == "Mon, 21 Sep 2026 14:13:50 GMT"
    assert "retry-after" not in said[2]


@pytest.mark.fault(20)
def test_a_redirect_points_to_another_host_and_the_call_has_no_effect(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("POST /batches", "redirect", to="http://127.0.0.1:9/v1")])
    with connected(desk) as client:
        said = ask(client, "POST", "/v1/batches", {"input_file_id": "file-1"})
        assert truth(client)["batches"] == []
    assert (said.status, said.headers["location"]) == (307, "http://127.0.0.1:9/v1")


@pytest.mark.fault(19)
def test_html_and_nothing_at_all_come_with_a_good_status(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[fault("GET /batches", "html", calls=1), fault("GET /batches", "empty", calls=2)]
    )
    with connected(desk) as client:
        page, nothing = (ask(client, "GET", "/v1/batches") for _ in range(2))
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body.startswith(b"<html>")
    assert (nothing.status, nothing.body) == (200, b"")


def test_the_sdk_takes_html_and_an_empty_body_for_an_answer(open_desk: OpenDesk) -> None:
    """Why a client must look at what it got."""
    desk = open_desk(faults=[fault("POST /batches", "html"), fault("GET /batches/{id}", "empty")])
    with connected(desk) as client:
        assert not isinstance(create(client), openai.types.Batch)


@pytest.mark.fault(13)
def test_an_upload_is_reset_on_its_way(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("POST /files", "drop", moment="during", bytes=1_000_000)])
    content = b"x" * 5_000_000
    with connected(desk) as client:
        with pytest.raises(openai.APIConnectionError):
            client.files.create(file=("a.jsonl", content), purpose="batch")
        assert client.files.list().data == []


def download(desk_faults: list[Fault], open_desk: OpenDesk) -> tuple[object, bytes, dict[str, str]]:
    """(error or None, bytes, headers) of the SDK's download of an output file under these faults."""
    desk = open_desk(faults=desk_faults)
    batch_id = desk.create(request("a", "x" * 2_000))
    desk.work()
    file_id = desk.batch(batch_id)["output_file_id"]
    with connected(desk) as client:
        got = bytearray()
        try:
            with client.files.with_streaming_response.content(file_id) as answer:
                headers = dict(answer.headers)
                for chunk in answer.iter_bytes():
                    got += chunk
        except ERRORS as error:
            return error, bytes(got), headers
    return None, bytes(got), headers


def whole(open_desk: OpenDesk) -> bytes:
    error, content, _ = download([], open_desk)
    assert error is None
    return content


@pytest.mark.fault(14)
def test_a_download_is_reset_or_cut_on_its_way(open_desk: OpenDesk) -> None:
    at = "GET /files/{id}/content"
    error, got, headers = download([fault(at, "cut", bytes=100)], open_desk)
    assert isinstance(error, httpx2.RemoteProtocolError)
    assert len(got) == 100
    assert int(headers["content-length"]) > 2_000
    desk = open_desk(faults=[fault("GET /batches", "drop", moment="during", bytes=10)])
    with connected(desk) as client:
        assert ask(client, "GET", "/v1/batches").was_reset


@pytest.mark.fault(15)
def test_a_truncated_body_agrees_with_its_length(open_desk: OpenDesk) -> None:
    content = whole(open_desk)
    error, got, headers = download([fault("GET /files/{id}/content", "truncate")], open_desk)
    assert error is None
    assert len(got) == len(content) // 2 == int(headers["content-length"])


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    ("details", "is_error", "size"),
    [
        ({"what": "length", "bytes": 50}, False, 50),
        ({"what": "length", "bytes": 1_000_000}, True, None),
        ({"what": "unsized", "bytes": 70}, False, 70),
        ({"what": "chunked", "bytes": 70}, True, 70),
    ],
)
def test_a_wrong_missing_or_broken_length(
    open_desk: OpenDesk, details: dict[str, object], is_error: bool, size: int | None
) -> None:
    what, rest = str(details.pop("what")), details
    error, got, headers = download([fault("GET /files/{id}/content", what, **rest)], open_desk)
    assert isinstance(error, httpx2.RemoteProtocolError) is is_error
    assert size is None or len(got) == size
    assert ("content-length" in headers) is (what == "length")


@pytest.mark.fault(17)
def test_a_slow_body_takes_the_time_of_the_services_clock(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("GET /batches", "slow", seconds=10)])
    began = desk.clock.now()
    with connected(desk) as client:
        said = ask(client, "GET", "/v1/batches")
    assert said.json["data"] == []
    assert desk.clock.now() - began == 10 * len(said.body)


def test_a_delay_before_and_after_the_effect_is_seen_in_the_batch(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("POST /batches", "delay", seconds=60, calls=1),
            fault("POST /batches", "delay", seconds=60, calls=2, moment="after"),
        ]
    )
    began = desk.clock.now()
    with connected(desk) as client:
        create(client)
        create(client)
        made = [batch["created_at"] - began for batch in truth(client)["batches"]]
    assert made == [60, 60]
    assert desk.clock.now() == began + 120


@pytest.mark.fault(4, 11)
def test_a_late_create_whose_answer_is_lost_altogether_is_two_faults(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("POST /batches", "late", seconds=600, calls=1),
            fault("POST /batches", "drop", calls=1),
        ]
    )
    with connected(desk) as client:
        with pytest.raises(openai.APIConnectionError):
            create(client)
        assert client.batches.list().data == []
        desk.clock.advance(600)
        (landed,) = client.batches.list().data
    assert landed.metadata == {"job": "a"}


@pytest.mark.fault(18)
def test_a_wrong_encoding_and_a_bomb(open_desk: OpenDesk) -> None:
    at = "GET /files/{id}/content"
    error, got, headers = download([fault(at, "gzip")], open_desk)
    assert isinstance(error, httpx2.DecodingError)
    assert (got, headers["content-encoding"]) == (b"", "gzip")
    error, got, headers = download([fault(at, "bomb", bytes=50_000_000)], open_desk)
    assert error is None
    assert len(got) == 50_000_000
    assert int(headers["content-length"]) < 100_000


@pytest.mark.fault(1, 3)
def test_the_key_of_another_project_sees_an_empty_world(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("any call", "stranger", key="sk-other")])
    batch_id = desk.create(request("a"))
    desk.work()
    batch = desk.batch(batch_id)
    with (
        connected(desk) as ours,
        openai.OpenAI(base_url=ours.base_url, api_key="sk-other", max_retries=0) as client,
    ):
        assert client.batches.list().data == []
        assert client.files.list().data == []
        with pytest.raises(openai.NotFoundError, match=f"No such Batch object: {batch_id}"):
            client.batches.retrieve(batch_id)
        with pytest.raises(openai.NotFoundError):
            client.batches.cancel(batch_id)
        for call in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(openai.NotFoundError, match="No such File object"):
                call(batch["output_file_id"])
        with pytest.raises(openai.BadRequestError, match=batch["input_file_id"]):
            client.batches.create(
                input_file_id=batch["input_file_id"],
                endpoint=RESPONSES,
                completion_window="24h",
            )
        client.files.create(file=("a.jsonl", LINES), purpose="batch")
        assert [b.id for b in ours.batches.list().data] == [batch_id]
        assert ask(ours, "GET", "/v1/batches", key="sk-third").status == 401


def test_conditions_choose_the_call(open_desk: OpenDesk) -> None:
    """By the metadata of the batch, also of one that is being made, and by the name of the file."""
    desk = open_desk(
        faults=[
            fault("POST /batches", "status", status=503, metadata={"job": "b"}),
            fault("GET /batches/{id}", "status", status=500, metadata={"job": "a"}),
            fault("GET /files/{id}/content", "status", status=502, filename="_output"),
        ]
    )
    with connected(desk) as client:
        file = client.files.create(file=("a.jsonl", LINES), purpose="batch")
        wanted = {"input_file_id": file.id, "endpoint": RESPONSES, "completion_window": "24h"}
        for metadata, status in (({"job": "a", "n": "1"}, 200), ({"job": "b"}, 503), (None, 200)):
            asked = {**wanted, "metadata": metadata}
            assert ask(client, "POST", "/v1/batches", asked).status == status
        desk.work()
        one, other = truth(client)["batches"]
        assert ask(client, "GET", f"/v1/batches/{one['id']}").status == 500
        assert ask(client, "GET", f"/v1/batches/{other['id']}").status == 200
        assert ask(client, "GET", "/v1/batches/batch_none").status == 404
        assert ask(client, "GET", f"/v1/files/{one['output_file_id']}/content").status == 502
        assert ask(client, "GET", f"/v1/files/{file.id}/content").status == 200
        assert ask(client, "POST", "/v1/batches", {"metadata": 3}).status == 400


def test_what_is_no_place_of_a_script_always_passes(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("any call", "drop")])
    with connected(desk) as client:
        assert [model.id for model in client.models.list()] == ["scripted"]
        answer = client.responses.create(model="m", input="hello")
        assert answer.output_text == "hello"
        assert truth(client)["charges"] == {}


def test_the_truth_needs_the_key_and_shows_what_was_billed(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[fault("GET /batches/{id}", "show", set={"usage": None, "status": "x"})]
    )
    batch_id = desk.create(request("a"), request("b"))
    desk.work()
    with connected(desk) as client:
        assert ask(client, "GET", "/truth", key="wrong").status == 401
        assert client.batches.retrieve(batch_id).usage is None
        told = truth(client)
    (batch,) = told["batches"]
    assert (batch["id"], batch["status"]) == (batch_id, "completed")
    assert batch["usage"]["total_tokens"] > 0
    assert told["charges"] == {"a": 1, "b": 1}
    assert json.loads(json.dumps(desk.service.truth())) == told
