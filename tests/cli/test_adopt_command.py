"""`batchrun adopt` on batches that the official SDK has made over HTTP, and on the embedded service's."""

import json
from pathlib import Path

import openai
from clikit import Desk

from batchrun.backends.embedded import EmbeddedBackend
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.service import BatchService


def line(name: str, text: str) -> dict[str, object]:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


def made_by_the_sdk(desk: Desk, *rows: dict[str, object]) -> str:
    path = desk.folder / desk.write("theirs/input.jsonl", *rows)
    with openai.OpenAI(max_retries=0) as client:
        file = client.files.create(file=("input.jsonl", path.read_bytes()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    return batch.id


def test_a_batch_of_the_official_sdk_becomes_a_job(desk: Desk, service: BatchService) -> None:
    """From an empty folder; then the file itself, with one line more, finds what was adopted."""
    rows = [line("q1", "one"), line("q2", "refuse me")]
    remote = made_by_the_sdk(desk, *rows)
    called = desk.call("adopt", remote, "--job", "faq")
    assert called.code == 0
    assert f"{remote} (" in called.out
    assert "started the home" in called.err
    done = desk.call("wait", "faq")
    assert done.code == 3
    assert [row["output"] for row in desk.outputs()] == ["one", None]
    (group,) = desk.call("failures", "faq", "--json").json["failures"]
    assert "faq" in json.dumps(group)
    assert "q1" in desk.call("explain", "faq", "q1").out
    assert desk.call("verify").code == 0
    desk.write("faq.jsonl", *rows, line("q3", "three"))
    (job,) = desk.call("submit", "faq.jsonl", "--json").json["jobs"]
    assert (job["items"]["new"], job["items"]["unchanged"]) == (1, 2)


def test_adopting_as_json_and_once_more(desk: Desk, service: BatchService) -> None:
    remote = made_by_the_sdk(desk, line("q1", "one"))
    service.work(5)
    document = desk.call("adopt", remote, "--job", "faq", "--json").json
    assert document["counts"]["succeeded"] == 1
    assert document["batches"] == [
        {
            "remote_id": remote,
            "status": "completed",
            "became": "collected",
            "batch": 1,
            "items": 1,
            "note": None,
        }
    ]
    again = desk.call("adopt", remote, "--job", "faq")
    assert (again.code, "known; 1 item in our batch 1; it is here already" in again.out) == (
        0,
        True,
    )


def test_what_cannot_be_adopted_ends_with_its_class(desk: Desk, service: BatchService) -> None:
    remote = made_by_the_sdk(desk, line("q1", "one"))
    assert desk.call("adopt", "batch_none", "--job", "faq").code == 6
    assert desk.call("adopt", remote, "--job", "f/q").code == 2
    assert desk.call("adopt", remote, "--job", "faq", "--input", "none.jsonl").code == 5
    assert desk.call("status", "--json").json["jobs"] == []


def test_a_batch_of_the_embedded_service_is_adopted_like_any_other(desk: Desk) -> None:
    desk.write("batchrun.toml", "")
    desk.call("submit", desk.job(), "--backend", "local", "--dry-run")
    home = desk.folder / ".batchrun"
    backend = EmbeddedBackend(
        home / "service",
        lambda: ScriptedResponder([Rule(reply="yes")], clock=desk.clock),
        desk.clock,
    )
    path = Path(desk.write("input.jsonl", line("q1", "one"), line("q2", "two"))).absolute()
    file = backend.upload(path, name="input.jsonl", expires_after_s=None)
    batch = backend.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", window="24h", metadata={}
    )
    backend.work(5)
    backend.close()
    called = desk.call("adopt", batch.id, "--job", "faq", "--backend", "local", "--json")
    assert called.json["counts"]["succeeded"] == 2
    path = desk.folder / "outputs" / "faq@local" / "results.jsonl"
    assert len(path.read_text().splitlines()) == 2
