"""The whole way of a job through a direct profile, over a real socket, to a server that is asked for single answers only."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runnerkit import items

# The badly behaved server of the backends' tests.
sys.path.append(str(Path(__file__).parents[1] / "backends"))

from misbehaving import Server, answer, hang_up, page, refusal, serving

from batchrun.api import Batchrun
from batchrun.config import load_config
from batchrun.errors import WrongAccount
from batchrun.ledger.home import Home
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock

KEY = "sk-canary-0123456789abcdef"
REVIEWS = Path(__file__).parents[2] / "jobs" / "reviews.jsonl"
RULES = (
    Rule(prompt="text 1", times=1, status=500),
    Rule(prompt="text 2", status=400, message="no such thing"),
    Rule(prompt="good|great|love", label="positive"),
    Rule(prompt="Sentiment", label="negative"),
)
CLEAR = "http://127.0.0.1:9/v1"


class Distant(ManualClock):
    """While we sleep, the service at the far end works."""

    service: BatchService | None = None

    def sleep_until(self, at: int) -> None:
        super().sleep_until(at)
        if self.service is not None:
            self.service.work(1e6)


class Desk:
    """A folder with a home, and a server at the far end of a socket."""

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.folder = folder
        self.clock = Distant()
        self.server = BatchService(
            folder / "far",
            ScriptedResponder(RULES, clock=self.clock),
            self.clock,
            options=options or Options(),
        )
        self.clock.service = self.server
        self.base_url = CLEAR

    def api(self, profile: str, home: str = "home") -> Batchrun:
        place = Home(self.folder / home / ".batchrun")
        place.path.parent.mkdir(exist_ok=True)
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.base_url}
        config = load_config(None, None, environ)
        return Batchrun(home=place, config=config, clock=self.clock, backend=profile)

    def run(self, api: Batchrun, job_file: Path) -> None:
        prepared, _ = api.submit([job_file])
        assert [job.error for job in prepared] == [None]
        _, is_done = api.wait()
        assert is_done

    def job(self, count: int = 4) -> Path:
        line = {"job": "faq", "model": "m", "prompt": "{{ text }}", "endpoint": "/v1/responses"}
        path = self.folder / "faq.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in (line, *items(count))))
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    with running(desk.server, api_key=KEY, works=False) as desk.base_url:
        yield desk
    desk.clock.service = None
    desk.server.close()


def outputs(api: Batchrun) -> dict[str, bytes]:
    """What was written for the one job of a home, but for what names its batches and its time."""
    (folder,) = api.home.outputs.iterdir()
    names = ("results.jsonl", "failures.jsonl", "results.csv")
    return {name: (folder / name).read_bytes() for name in names}


def in_a_hurry(folder: Path) -> Path:
    """The reviews, line for line, but for the deadline that their job line has here."""
    (line,) = REVIEWS.read_text("utf-8").splitlines()
    items_from = (REVIEWS.parent / json.loads(line)["items"]).resolve()
    path = folder / REVIEWS.name
    hasty = {**json.loads(line), "items": str(items_from), "deadline": "4h"}
    path.write_text(json.dumps(hasty) + "\n", "utf-8")
    return path


def test_the_same_job_has_the_same_answers_by_batch_directly_and_half_of_each(
    tmp_path: Path,
) -> None:
    """The far service executes a line in ten minutes, and has four hours less what the cancel and the live answers may take."""
    desk = Desk(tmp_path, Options(line_s=600))
    with running(desk.server, api_key=KEY, works=False) as desk.base_url:
        direct, batched = desk.api("direct", "direct"), desk.api("openai", "batched")
        half = desk.api("openai", "half")
        desk.run(direct, REVIEWS)
        assert desk.server.truth()["batches"] == []
        desk.run(half, in_a_hurry(tmp_path))
        executed = sum(times for _, times in desk.server.charges())
        desk.run(batched, REVIEWS)
    found = half.report(1)
    deadline, count = found["deadline"], found["counts"]["items"]
    assert deadline["met"] is True
    assert deadline["by_batch"] == executed > 10
    assert deadline["live"] == count - executed > 10
    assert sum(times for _, times in desk.server.charges()) == executed + count
    assert [one["status"] for one in desk.server.truth()["batches"]] == ["cancelled", "completed"]
    assert outputs(half) == outputs(direct) == outputs(batched)
    assert outputs(half)["results.jsonl"].count(b"succeeded") == count == 36
    desk.clock.service = None
    desk.server.close()


def test_what_fails_is_asked_again_after_seconds_and_the_key_stands_nowhere(desk: Desk) -> None:
    api, began = desk.api("direct"), desk.clock.now()
    desk.run(api, desk.job())
    (status,) = api.status()
    assert (status.counts["succeeded"], status.counts["failed"]) == (3, 1)
    assert 5 <= desk.clock.now() - began < 60
    for path in desk.folder.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def test_open_lines_go_to_no_other_server(desk: Desk) -> None:
    api = desk.api("direct")
    api.submit([desk.job()])
    desk.base_url = CLEAR
    elsewhere = desk.api("direct")
    result = elsewhere.tick()
    assert result is not None
    assert [type(problem) for problem in result.problems] == [WrongAccount]
    assert f"direct:{CLEAR}" in str(result.problems[0])


def test_forgetting_reaches_the_folder_of_a_direct_profile(desk: Desk) -> None:
    api = desk.api("direct")
    desk.run(api, desk.job(1))
    home = api.home

    def holders() -> list[str]:
        places = (home.path, home.outputs)
        files = (path for place in places for path in place.rglob("*") if path.is_file())
        return [str(path) for path in files if b"text 0" in path.read_bytes()]

    assert any("/direct/direct/files/" in name for name in holders())
    found = api.forget("faq", ("i0",))
    assert found.remote_left == 0
    assert holders() == []


CHAT = {
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "yes"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}


@pytest.fixture
def server(desk: Desk) -> Iterator[Server]:
    """A server that does as it is told, in the place of the good one."""
    with serving() as opened:
        desk.base_url = opened.base_url
        yield opened


def chat_job(desk: Desk, count: int) -> Path:
    line = {"job": "faq", "model": "m", "prompt": "{{ text }}", "endpoint": "/v1/chat/completions"}
    path = desk.folder / "faq.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (line, *items(count))))
    return path


def test_a_server_with_nothing_but_the_endpoint_is_enough(desk: Desk, server: Server) -> None:
    server.then(*[answer(CHAT)] * 3)
    api = desk.api("direct")
    desk.run(api, chat_job(desk, 3))
    assert api.status()[0].counts["succeeded"] == 3
    assert {(seen.method, seen.path) for seen in server.seen} == {("POST", "/v1/chat/completions")}


def test_a_server_that_has_too_much_is_asked_again_when_it_said_and_nothing_is_spent(
    desk: Desk, server: Server
) -> None:
    busy = refusal(429, "rate_limit_exceeded", retry_after="90")
    server.then(*[busy] * 2, *[answer(CHAT)] * 2)
    api, began = desk.api("direct"), desk.clock.now()
    desk.run(api, chat_job(desk, 2))
    assert api.status()[0].counts["succeeded"] == 2
    assert 90 <= desk.clock.now() - began <= 92
    assert len(server.seen) == 4
    with sqlite3.connect(api.home.database) as ledger:
        assert ledger.execute("select count(*) from batch_rows").fetchone() == (1,)
    ledger.close()


def test_what_a_server_never_answered_is_uncertain_and_not_sent_again(
    desk: Desk, server: Server
) -> None:
    server.then(answer(CHAT), hang_up, page(502))
    api = desk.api("direct")
    desk.run(api, chat_job(desk, 3))
    (status,) = api.status()
    assert (status.counts["succeeded"], status.counts["failed"]) == (1, 2)
    with sqlite3.connect(api.home.database) as ledger:
        causes = ledger.execute("select distinct cause from failures").fetchall()
    ledger.close()
    assert causes == [("uncertain",)]
    assert len(server.seen) == 3


def test_a_server_without_the_endpoint_is_told_and_nothing_is_repeated(
    desk: Desk, server: Server
) -> None:
    server.then(*[page(404)] * 2)
    api = desk.api("direct")
    desk.run(api, chat_job(desk, 2))
    failures = (api.home.outputs / "faq@direct" / "failures.jsonl").read_text("utf-8")
    assert failures.count("has no /v1/chat/completions") == 2
    assert len(server.seen) == 2
