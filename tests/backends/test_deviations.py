"""How servers differ from OpenAI, server by server: what each was seen to send, over a socket where the wire matters, and what is made of it.

All of it is handled in two places, whatever the profile says: `backends/reading.py` for files and batches, `endpoints/reading.py` for the lines
of result files. docs/servers.md tells which server does what; tests/runner/test_dialects.py runs a whole job in some of these tongues.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

import misbehaving
import pytest
from misbehaving import Server, answer, refusal

from batchrun.backends.base import RemoteBatch
from batchrun.backends.openai import OpenAIBackend
from batchrun.endpoints.answer import Reading
from batchrun.endpoints.reading import make_reader
from batchrun.errors import NotFound, Transient
from batchrun.model import JobSettings, Json, JsonObject

LONG_ID: Final = "batch_" + "bGl0ZWxsbTtpZDtt" * 40 + "=="
UUID: Final = "01234567-8901-2345-6789-012345678901"
AT: Final = 1_705_329_000  # 2024-01-15T14:30:00Z


class Shown(NamedTuple):
    """What a server shows of a batch, changed from OpenAI's, and what is read of it."""

    server: str
    deviation: str
    changes: JsonObject
    read: dict[str, object]


BATCHES: Final = (
    Shown("Together", "upper-case", {"status": "IN_PROGRESS"}, {"status": "in_progress"}),
    Shown("Together", "upper-case end", {"status": "COMPLETED"}, {"status": "completed"}),
    Shown("Together", "no prefix", {"id": UUID}, {"id": UUID}),
    Shown("Together", "ISO 8601", {"created_at": "2024-01-15T14:30:00Z"}, {"created_at": AT}),
    Shown("Together", "end in ISO 8601", {"completed_at": "2024-01-15T14:30:00Z"}, {"ended_at": AT}),
    Shown("Together", "a text as error", {"error": "no such model"},
          {"errors": ({"code": None, "message": "no such model", "line": None, "param": None},)}),
    Shown("Together", "no counts", {"request_counts": None, "progress": 75}, {"total_count": 0}),
    Shown("Together", "no metadata", {"metadata": None}, {"metadata": {}}),
    Shown("Novita", "a text as errors", {"errors": "bad file"},
          {"errors": ({"code": None, "message": "bad file", "line": None, "param": None},)}),
    Shown("Novita", "times as text", {"created_at": str(AT), "expires_at": str(AT + 5)},
          {"created_at": AT, "expires_at": AT + 5}),
    Shown("Novita", "window of 48 h", {"completion_window": "48h"}, {"window": "48h"}),
    Shown("Groq", "window of 7 days", {"completion_window": "7d"}, {"window": "7d"}),
    Shown("Azure", "null counts", {"request_counts": None}, {"completed_count": 0}),
    Shown("Azure", "nulls in counts", {"request_counts": {"total": None, "failed": None}},
          {"total_count": 0, "failed_count": 0}),
    Shown("Azure", "null endpoint", {"endpoint": None}, {"endpoint": None}),
    Shown("Azure", "endpoint without /v1", {"endpoint": "/chat/completions"},
          {"endpoint": "/v1/chat/completions"}),
    Shown("Azure", "no expiry", {"expires_at": None}, {"expires_at": None}),
    Shown("Azure", "failed, with files",
          {"status": "failed", "output_file_id": "file-a", "error_file_id": "file-b"},
          {"status": "failed", "output_file_id": "file-a", "error_file_id": "file-b"}),
    Shown("OpenAI", "empty file id", {"output_file_id": "", "error_file_id": ""},
          {"output_file_id": None, "error_file_id": None}),
    Shown("LiteLLM", "long ids in base64", {"id": LONG_ID, "output_file_id": LONG_ID},
          {"id": LONG_ID, "output_file_id": LONG_ID}),
    Shown("DashScope", "file ids with another prefix", {"input_file_id": "file-batch-1"},
          {"input_file_id": "file-batch-1"}),
    Shown("AIBrix", "files named before the end",
          {"status": "in_progress", "output_file_id": "file-a"}, {"status": "in_progress"}),
    Shown("Doubleword", "window of 1 h", {"completion_window": "1h"}, {"window": "1h"}),
)  # fmt: skip


