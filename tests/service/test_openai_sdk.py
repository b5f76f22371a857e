"""The official SDK runs the whole cycle over a socket, and finds what it expects of the API."""

import json
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import openai
import pytest
from servicekit import DAY_S, HOUR_S, RESPONSES, Desk, OpenDesk, jsonl, request

from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.service.running import running

KEY = "a key for tests"


@pytest.fixture
def client(desk: Desk) -> Iterator[openai.OpenAI]:
    """A client of `desk`, whose lines are executed by the test."""
    yield from connect(desk)


def connect(desk: Desk, *, works: bool = False) -> Iterator[openai.OpenAI]:
    with (
        running(desk.service, api_key=KEY, works=works) as base_url,
        openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


def test_the_whole_cycle(desk: Desk, client: openai.OpenAI, tmp_path: Path) -> None:
    desk.script = []
    path = tmp_path / "input.jsonl"
    path.write_bytes(jsonl(request("a", "first"), request("b", "second")))
    with path.open("rb") as opened:
        file = client.files.create(file=opened, purpose="batch")
    assert file.filename == "input.jsonl"
    assert file.bytes == path.stat().st_size
    assert file.expires_at == desk.clock.now() + 30 * DAY_S

    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=RESPONSES,
        completion_window="24h",
        metadata={"job": "faq"},
    )
    assert batch.status == "validating"
    assert batch.metadata == {"job": "faq"}
    desk.work()
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed) == (2, 2)
    assert batch.usage is not None
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    assert batch.model == "gpt-5-mini"
    assert batch.output_file_id is not None

    content = client.files.content(batch.output_file_id)
    lines = [json.loads(line) for line in content.text.split("\n") if line]
    answers = {
        line["custom_id"]: openai.types.responses.Response.model_validate(
            line["response"]["body"]
        ).output_text
        for line in lines
    }
    assert answers == {"a": "first", "b": "second"}
    assert [listed.id for listed in client.batches.list(limit=1)] == [batch.id]
    assert client.files.delete(file.id).deleted


def test_a_thread_of_the_server_executes_what_is_created(open_desk: OpenDesk) -> None:
    desk = open_desk()
    for client in connect(desk, works=True):
        file = client.files.create(file=("a.jsonl", jsonl(request("a"))), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint=RESPONSES, completion_window="24h"
        )
        statuses = (client.batches.retrieve(batch.id).status for _ in range(10_000))
        assert "completed" in statuses


def test_a_large_file_goes_up_and_down_in_pieces(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes(b'{"x": "\xe2\x80\xa8"}\n' * 500_000)
    with path.open("rb") as opened:
        file = client.files.create(file=opened, purpose="batch")
    copy = tmp_path / "copy.jsonl"
    with client.files.with_streaming_response.content(file.id) as response:
        assert response.headers["content-length"] == str(path.stat().st_size)
        response.stream_to_file(copy)
    assert copy.read_bytes() == path.read_bytes()


def test_cancelling_is_shown_and_refused_once_it_is_over(desk: Desk, client: openai.OpenAI) -> None:
    batch_id = desk.create(request("a"))
    assert client.batches.cancel(batch_id).status == "cancelling"
    desk.work()
    assert client.batches.retrieve(batch_id).status == "cancelled"
    with pytest.raises(openai.ConflictError, match="cancelled"):
        client.batches.cancel(batch_id)


def test_the_sdk_pages_through_batches_and_files_by_itself(
    desk: Desk, client: openai.OpenAI
) -> None:
    made = [desk.create(request("a")) for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    files = [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")]
    assert files == [desk.batch(batch_id)["input_file_id"] for batch_id in made]


def test_an_expiry_policy_travels_in_a_form_and_in_json(desk: Desk, client: openai.OpenAI) -> None:
    policy: dict[str, object] = {"anchor": "created_at", "seconds": HOUR_S}
    file = client.files.create(
        file=("a.jsonl", jsonl(request("a"))),
        purpose="batch",
        expires_after=policy,  # type: ignore[arg-type]  # the SDK's TypedDict, spelled once for both
    )
    assert file.expires_at == desk.clock.now() + HOUR_S
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=RESPONSES,
        completion_window="24h",
        output_expires_after=policy,  # type: ignore[arg-type]  # as above
    )
    desk.work()
    output_file_id = client.batches.retrieve(batch.id).output_file_id
    assert output_file_id is not None
    assert client.files.retrieve(output_file_id).expires_at == desk.clock.now() + HOUR_S


@pytest.mark.parametrize("key", ["another key", "a key for test", "a key for tests2"])
def test_another_key_is_refused(desk: Desk, key: str) -> None:
    for client in connect(desk):
        with pytest.raises(openai.AuthenticationError) as refused:
            client.with_options(api_key=key).batches.list()
        assert refused.value.code == "invalid_api_key"


def test_a_client_with_a_wrong_key_is_told_so_even_while_it_uploads(desk: Desk) -> None:
    for client in connect(desk):
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").files.create(
                file=("a.jsonl", b"x" * 20_000_000), purpose="batch"
            )
        assert list(client.files.list()) == []


def test_a_disk_that_fails_is_a_typed_503(desk: Desk) -> None:
    for client in connect(desk):
        desk.service._store.close()
        with pytest.raises(openai.InternalServerError) as failed:
            client.batches.list()
        assert (failed.value.status_code, failed.value.type) == (503, "server_error")


def test_what_is_not_there_is_a_typed_404(client: openai.OpenAI) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.batches.retrieve("batch_of_nobody"),
        lambda: client.files.retrieve("file-of-nobody"),
        lambda: client.files.content("file-of-nobody"),
        lambda: client.models.retrieve("gpt-of-nobody"),
        lambda: client.get("/nothing", cast_to=object),
        lambda: client.delete("/batches", cast_to=object),
    ]
    for call in calls:
        with pytest.raises(openai.APIStatusError) as refused:
            call()
        assert refused.value.status_code in {404, 405}
        assert refused.value.type == "invalid_request_error"


