"""Calls that nobody can run yet, are not wanted any more, or are forgotten."""

from typing import Any

from callingkit import TOOLS, Model, call, calling, lend, ran
from runnerkit import NewWorld, World, items

from batchrun.errors import JobFileError
from batchrun.service.responders.script import Rule

STOCK = call("stock", {"article": "lamp", "shop": None})


def called(new_world: NewWorld, model: Model, **changes: Any) -> World:
    """A world whose one item waits for a call, and whose passes have no functions."""
    world = new_world(script=model)
    lend(world)
    world.write(items(1), **{"rounds": 2, **changes})
    assert world.submit().error is None
    world.lent = {}
    world.run()
    return world


def test_without_functions_calls_wait_and_say_for_what(new_world: NewWorld) -> None:
    world = called(new_world, Model(calling(STOCK), "4"))
    (job,) = world.api().status()
    assert (job.open_calls, job.is_open, job.exit_code) == (1, True, 4)
    assert job.waiting == ("1 call waits for tools: batchrun tick --tools FILE",)
    result, is_done = world.api().wait()
    assert (result.next_at, is_done) == (None, False)
    assert not world.api().verify().broken
    assert not world.api().is_overdue(0)
    lend(world)
    assert world.api().tick() is not None
    assert ran() == ["lamp Lyon"]
    world.run()
    assert world.answers() == {"i0": "4"}


def test_a_file_that_is_broken_by_now_leaves_calls_open(new_world: NewWorld) -> None:
    world = called(new_world, Model(calling(STOCK), "4"))
    lend(world, "import json\nraise OSError('away')\n")
    result, is_done = world.api().wait()
    (problem,) = result.problems
    assert isinstance(problem, JobFileError)
    assert "tools.py:2: cannot be loaded: OSError: away" in str(problem)
    assert not is_done
    assert world.rows("select output from tool_calls") == [{"output": None}]


def test_functions_of_another_file_run_nothing_for_a_job(new_world: NewWorld) -> None:
    """One of the same name may do something else."""
    world = called(new_world, Model(calling(STOCK), "4"))
    for other in ("def other() -> int:\n    return 1\n", TOOLS.replace("shop has", "shop sells")):
        lend(world, other)
        result, is_done = world.api().wait()
        assert (result.next_at, is_done, ran()) == (None, False, [])
        (job,) = world.api().status()
        assert job.waiting == ("1 call waits for tools: batchrun tick --tools FILE",)
    lend(world)
    world.run()
    assert world.answers() == {"i0": "4"}


def test_a_call_that_waits_keeps_no_other_item_from_going_again(new_world: NewWorld) -> None:
    busy = Rule(status=500, message="out of order")
    model = Model(calling(STOCK), busy, "fine")
    world = called(new_world, model)
    other = world.write(items(1), world.folder / "other.jsonl", job="other")
    world.submit(other)
    world.run()
    assert world.rows("select count(*) as n from queue") == [{"n": 0}]
    assert len(model.asked) == 3
    (waiting, done) = world.api().status()
    assert (waiting.is_open, done.is_open) == (True, False)


def test_a_call_that_waits_keeps_no_cancelled_item_from_being_asked_again(
    new_world: NewWorld,
) -> None:
    world = called(new_world, Model(calling(STOCK), "fine"))
    other = world.write(items(1), world.folder / "other.jsonl", job="other")
    world.submit(other, send=False)
    world.api().cancel("other")
    world.submit(other)
    world.run()
    (waiting, done) = world.api().status()
    assert (waiting.is_open, done.counts["succeeded"]) == (True, 1)


def test_submit_runs_nothing(new_world: NewWorld) -> None:
    world = called(new_world, Model(calling(STOCK), "4"))
    lend(world)
    world.submit()
    assert ran() == []


def test_a_cancelled_item_runs_no_call_and_goes_on_from_it_when_it_is_wanted_again(
    new_world: NewWorld,
) -> None:
    model = Model(calling(STOCK), "4")
    world = called(new_world, model)
    world.api().cancel("reviews")
    lend(world)
    world.run()
    assert (world.states(), ran()) == ({"i0": "cancelled"}, [])
    world.submit()
    assert world.tick().next_at is not None
    world.run()
    assert ran() == ["lamp Lyon"]
    assert (world.answers(), len(model.asked)) == ({"i0": "4"}, 2)