@pytest.mark.parametrize("shown", BATCHES, ids=lambda shown: f"{shown.server}-{shown.deviation}")
@pytest.mark.parametrize("call", ["retrieve", "list"])
def test_a_batch_is_read_however_it_is_shown(
    backend: OpenAIBackend, server: Server, shown: Shown, call: str
) -> None:
    sent = misbehaving.batch(**shown.changes)
    batch: RemoteBatch
    if call == "retrieve":
        server.then(answer(sent))
        batch = backend.retrieve("batch_1")
    else:
        server.then(answer({"object": "list", "data": [sent], "has_more": False}))
        (batch,) = backend.list_batches(after=None, limit=20).batches
    assert {name: getattr(batch, name) for name in shown.read} == shown.read


def create(backend: OpenAIBackend, window: str = "24h") -> RemoteBatch:
    return backend.create(
        input_file_id="file-in", endpoint="/v1/chat/completions", window=window, metadata={"a": "b"}
    )


def test_together_wraps_a_created_batch(backend: OpenAIBackend, server: Server) -> None:
    job = {"id": UUID, "input_file_id": "file-in", "status": "VALIDATING"}
    server.then(answer({"job": job, "warning": "slow"}, 201))
    assert (create(backend).id, server.seen[0].path) == (UUID, "/v1/batches")


def test_together_lists_without_an_envelope(backend: OpenAIBackend, server: Server) -> None:
    job = misbehaving.batch(id=UUID, created_at="2024-01-15T14:30:00Z", metadata=None)
    server.then(answer([job]))
    page = backend.list_batches(after=None, limit=20)
    assert [batch.input_file_id for batch in page.batches] == ["file-in"]
    assert not page.has_more


@pytest.mark.parametrize("window", ["7d", "48h", "1h"], ids=["Groq", "Novita", "Doubleword"])
def test_any_window_is_sent_as_it_is_written(
    backend: OpenAIBackend, server: Server, window: str
) -> None:
    server.then(answer(misbehaving.batch()))
    create(backend, window)
    assert json.loads(server.seen[0].body)["completion_window"] == window


