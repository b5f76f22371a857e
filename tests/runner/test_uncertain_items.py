"""Items whose request was under way when a direct run died: counted, told, and asked again only where that is wanted."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runnerkit import check_invariants, items

from batchrun.api import Batchrun
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.cli.main import run
from batchrun.cli.standing import status_text
from batchrun.config import load_config
from batchrun.errors import UsageError
from batchrun.ledger.connection import open_ledger
from batchrun.ledger.home import Home
from batchrun.model import JsonObject
from batchrun.outputs.reporting import job_report, report_markdown
from batchrun.service.responders.base import Postponed, Reply, Responder
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import START, ManualClock

PROFILE = "local"


class Killed(BaseException):
    """The end of a process."""


class Paid(Responder):
    """Answers cost money; the process dies in the second request for an item in `deadly`, and in all others once it died."""

    concurrency, is_billed = 3, True

    def __init__(self, clock: ManualClock) -> None:
        self._inner = ScriptedResponder([], clock=clock)
        self.executed: Counter[str] = Counter()
        self.deadly: set[str] = set()
        self.later: list[Postponed] = []
        self.each_s = 0
        self.log: Path | None = None
        self.kill9_after: int | None = None
        self.clock = clock

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        if self.later:
            raise self.later.pop()
        self.clock.advance(self.each_s)
        text = body["input"]
        self.executed[text] += 1
        if self.log is not None:
            with self.log.open("a") as opened:
                opened.write(f"{text}\n")
            if self.kill9_after is not None and len(self.executed) > self.kill9_after:
                os.kill(os.getpid(), signal.SIGKILL)
        if text in self.deadly:
            self.deadly.remove(text)
            raise Killed
        return self._inner.respond(url, body, custom_id=custom_id)


class Night:
    """A home whose jobs are answered line by line, in this process, for money."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock()
        self.home = Home(folder / ".batchrun")
        self.paid = Paid(self.clock)
        self.backends: list[EmbeddedBackend] = []
        self.made = 0

    def api(self) -> Batchrun:
        """The library, as a new process would have it."""
        config = load_config(self.folder, self.home.path, {})
        return Batchrun(home=self.home, config=config, clock=self.clock, open_backend=self._open)

    def _open(self, _profile: str) -> EmbeddedBackend:
        backend = EmbeddedBackend(self.home.path / "service", self._responder, self.clock)
        self.backends.append(backend)
        return backend

    def _responder(self) -> Paid:
        self.made += 1
        return self.paid

    def submit(self, count: int, **changes: Any) -> None:
        line = {"job": "reviews", "model": "m", "prompt": "{{ text }}", "backend": PROFILE}
        path = self.folder / "reviews.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in (line | changes, *items(count))))
        self.api().submit([path])

    def died(self) -> None:
        """A run that is killed."""
        with pytest.raises(Killed):
            self.api().wait()

    def causes(self) -> Counter[str]:
        with open_ledger(self.home) as ledger:
            return Counter(row["cause"] for row in ledger.rows("select cause from failures"))

    def answered(self) -> int:
        with open_ledger(self.home) as ledger:
            return int(ledger.value("select count(*) from results"))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    night = Night(tmp_path)
    yield night
    for backend in night.backends:
        backend.close()
    with open_ledger(night.home) as ledger:
        check_invariants(ledger)


def test_no_finished_item_is_repeated_and_what_was_under_way_is_counted(night: Night) -> None:
    night.submit(12)
    night.paid.deadly = {"text 4", "text 9"}
    night.died()
    night.died()
    night.api().wait()
    assert set(night.paid.executed.values()) == {1}
    assert (night.answered(), night.causes()) == (10, {"uncertain": 2})
    (status,) = night.api().status()
    assert status.uncertain == 2
    shown = status_text([status], night.clock.now())
    assert "2 items may have been executed without an answer" in shown
    assert "batchrun retry reviews@local --rerun-uncertain" in shown
    with open_ledger(night.home) as ledger:
        report = job_report(ledger, 1)
    assert report["uncertain"] == 2
    assert "of those that failed, sent and perhaps executed: 2" in report_markdown(report)
    (group,) = report["failures"]
    assert group["command"].endswith("retry reviews --cause uncertain --rerun-uncertain")


def test_after_a_kill_another_prompt_asks_all_anew_and_nothing_as_it_was(night: Night) -> None:
    night.submit(12)
    night.paid.deadly = {"text 4"}
    night.died()
    before = Counter(night.paid.executed)
    night.submit(12, prompt="New {{ text }}")
    night.api().wait()
    assert night.paid.executed - before == {f"New text {n}": 1 for n in range(12)}
    assert (night.answered(), night.causes()) == (12, {})


