"""Requests that carry on a conversation are found again, though no item asks them as they stand."""

from pathlib import Path

import msgspec
import pytest
from recoverykit import back_up, became, finish, lose_home, recover, restore
from runnerkit import NewWorld, World, items, texts

from batchrun.errors import Transient
from batchrun.followups import may_go_on, said_in
from batchrun.model import JsonObject, RepairSettings
from batchrun.recovery.matching import Matcher
from batchrun.recovery.sentlines import read_requests
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "maximum": 5}},
    "required": ["stars"],
    "additionalProperties": False,
}

SCRIPT = [
    Rule(prompt="cannot be used", reply='{"stars": 4}'),
    Rule(prompt="text 1", reply='{"stars": 9}'),
    Rule(reply='{"stars": 4}'),
]


def repaired(new_world: NewWorld) -> World:
    """One of three items was answered badly, and its repair runs on the service."""
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: len(world.remotes()) == 2)
    return world


@pytest.mark.parametrize("is_answered", [False, True], ids=["running", "answered"])
def test_a_lost_ledger_gets_the_repaired_answer_and_pays_once(
    new_world: NewWorld, *, is_answered: bool
) -> None:
    world = repaired(new_world)
    if is_answered:
        world.serve()
    lose_home(world)
    assert became(recover(world)) == ["collected", "collected" if is_answered else "in_flight"]
    finish(world)
    assert world.answers() == dict.fromkeys(("i0", "i1", "i2"), '{"stars":4}')
    assert world.executions() == {1: 1, 2: 2, 3: 1}


def test_an_older_ledger_gets_the_repaired_answer(new_world: NewWorld) -> None:
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: len(world.remotes()) == 1)
    backup = back_up(world)
    world.run()
    restore(world, backup)
    recover(world)
    finish(world)
    assert world.answers() == dict.fromkeys(("i0", "i1", "i2"), '{"stars":4}')
    assert world.executions() == {1: 1, 2: 2, 3: 1}


def test_a_conversation_begun_anew_is_followed_from_its_beginning(new_world: NewWorld) -> None:
    world = new_world(script=SCRIPT)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run()
    world.api().retry("reviews", ["i1"], redo=True)
    world.run()
    lose_home(world)
    recover(world)
    assert world.rows("select item, send from turns") == [{"item": 2, "send": 3}]
    finish(world)
    assert world.answers() == dict.fromkeys(("i0", "i1", "i2"), '{"stars":4}')
    assert world.executions() == {1: 1, 2: 4, 3: 1}


def test_two_ledgers_had_a_conversation_with_one_item_each(new_world: NewWorld) -> None:
    world = new_world(script=SCRIPT[1:])
    world.write(items(2), schema=SCHEMA, repair={"attempts": 2})
    ledgers = []
    for home in (1, 2):
        world.submit()
        world.run_until(lambda home=home: len(world.remotes()) == home)  # type: ignore[misc]
        world.serve()
        ledgers += [
            row["value"] for row in world.rows("select value from meta where key = 'ledger'")
        ]
        lose_home(world)
    assert became(recover(world, ledgers=tuple(ledgers))) == ["collected", "collected"]
    assert world.rows("select item, send from turns") == [{"item": 2, "send": 2}]
    finish(world)
    assert world.failures() == {"i1": "schema_mismatch"}


def test_a_repair_that_was_only_planned_when_the_backup_was_made_is_found_in_the_batch_that_sent_it(
    new_world: NewWorld,
) -> None:
    world = new_world(
        script=SCRIPT, faults=[Fault(call="upload", error=Transient("busy"), number=2)]
    )
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: len(world.batches()) == 2)
    backup = back_up(world)
    world.api().cancel("reviews")
    world.run()
    world.submit()
    world.run()
    restore(world, backup)
    assert became(recover(world)) == ["known", "collected"]
    finish(world)
    assert world.answers() == dict.fromkeys(("i0", "i1", "i2"), '{"stars":4}')
    assert world.executions() == {1: 1, 2: 2, 3: 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "gpt-5.2"},
        {"max_output_tokens": 900},
        {"max_output_tokens": 900, "repair": {"attempts": 1}},
        {"model": "gpt-5.2", "repair": {"attempts": 1, "model": "gpt-4.1-mini"}},
    ],
    ids=["model", "cap", "cap and repairs", "model and repairs"],
)
def test_answers_of_the_job_as_it_was_are_no_answers_of_what_it_asks_now(
    new_world: NewWorld, changes: JsonObject
) -> None:
    world = new_world(script=SCRIPT)
    world.write(items(2), schema=SCHEMA)
    world.submit()
    world.run()
    lose_home(world)
    world.write(items(2), **{"schema": SCHEMA, **changes})
    assert became(recover(world)) == ["unclaimed"]
    assert world.tally() == {"pending": 2}


