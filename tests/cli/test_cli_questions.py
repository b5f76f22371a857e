"""The question before many items are sent: what it blocks (nothing), and what a yes is worth."""

import pytest
from clikit import Desk

from batchrun.cli import submitting
from batchrun.ledger.home import Home
from batchrun.ledger.lock import pass_lock
from batchrun.service.service import BatchService


class Person:
    """Somebody at a terminal. While they think, the home must be free; `data` is what happens to the job file meanwhile."""

    def __init__(self, desk: Desk, *, says: bool, texts: int = 0) -> None:
        self._desk, self._says, self._texts = desk, says, texts
        self.asked: list[str] = []

    def ask(self, question: str) -> bool:
        """What `printing.ask` would bring."""
        self.asked.append(question)
        with pass_lock(Home(self._desk.folder / ".batchrun"), wait_s=0):
            pass
        if self._texts:
            self._desk.job("faq", *(f"text {n}" for n in range(self._texts)))
        return self._says


def at_the_terminal(monkeypatch: pytest.MonkeyPatch, person: Person) -> Person:
    monkeypatch.setattr(submitting, "ask", person.ask)
    monkeypatch.setattr(submitting, "can_ask", lambda: True)
    monkeypatch.setattr(submitting, "ASK_ABOVE", 3)
    return person


def test_the_home_is_free_while_a_person_thinks(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = at_the_terminal(monkeypatch, Person(desk, says=True))
    called = desk.call("run", desk.job("faq", *"abcde"))
    assert called.code == 0
    assert person.asked == ["faq: send 5 items to 'openai'?"]
    assert len(desk.outputs()) == 5


def test_a_no_sends_nothing(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_terminal(monkeypatch, Person(desk, says=False))
    called = desk.call("submit", desk.job("faq", *"abcde"))
    assert called.code == 8
    assert "faq: not confirmed; nothing was sent." in called.err
    assert dict(service.charges()) == {}


def test_a_yes_is_no_yes_to_more(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_terminal(monkeypatch, Person(desk, says=True, texts=9))
    called = desk.call("submit", desk.job("faq", *"abcde"))
    assert called.code == 8
    assert "9 items would be sent now, and 5 were agreed to" in called.err
    assert desk.call("status", "--json").json["jobs"] == []


def test_a_small_job_beside_a_large_one_is_submitted_once_and_not_asked_about(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = at_the_terminal(monkeypatch, Person(desk, says=True))
    small, large = desk.job("small", "one"), desk.job("large", *"abcde")
    called = desk.call("submit", "--json", small, large)
    assert called.code == 0
    assert len(person.asked) == 1
    assert [(job["job"], job["items"]["new"]) for job in called.json["jobs"]] == [
        ("small", 1),
        ("large", 5),
    ]
