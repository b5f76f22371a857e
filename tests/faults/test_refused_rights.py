"""A key that may not, and an account that cannot pay: told in the service's words, tried again later, and nobody else waits for it."""

import json
from pathlib import Path
from typing import Any

import pytest
from clikit import FAST_PROFILE, Called, Desk
from misbehaving import Handler, Server, answer, batch, file, refusal
from routekit import Routes

from batchrun.clock import SystemClock
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService

KEY = "sk-canary-0123456789abcdef"
WORDS = "Project proj_1 has no access to model gpt-5-mini in this region."


@pytest.fixture
def routes(server: Server) -> Routes:
    return Routes(server)


@pytest.fixture
def desk_with_key(desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return desk


def batches(desk: Desk) -> list[Any]:
    found: list[Any] = desk.call("status", "--json").json["jobs"][0]["batches"]
    return found


def assert_told(called: Called, *words: str) -> None:
    assert called.code == 6
    assert KEY not in called.out + called.err
    for word in words:
        assert word in called.err


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.fault(1, 2)
def test_a_create_without_the_right_is_told_once_a_pass_and_made_when_there_is_one(
    desk_with_key: Desk, routes: Routes, status: int
) -> None:
    desk = desk_with_key
    routes.on("POST /batches", refusal(status, "model_not_allowed", WORDS))
    called = desk.call("submit", desk.job())
    assert_told(called, WORDS, "OPENAI_API_KEY")
    assert routes.count("POST /batches") == 1  # no second try would be given more rights
    (waiting,) = batches(desk)
    assert (waiting["state"], waiting["remote_id"]) == ("uploaded", None)  # and nothing is in doubt
    desk.clock.advance(3_600)
    routes.on("POST /batches", answer(batch()))
    desk.call("tick")
    (sent,) = batches(desk)
    assert (sent["state"], sent["remote_id"]) == ("created", "batch_1")
    assert routes.count("POST /files") == 1


@pytest.mark.fault(2)
def test_a_model_that_is_refused_does_not_keep_the_other_jobs_waiting(
    desk_with_key: Desk, routes: Routes
) -> None:
    desk = desk_with_key
    routes.on("POST /files", *(answer(file(id=f"file-{n}", bytes=None)) for n in (1, 2)))

    def by_file(handler: Handler) -> None:
        body = json.loads(server_body(handler))
        if body["input_file_id"] == "file-1":
            refusal(403, "no", WORDS)(handler)
        else:
            answer(batch(input_file_id="file-2"))(handler)

    routes.on("POST /batches", by_file)
    routes.on("GET /batches/batch_1", answer(batch(input_file_id="file-2")))
    called = desk.call("submit", desk.job("refused"), desk.job("fine"))
    assert_told(called, WORDS)
    for _ in range(3):
        desk.clock.advance(30)
        desk.call("tick")
    jobs = {job["job"]: job for job in desk.call("status", "--json").json["jobs"]}
    assert [b["state"] for b in jobs["fine"]["batches"]] == ["created"]
    assert [b["state"] for b in jobs["refused"]["batches"]] == ["uploaded"]


def server_body(handler: Handler) -> bytes:
    """The body of the request that is being answered."""
    server = handler.server
    assert isinstance(server, Server)
    return server.seen[-1].body


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.fault(1, 2)
def test_another_profile_goes_on(
    desk_with_key: Desk, server: Server, tmp_path: Path, status: int
) -> None:
    desk = desk_with_key
    clock = SystemClock()
    service = BatchService(tmp_path / "service", ScriptedResponder(clock=clock), clock)
    server.then(*[refusal(status, "no", WORDS)] * 50)
    with running(service, api_key="other") as base_url:
        (desk.folder / "key").write_text("other")
        (desk.folder / "key").chmod(0o600)
        other = f'[profile.other]\nbase_url = "{base_url}"\napi_key_file = "key"\npoll_s = 1\n'
        (desk.folder / "batchrun.toml").write_text(FAST_PROFILE + other)
        called = desk.call("submit", desk.job("stuck"), desk.job("free", backend="other"))
        assert_told(called, WORDS)
        assert desk.call("wait", "free").code in {0, 6}
    service.close()
    assert [line["output"] for line in desk.outputs("free")] == ["Q: one", "Q: two"]
    assert desk.call("status", "stuck").code == 4


@pytest.mark.parametrize(
    "code", ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"]
)
@pytest.mark.parametrize("call", ["POST /files", "POST /batches"])
@pytest.mark.fault(9)
def test_an_account_that_cannot_pay_is_asked_again_after_an_hour(
    desk_with_key: Desk, routes: Routes, code: str, call: str
) -> None:
    """No rate limit: trying again in seconds is pointless, and so is sending the next batch."""
    desk = desk_with_key
    routes.on(call, refusal(429, code, "You exceeded your current quota.", retry_after="1"))
    called = desk.call("submit", desk.job())
    assert_told(called, "You exceeded your current quota.", code)
    for _ in range(5):
        desk.clock.advance(600)
        desk.call("tick")
    assert routes.count(call) == 1
    assert any("quota" in word for word in desk.call("status", "--json").json["jobs"][0]["waiting"])
    desk.clock.advance(3_600)
    routes.on("POST /files", answer(file(id="file-in", bytes=None)))
    routes.on("POST /batches", answer(batch()))
    desk.call("tick")
    (sent,) = batches(desk)
    assert sent["state"] == "created"
