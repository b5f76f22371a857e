"""A job that changes while our own passes send its lines: those not sent yet are taken back, and nothing is asked the old way any more."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from livekit import LiveWorld
from runnerkit import items

from batchrun.model import JsonObject
from batchrun.service.responders.script import Rule

COUNT, SENT = 20, 8


class Half(LiveWorld):
    """A job of which a run that ended early has sent `SENT` lines, one a second; `asked` are the prompts, in their order."""

    def __post_init__(self) -> None:
        self.asked: list[str] = []
        self.script = self._answer
        super().__post_init__()

    def _answer(self, _url: str, body: JsonObject, _custom_id: str | None) -> Rule:
        self.asked.append(body["messages"][-1]["content"] if "messages" in body else body["input"])
        return Rule(delay_s=1)

    def begin(self, profile: str = "local", **changes: Any) -> None:
        self.write(items(COUNT), backend=profile, **changes)
        self.submit()
        self.go_on(SENT)

    def go_on(self, seconds: float) -> None:
        self.api()._runner().run_pass(lock_wait_s=0, work_s=seconds)


@pytest.fixture
def half(tmp_path: Path) -> Any:
    world = Half(tmp_path)
    yield world
    world.close()


def test_no_line_is_sent_with_the_old_prompt_once_another_was_submitted(half: Half) -> None:
    half.begin()
    assert len(half.asked) == SENT
    half.write(items(COUNT), backend="local", prompt="Rate: {{ text }}")
    tally = half.submit().tally
    assert tally is not None
    assert tally.changed == COUNT
    half.run()
    assert half.answers() == {f"i{n}": f"Rate: text {n}" for n in range(COUNT)}
    assert Counter(text.partition(":")[0] for text in half.asked) == {"Review": SENT, "Rate": COUNT}
    assert max(Counter(half.asked).values()) == 1


def test_unchanged_items_of_a_batch_that_is_taken_back_are_asked_once(half: Half) -> None:
    half.begin()
    rows = items(COUNT)
    rows[2]["text"], rows[15]["text"] = "new 2", "new 15"
    half.write(rows, backend="local")
    half.submit()
    half.run()
    assert half.answers() == {row["id"]: f"Review: {row['text']}" for row in rows}
    assert Counter(half.asked) == Counter(
        [*(f"Review: {row['text']}" for row in rows), "Review: text 2"]
    )


def test_items_that_vanish_from_the_data_are_not_sent_any_more(half: Half) -> None:
    half.begin()
    half.write(items(10), backend="local")
    half.submit(allow_missing=True)
    half.run()
    assert Counter(half.asked) == Counter(f"Review: text {n}" for n in range(10))
    assert half.tally() == {"succeeded": 10}


def test_a_submit_that_changes_nothing_takes_nothing_back(half: Half) -> None:
    half.begin()
    half.submit()
    half.write([*items(COUNT), {"id": "more", "text": "more"}], backend="local")
    half.submit()
    half.run()
    assert max(Counter(half.asked).values()) == 1
    assert [batch["cancel_requested"] for batch in half.batches()] == [0, 0]


def test_answers_that_are_to_stand_are_waited_for(half: Half) -> None:
    half.begin()
    half.write(items(COUNT), backend="local", prompt="Rate: {{ text }}")
    half.submit(new_only=True)
    half.run()
    assert sorted(half.asked) == sorted(f"Review: text {n}" for n in range(COUNT))


def test_a_change_that_is_taken_back_itself_asks_only_what_was_not_sent(half: Half) -> None:
    half.begin()
    half.write(items(COUNT), backend="local", prompt="Rate: {{ text }}")
    half.submit(send=False)
    half.write(items(COUNT), backend="local")
    half.submit(send=False)
    half.run()
    assert sorted(half.asked) == sorted(f"Review: text {n}" for n in range(COUNT))
    assert half.tally() == {"succeeded": COUNT}


def test_however_often_a_job_changes_its_unchanged_items_keep_their_attempts(half: Half) -> None:
    half.begin(attempts=1)
    rows = items(COUNT)
    for again in range(6):
        rows[-1]["text"] = f"new {again}"
        half.write(rows, backend="local", attempts=1)
        half.submit()
        half.go_on(1)
    half.run()
    assert half.tally() == {"succeeded": COUNT}
    assert half.answers()["i19"] == "Review: new 5"
    assert max(Counter(half.asked).values()) == 1


def test_a_batch_that_was_not_sent_yet_costs_nothing_either(half: Half) -> None:
    half.write(items(COUNT), backend="local")
    half.submit(send=False)
    half.go_on(0)
    assert half.asked == []
    assert len(half.batches()) == 1
    half.write(items(COUNT), backend="local", prompt="Rate: {{ text }}")
    half.submit()
    half.run()
    assert sorted(half.asked) == sorted(f"Rate: text {n}" for n in range(COUNT))


def test_a_canary_that_changes_goes_first_with_its_new_prompt(half: Half) -> None:
    half.begin(canary={"items": 10})
    assert len(half.asked) == SENT
    half.write(items(COUNT), backend="local", canary={"items": 10}, prompt="Rate: {{ text }}")
    half.submit()
    half.run()
    assert half.answers() == {f"i{n}": f"Rate: text {n}" for n in range(COUNT)}
    assert Counter(text.partition(":")[0] for text in half.asked) == {"Review": SENT, "Rate": COUNT}


def test_a_batch_at_a_service_is_left_to_it(half: Half) -> None:
    half.write(items(COUNT))
    half.submit()
    half.write(items(COUNT), prompt="Rate: {{ text }}")
    half.submit()
    half.run()
    assert [batch["cancel_requested"] for batch in half.batches()] == [0, 0]
    assert Counter(half.asked).total() == 2 * COUNT
    assert half.answers() == {f"i{n}": f"Rate: text {n}" for n in range(COUNT)}