def test_a_call_that_comes_after_the_cancel_is_not_run(new_world: NewWorld) -> None:
    world = new_world(script=Model(calling(STOCK), "4"))
    lend(world)
    world.write(items(1), rounds=2)
    world.submit()
    world.run_until(lambda: bool(world.remotes()))
    world.serve()
    world.api().cancel("reviews")
    world.run()
    assert (world.states(), ran()) == ({"i0": "cancelled"}, [])
    assert world.rows("select outcome, cause, output from result_rows") == [
        {"outcome": 4, "cause": "cancelled", "output": None}
    ]


def test_a_changed_item_begins_anew_and_its_call_is_not_run(new_world: NewWorld) -> None:
    model = Model(calling(STOCK), "new")
    world = called(new_world, model)
    lend(world)
    world.write([{"id": "i0", "text": "another"}], rounds=2)
    world.submit()
    world.run()
    assert (world.answers(), ran()) == ({"i0": "new"}, [])
    assert world.rows("select * from tool_calls") == []
    assert model.asked[1]["input"] == "Review: another"


def test_redo_begins_anew(new_world: NewWorld) -> None:
    model = Model(calling(STOCK), "4", "again")
    world = called(new_world, model)
    lend(world)
    world.run()
    world.api().retry("reviews", redo=True)
    assert world.rows("select * from tool_calls") == world.rows("select * from turns") == []
    world.run()
    assert model.asked[2] == model.asked[0]
    assert world.answers() == {"i0": "again"}


def test_calls_are_forgotten_with_their_item(new_world: NewWorld) -> None:
    secret = "Zanzibar-4711"
    first = call("stock", {"article": secret, "shop": None})
    world = called(new_world, Model(calling(first), "4"))
    lend(world, "def stock(article: str, shop: str = '') -> str:\n    return article + '!'\n")
    world.run()
    assert secret.encode() in world.home.database.read_bytes()
    world.api().forget("reviews", ["i0"])
    left = [
        p for p in world.home.path.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()
    ]
    assert left == []


def test_verify_misses_calls_and_finds_queued_items_that_wait_for_them(new_world: NewWorld) -> None:
    world = called(new_world, Model(calling(STOCK)))
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("insert into queue select id, job, 0 from item_rows")
    (broken,) = world.api().verify().broken
    assert broken.findings == ("item 1 is queued, and its calls are not all answered",)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("delete from queue")
        rows = ledger.execute("select * from tool_calls").fetchall()
        ledger.execute("delete from tool_calls")
    names = {one.name: one.findings for one in world.api().verify().broken}
    assert names == {
        "turns-follow-answers": (
            "item 1 goes on after its attempt 1, without the calls of that answer",
        ),
        "pending-will-be-sent": ("item 1 is pending, but nothing will send it",),
    }
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute(f"insert into tool_calls values ({','.join('?' * len(rows[0]))})", rows[0])


def test_verify_sees_an_item_that_nothing_sends_beside_one_that_waits_for_its_call(
    new_world: NewWorld,
) -> None:
    world = called(new_world, Model(calling(STOCK), Rule(status=500, message="out of order"), "ok"))
    other = world.write(items(1), world.folder / "other.jsonl", job="other")
    world.submit(other)
    world.run_until(lambda: bool(world.rows("select * from queue")))
    (queued,) = world.rows("select * from queue")
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("delete from queue")
    (broken,) = world.api().verify().broken
    assert broken.name == "pending-will-be-sent"
    assert broken.findings == ("item 2 is pending, but nothing will send it",)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("insert into queue values (?, ?, ?)", tuple(queued.values()))


def test_a_tired_pass_leaves_the_rest_to_the_next(new_world: NewWorld) -> None:
    calls = [call("stock", {"article": "x" * n, "shop": None}, f"c{n}") for n in range(3)]
    world = called(new_world, Model(calling(*calls), "done"))
    lend(world)
    result = world.api().tick(work_s=0)
    assert result is not None
    assert result.next_at == world.clock.now() + 1
    assert ran() == []
    world.run()
    assert len(ran()) == 3


def test_the_conversation_cannot_outgrow_a_request(new_world: NewWorld) -> None:
    many = [call("fill", {}, f"c{n}") for n in range(10)]
    model = Model(calling(*many), "done")
    world = new_world(script=model)
    lend(world, "def fill() -> str:\n    return 'x' * 999_000\n")
    world.write(items(1), rounds=1)
    world.submit()
    world.run()
    told = [one["output"] for one in model.asked[1]["input"][-10:]]
    assert [len(one) for one in told[:8]] == [999_000] * 8
    assert told[9].startswith("error: results so far 8,9")