def test_after_a_kill_fewer_items_leave_uncertain_what_was_under_way(
    night: Night,
) -> None:
    night.submit(12)
    night.paid.deadly = {"text 4"}
    night.died()
    night.submit(11)  # the last one is gone
    night.api().wait()
    assert night.paid.executed == {f"text {n}": 1 for n in range(11)}
    assert (night.answered(), night.causes()) == (10, {"uncertain": 1})


def test_only_a_retry_that_says_so_sends_uncertain_items_again_and_no_others(night: Night) -> None:
    night.submit(6)
    night.paid.deadly = {"text 2"}
    night.died()
    night.api().wait()
    before = Counter(night.paid.executed)
    assert night.api().retry("reviews") == 0
    with pytest.raises(UsageError, match="--rerun-uncertain"):
        night.api().retry("reviews", ["i2"])
    assert night.api().retry("reviews", rerun_lost=True) == 0
    assert night.api().retry("reviews", rerun_uncertain=True) == 1
    night.api().wait()
    assert night.paid.executed - before == {"text 2": 1}
    assert (night.answered(), night.causes()) == (6, {})
    assert night.api().status()[0].uncertain == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no other failed items in reviews"),
        (("--cause", "uncertain"), "no other failed items of cause 'uncertain' in reviews"),
        (("--rerun-lost",), "no other failed items in reviews"),
    ],
)
def test_a_retry_that_leaves_uncertain_items_out_says_how_many_and_what_takes_them(
    night: Night, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    night.submit(3)
    night.paid.deadly = {"text 1"}
    night.died()
    night.api().wait()
    called = ("retry", "reviews", "--home", str(night.home.path), *words)
    assert run(called, clock=night.clock) == 0
    out, err = capsys.readouterr()
    assert out == f"{told}: nothing to do\n"
    assert "1 item left out (uncertain): the first request may have been paid for." in err
    assert "batchrun retry reviews --cause uncertain --rerun-uncertain" in err
    assert run((*called, "--json"), clock=night.clock) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["left_out"] == {"lost_result": 0, "uncertain": 1}
    assert run((*called, "--rerun-uncertain"), clock=night.clock) == 0
    out, err = capsys.readouterr()
    assert out.startswith("1 item queued.")
    assert "left out" not in err


def test_a_job_may_want_uncertain_items_asked_again_by_themselves(night: Night) -> None:
    night.submit(6, uncertain="retry", attempts=2)
    night.paid.deadly = {"text 2"}
    night.died()
    night.api().wait()
    assert night.answered() == 6
    assert night.paid.executed == {f"text {n}": 2 if n == 2 else 1 for n in range(6)}


def test_asking_again_ends_with_the_attempts(night: Night) -> None:
    night.submit(2, uncertain="retry", attempts=2)
    for _ in range(2):
        night.paid.deadly = {"text 1"}
        night.died()
    night.api().wait()
    assert night.paid.executed == {"text 0": 1, "text 1": 2}
    assert night.causes() == {"uncertain": 1}


def test_a_server_that_wants_nothing_for_an_hour_is_left_alone_for_an_hour(night: Night) -> None:
    night.submit(1)
    night.paid.later = [Postponed("too many requests", status=429, retry_after_s=3_600)]
    result = night.api().tick()
    assert result is not None
    assert result.next_at == START + 3_600
    assert night.clock.now() - START < 10
    night.api().wait()
    assert night.answered() == 1
    assert night.clock.now() - START < 3_700


def test_a_run_of_many_passes_asks_with_one_responder_and_closes_it(night: Night) -> None:
    """What it learned of the server's pace, and its connections, outlive a pass."""
    night.submit(60)
    night.paid.each_s = 5
    night.api().wait()
    assert night.clock.now() - START >= 120
    assert (night.answered(), night.made) == (60, 1)
    assert all(backend._opened is None for backend in night.backends)


PROGRAM = """
    import sys
    from pathlib import Path
    from test_uncertain_items import Night

    night = Night(Path(sys.argv[1]))
    night.paid.log = Path(sys.argv[2])
    night.paid.kill9_after = int(sys.argv[3])
    night.api().wait()
"""


def test_kill_9_of_a_run_repeats_no_item_and_a_retry_sends_just_those_under_way(
    night: Night,
) -> None:
    night.submit(40)
    log = night.folder / "asked"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(night.folder), str(log), "20"],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    night.paid.log = log
    night.api().wait()
    asked = Counter(log.read_text().splitlines())
    (status,) = night.api().status()
    assert 1 <= status.uncertain <= Paid.concurrency
    assert night.answered() == 40 - status.uncertain
    assert set(asked.values()) == {1}
    assert night.api().retry("reviews", rerun_uncertain=True) == status.uncertain
    night.api().wait()
    again = Counter(log.read_text().splitlines()) - asked
    assert (sum(again.values()), set(again.values())) == (status.uncertain, {1})
    assert (night.answered(), night.causes()) == (40, {})