def steps(folder: Path, count: int) -> int:
    """What SQLite does to tell that of so many requests without an id none is a follow-up of any item's."""
    folder.mkdir()
    world = World(folder)
    world.write(texts(*(f"text {n}" for n in range(count))))
    world.submit(send=False)
    job = world.rows("select id from jobs")[0]["id"]
    sent = folder / "sent.jsonl"
    (file,) = world.home.requests.glob("*.jsonl")
    sent.write_bytes(file.read_bytes().replace(b"Review:", b"Judged:"))
    done = [0]
    with world.ledger() as ledger:
        matcher = Matcher(ledger)
        matcher.load(read_requests(sent))
        assert matcher.match(job).others == count
        ledger.connection.set_progress_handler(lambda: done.append(0), 100)
        assert matcher.match_follow_ups(job, sent, None, at=0).others == count
        ledger.connection.set_progress_handler(None, 0)
    world.close()
    return len(done)


def test_the_work_grows_with_the_requests_and_not_with_their_square(tmp_path: Path) -> None:
    assert steps(tmp_path / "many", 800) < 8 * steps(tmp_path / "few", 200)


def tail(**body: object) -> bytes:
    return msgspec.json.encode({"method": "POST", "url": "/v1/responses", "body": body})[1:]


FIRST = {"model": "a", "input": "hi", "max_output_tokens": 9, "text": {"verbosity": "low"}}
SAID = [{"role": "user", "content": "hi"}]
MORE = [
    {"role": "assistant", "content": "x"},
    {"role": "user", "content": "This answer cannot be used: it is x"},
]
WANTED = RepairSettings(attempts=2, model="b", max_output_tokens=40)


@pytest.mark.parametrize(
    ("later", "does"),
    [
        ({**FIRST, "input": SAID + MORE}, True),
        ({**FIRST, "input": SAID + MORE + MORE}, True),
        ({**FIRST, "input": SAID + MORE, "model": "b", "max_output_tokens": 40}, True),
        ({**FIRST, "max_output_tokens": 18}, True),
        ({**FIRST, "max_output_tokens": 41}, False),
        ({**FIRST, "max_output_tokens": 8}, False),
        ({**FIRST, "input": SAID + MORE, "model": "c"}, False),
        ({**FIRST, "model": "b"}, False),
        ({**FIRST, "input": MORE}, False),
        ({**FIRST, "input": SAID + SAID + SAID}, False),
        ({**FIRST, "input": SAID + MORE, "text": {}}, False),
        ({**FIRST, "input": "hi there"}, False),
    ],
)
def test_what_carries_on_a_request(later: JsonObject, *, does: bool) -> None:
    first, follow_up = said_in(tail(**FIRST)), said_in(tail(**later))
    assert first is not None
    assert follow_up is not None
    found = first.stages[-1] in follow_up.stages and may_go_on(WANTED, first, follow_up)
    assert found is does


@pytest.mark.parametrize("is_longer", [True, False])
def test_a_model_that_had_to_call_a_function_need_not_do_so_again(*, is_longer: bool) -> None:
    called = [
        {"type": "function_call", "call_id": "c", "name": "stock", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
    ]
    first = said_in(tail(**FIRST, tool_choice="required"))
    more = {**FIRST, "input": SAID + called} if is_longer else FIRST
    later = said_in(tail(**more, tool_choice="auto"))
    assert first is not None
    assert later is not None
    assert first.stages[-1] in later.stages
    assert may_go_on(None, first, later) is is_longer


@pytest.mark.parametrize("damaged", [b'"method"', b'"url":"/v9","body":{}}', b'"body":{}}'])
def test_what_is_no_request_carries_on_nothing(damaged: bytes) -> None:
    assert said_in(damaged) is None
