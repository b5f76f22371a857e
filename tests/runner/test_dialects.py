"""One job at servers of many tongues, over sockets: the same answers and the same failures, whatever the server makes of the protocol."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from dialectkit import Dialect, speaking
from runnerkit import NewWorld, items

from batchrun.backends.openai import OpenAIBackend
from batchrun.clock import rfc3339
from batchrun.config import load_config
from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule
from batchrun.service.running import running
from batchrun.testing_backend import FaultyBackend

KEY: Final = "sk-canary-0123456789abcdef"
TIMES: Final = ("created_at", "in_progress_at", "completed_at", "expires_at", "finalizing_at")


def in_iso(batch: JsonObject) -> JsonObject:
    return {k: rfc3339(v) if k in TIMES and v is not None else v for k, v in batch.items()}


def together(batch: JsonObject) -> JsonObject:
    told = {**in_iso(batch), "status": batch["status"].upper(), "progress": 50}
    for key in ("metadata", "request_counts", "errors", "object"):
        del told[key]
    return told


def azure(batch: JsonObject) -> JsonObject:
    counts = {"total": None, "completed": None, "failed": None}
    return {**batch, "request_counts": counts, "endpoint": None, "expires_at": None}


def novita(batch: JsonObject) -> JsonObject:
    told = {k: str(v) if k in TIMES and v is not None else v for k, v in batch.items()}
    return {**told, "errors": ""}


def bare_failures(line: JsonObject) -> JsonObject:
    """Together's: nothing but the id and the error."""
    if line["response"]["status_code"] == 200:
        return line
    error = line["response"]["body"]["error"]
    return {
        "custom_id": line["custom_id"],
        "error": {**error, "code": line["response"]["status_code"]},
    }


def vllm(line: JsonObject) -> JsonObject:
    response = line["response"]
    if response["status_code"] == 200:
        return line
    said = response["body"]["error"]["message"]
    return {**line, "id": "vllm-1", "response": {**response, "body": None}, "error": said}


def texts(line: JsonObject) -> JsonObject:
    response = line["response"]
    return {**line, "response": {**response, "body": json.dumps(response["body"])}}


DIALECTS: Final[dict[str, tuple[str, Dialect]]] = {
    "Azure": ("azure", Dialect(batch=azure)),
    "Together": ("together", Dialect(
        batch=together, line=bare_failures, purpose="batch-api", lacks_newline=True,
        created=lambda batch: {"job": batch, "warning": ""}, listed=lambda page: page["data"],
    )),
    "LiteLLM": ("litellm", Dialect(listed=lambda page: {**page, "data": []})),
    "Groq": ("groq", Dialect(batch=lambda batch: {**batch, "metadata": None})),
    "DashScope": ("dashscope", Dialect(line=lambda line: {**line, "error": {"code": "", "message": ""}})),
    "Novita": ("", Dialect(batch=novita)),
    "Morph": ("", Dialect(merges=True)),
    "a gateway of texts": ("", Dialect(line=texts, lacks_newline=True)),
    "a gateway before vLLM": ("", Dialect(line=vllm, merges=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_a_job_comes_out_the_same(new_world: NewWorld, name: str) -> None:
    preset, dialect = DIALECTS[name]
    script = [Rule(prompt="text 1", times=1, status=503), Rule(prompt="text 2", status=400)]
    world = new_world(script=script)
    with (
        running(world.service, api_key=KEY, works=False) as inner,
        speaking(dialect, inner) as base_url,
    ):
        keys: dict[str, Any] = {"base_url": base_url, "api_key_env": "KEY"}
        keys |= {"preset": preset} if preset else {}
        table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        Path(world.folder / "batchrun.toml").write_text(f"[profile.far]\n{table}")
        profile = load_config(world.folder, None, {"KEY": KEY}).profile("far")
        backend = OpenAIBackend(profile, clock=world.clock)
        world.backend = FaultyBackend(backend, [])
        world.write(items(4), backend="far", endpoint="/v1/chat/completions", model="m")
        assert world.submit().error is None
        world.run(most=60)
        backend.close()
    assert world.tally() == {"succeeded": 3, "failed": 1}
    assert set(world.answers()) == {"i0", "i1", "i3"}
    assert world.failures() == {"i2": "bad_request"}
    assert world.executions() == {1: 1, 2: 2, 3: 1, 4: 1}, "each item was paid as often as it ran"
    assert world.incidents() == []
