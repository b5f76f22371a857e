"""A server that has no Batch API: the error says so, and how to ask it line by line."""

from pathlib import Path

import pytest
from callkit import upload
from misbehaving import Server, Step, answer

from batchrun.backends.openai import OpenAIBackend
from batchrun.errors import BackendError

ADVICE = (
    "Check base_url (it usually ends in /v1). If this server has no Batch API, ask it line by line: "
    '`--backend openai:live`, or backend = "direct" in [profile.openai] of batchrun.toml. '
    "With :live the job is another one: `batchrun cancel JOB@openai` ends the first."
)
SERVERS: dict[str, Step] = {
    "new-api": answer({"error": {"message": "Invalid URL (POST /v1/files)", "type": "invalid_request_error"}}, 404),
    "vLLM": answer({"detail": "Not Found"}, 404),
    "vLLM-405": answer({"detail": "Method Not Allowed"}, 405),
    "llama.cpp": answer({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, 404),
    "Ollama": answer(b"404 page not found", 404, content_type="text/plain"),
    "501": answer(b"", 501),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("call", ["upload", "list"])
def test_the_first_call_that_finds_nothing_gives_the_advice(
    backend: OpenAIBackend, server: Server, name: str, call: str
) -> None:
    server.then(SERVERS[name])
    with pytest.raises(BackendError) as caught:
        upload(backend) if call == "upload" else backend.list_batches(after=None, limit=1)
    assert str(caught.value).endswith(ADVICE)
    assert caught.value.status in {404, 405, 501}


def test_a_file_that_is_not_there_says_nothing_of_the_api(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    server.then(SERVERS["vLLM"])
    with pytest.raises(BackendError, match=r"It was deleted, has expired"):
        backend.download("file-1", tmp_path / "x")