def test_refusals_name_their_parameter(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/batches", cast_to=object, body={"endpoint": RESPONSES})
    assert refused.value.code == "missing_required_parameter"
    assert refused.value.param == "input_file_id"
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        client.files.create(file=("a.txt", b"{}\n"), purpose="batch")
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/files", cast_to=object, body={"purpose": "batch"})
    assert refused.value.param == "file"
    with pytest.raises(openai.BadRequestError) as refused:
        client.get("/batches?limit=many", cast_to=object)
    assert refused.value.param == "limit"
    with pytest.raises(openai.BadRequestError, match="JSON"):
        client.post("/batches", cast_to=object, content=b"{")


def test_an_upload_beyond_the_limit_is_refused_before_it_is_read(open_desk: OpenDesk) -> None:
    desk = open_desk(options=Options(upload_bytes=1_000))
    for client in connect(desk):
        with pytest.raises(openai.APIStatusError) as refused:
            client.files.create(file=("a.jsonl", b"x" * 1_001), purpose="batch")
        assert refused.value.status_code == 413
        with pytest.raises(openai.APIStatusError) as refused:
            client.files.create(file=("a.jsonl", b"x" * 1_100_000), purpose="batch")
        assert refused.value.status_code == 413
        assert list(client.files.list()) == []


def test_every_answer_tells_the_services_time_and_a_request_id(
    desk: Desk, client: openai.OpenAI
) -> None:
    desk.clock.advance(DAY_S)
    raw = client.batches.with_raw_response.list()
    assert parsedate_to_datetime(raw.headers["date"]).timestamp() == desk.clock.now()
    assert (raw.request_id or "").startswith("req_")


def test_the_synchronous_endpoints_answer_like_a_line_of_a_batch(client: openai.OpenAI) -> None:
    response = client.responses.create(model="gpt-5-mini", input="hello", instructions="Be brief.")
    assert response.output_text == "hello"
    assert response.usage is not None
    assert response.usage.output_tokens == 2
    chat = client.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "hello"}]
    )
    assert chat.choices[0].message.content == "hello"
    # The SDK asks for base64 unless told otherwise, and unpacks it.
    embedding = client.embeddings.create(model="e", input=["one", "two"], dimensions=8)
    plain = client.embeddings.create(
        model="e", input=["one", "two"], dimensions=8, encoding_format="float"
    )
    for packed, spelled in zip(embedding.data, plain.data, strict=True):
        assert packed.embedding == pytest.approx(spelled.embedding, abs=1e-6)
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").owned_by == "batchrun"


def test_synchronous_errors_have_their_status(open_desk: OpenDesk) -> None:
    desk = open_desk(
        script=[Rule(prompt="crowd", status=429, code="rate_limit_exceeded")],
        options=Options(models=frozenset({"gpt-5-mini"})),
    )
    for client in connect(desk):
        with pytest.raises(openai.RateLimitError) as limited:
            client.responses.create(model="gpt-5-mini", input="a crowd")
        assert limited.value.code == "rate_limit_exceeded"
        with pytest.raises(openai.NotFoundError) as unknown:
            client.responses.create(model="gpt-9", input="hello")
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model="gpt-5-mini", input="a crowd", stream=True)
        with pytest.raises(openai.BadRequestError) as unsupported:
            client.post(
                "/embeddings",
                cast_to=object,
                body={"model": "gpt-5-mini", "input": "a", "stream": True},
            )
        assert unsupported.value.param == "stream"
        with pytest.raises(openai.BadRequestError) as missing:
            client.post("/chat/completions", cast_to=object, body={"model": "gpt-5-mini"})
        assert missing.value.param == "messages"
        assert [model.id for model in client.models.list()] == ["gpt-5-mini"]