def test_litellms_long_ids_travel_in_paths_and_come_back(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(answer(misbehaving.batch(id=LONG_ID)))
    assert backend.retrieve(LONG_ID).id == LONG_ID
    assert server.seen[0].path.startswith("/v1/batches/batch_bGl0ZWxsbTtpZDtt")


@pytest.mark.parametrize("error", ["queue is full", {"message": "queue is full"}])
def test_a_refusal_in_words_alone_is_a_refusal(
    backend: OpenAIBackend, server: Server, error: Json
) -> None:
    """Seen of gateways: {"error": "…"} and no object."""
    server.then(answer({"error": error}, 429))
    with pytest.raises(Transient, match="queue is full"):
        create(backend)


def test_azures_error_file_may_be_there_and_empty(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    server.then(answer(misbehaving.file(bytes=0)), answer(b""))
    assert backend.download("file-err", tmp_path / "err") == 0


def test_a_file_without_a_last_newline_is_whole_where_its_size_says_so(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    """Seen of gateways. Without a size it must come out the same twice: docs/backends.md tells how a cut file is known."""
    lines = b'{"custom_id":"1"}\n{"custom_id":"2"}'
    server.then(answer(misbehaving.file(bytes=len(lines))), answer(lines))
    assert backend.download("file-out", tmp_path / "out") == len(lines)
    server.then(answer(misbehaving.file(bytes=len(lines))), answer(lines[:-5]))
    with pytest.raises(Transient, match="were announced: the download is not whole"):
        backend.download("file-out", tmp_path / "cut")


def test_a_file_that_is_gone_says_so_in_plain_words_too(
    backend: OpenAIBackend, server: Server
) -> None:
    """FastAPI's {"detail": …}, as of vLLM and LiteLLM."""
    server.then(answer({"detail": "Not Found"}, 404), refusal(404))
    for _ in range(2):
        with pytest.raises(NotFound):
            backend.get_file("file-1")


CHAT: Final[JsonObject] = {
    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "good"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    "model": "m",
}
TEXT: Final = json.dumps(CHAT)
OK: Final = ("succeeded", None, '"good"')


class Line(NamedTuple):
    """A result line as a server writes it, without its custom_id; outcome, cause and output (or message) of what is read."""

    server: str
    deviation: str
    line: JsonObject
    read: tuple[str, str | None, str]


LINES: Final = (
    Line("OpenAI", "as documented", {"id": "batch_req_1", "response": {"status_code": 200, "body": CHAT}, "error": None}, OK),
    Line("OpenAI", "status 0 and nothing", {"response": {"status_code": 0, "request_id": "", "body": {}}, "error": None},
         ("retry", "server_error", "HTTP 0: an error without a message")),
    Line("gateways", "a body as text", {"response": {"status_code": 200, "body": TEXT}, "error": None}, OK),
    Line("gateways", "a response as text", {"response": json.dumps({"status_code": 200, "body": CHAT})}, OK),
    Line("gateways", "status as text", {"response": {"status_code": "200", "body": CHAT}, "error": ""}, OK),
    Line("gateways", "no status", {"response": {"body": CHAT}}, OK),
    Line("gateways", "an empty error beside an answer",
         {"response": {"status_code": 200, "body": CHAT}, "error": {"code": "", "message": ""}}, OK),
    Line("gateways", "nulls as error beside an answer",
         {"response": {"status_code": 200, "body": CHAT}, "error": {"code": None, "message": None}}, OK),
    Line("gateways", "a body of an error as text",
         {"response": {"status_code": 400, "body": '{"error":{"message":"no","code":"bad"}}'}},
         ("failed", "bad_request", "HTTP 400: bad: no")),
    Line("vLLM", "a text as error, body null", {"id": "vllm-1", "response": {"status_code": 400, "body": None}, "error": "too long"},
         ("failed", "bad_request", "HTTP 400: too long")),
    Line("vLLM", "an object as error, status in its code",
         {"response": {"status_code": 400, "body": None}, "error": {"object": "error", "message": "bad", "code": 400}},
         ("failed", "bad_request", "HTTP 400: bad")),
    Line("Together", "nothing but an error", {"error": {"message": "model is down", "code": 503}},
         ("retry", "server_error", "model is down")),
    Line("Together", "nothing but a text", {"error": "engine died"}, ("retry", "unknown", "engine died")),
    Line("Morph", "a failure in the output file", {"response": {"status_code": 500, "body": {"error": {"message": "oops"}}}, "error": None},
         ("retry", "server_error", "HTTP 500: oops")),
    Line("Morph", "its own words", {"response": None, "error": {"code": "batch_cancelled", "message": "stopped"}},
         ("released", "cancelled", "batch_cancelled: stopped")),
    Line("Azure", "no line id", {"custom": 1, "response": {"body": CHAT, "request_id": "r", "status_code": 200}, "error": None}, OK),
)  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.server}-{line.deviation}")
def test_a_result_line_is_read_however_it_is_written(line: Line) -> None:
    settings = JobSettings(name="j", path="/j.jsonl", line=1, endpoint="/v1/chat/completions")
    raw = json.dumps({"custom_id": "7-1-abc", **line.line}).encode()
    reading: Reading = make_reader(settings)(raw)
    said = reading.message if reading.output is None else reading.output.decode()
    assert reading.custom_id == "7-1-abc"
    assert (reading.outcome.name.lower(), reading.cause, said) == line.read
