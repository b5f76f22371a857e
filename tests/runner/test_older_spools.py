"""An older ledger beside a newer spool: a number is given out twice, and no answer of its first life is taken for one of its second."""

from pathlib import Path

import pytest
from runnerkit import World, items
from test_look_first import back_up, restore

from batchrun.errors import LedgerError
from batchrun.recovery.recovering import RecoverOptions


def changed(count: int = 3) -> list[dict[str, str]]:
    return [{"id": f"i{n}", "text": f"changed {n}"} for n in range(count)]


def spool_of(world: World) -> dict[str, bytes]:
    """What lies in the spool, by folder and name."""
    spool = world.home.requests.parent
    return {
        str(path.relative_to(spool)): path.read_bytes()
        for path in spool.rglob("*")
        if path.is_file()
    }


def aside(world: World) -> dict[str, bytes]:
    """What was moved aside, by folder and name."""
    return {
        str(Path(*path.relative_to(world.home.path).parts[1:])): path.read_bytes()
        for path in world.home.path.glob("spool-of-lost-ledger-*/*/*")
    }


def lived(world: World) -> bytes:
    """Items queued, a backup of that, then answered; returns the backup."""
    world.write(items(3))
    world.submit(send=False)
    backup = back_up(world)
    world.run()
    return backup


@pytest.mark.fault(34)
def test_a_batch_that_takes_a_number_of_a_newer_life_is_settled_by_its_own_answers(
    world: World,
) -> None:
    restore(world, lived(world))
    world.write(changed())
    world.clock.advance(300)
    world.submit()
    world.api().recover([world.job_file], RecoverOptions())
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}
    answers = world.answers()
    assert all("changed" in str(answer) for answer in answers.values()), answers


@pytest.mark.fault(34)
def test_the_spool_of_a_newer_life_is_moved_aside_by_the_first_command_and_kept_whole(
    world: World,
) -> None:
    backup = lived(world)
    before = spool_of(world)
    result = world.home.result_file(1, 0).read_bytes()
    others = {
        "results/1-error.suspect.jsonl": b"damaged\n",
        "requests/7.jsonl": b"another life's\n",
        "fields/9.jsonl": b"[1,{}]\n",
    }
    for name, content in others.items():
        path = world.home.requests.parent / name
        path.write_bytes(content)
        path.chmod(0o600)
    restore(world, backup)
    world.clock.advance(300)
    world.submit(send=False)
    assert aside(world) == {"results/1-output.jsonl": result, **others}
    assert spool_of(world) == {
        name: content for name, content in before.items() if not name.startswith("results/")
    }


def test_a_dead_submission_of_an_older_ledger_takes_no_file_of_the_newer_life_with_it(
    world: World,
) -> None:
    backup = lived(world)
    world.write([*items(3), {"id": "later", "text": "asked in the newer life"}])
    world.submit()
    newer = world.home.request_file(2).read_bytes()
    restore(world, backup)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("insert into submissions (job, state, at, first_item) values (1, 0, 0, 4)")
    world.clock.advance(300)
    world.tick()
    assert world.rows("select id from submissions where state = 0") == []
    assert aside(world)["requests/2.jsonl"] == newer


def test_nothing_is_moved_where_the_ledger_is_the_newest(world: World) -> None:
    lived(world)
    before = spool_of(world)
    world.tick()
    world.write(changed())
    world.submit()
    assert before.items() <= spool_of(world).items()
    world.run()
    assert aside(world) == {}


@pytest.mark.fault(34)
def test_a_ledger_that_is_gone_is_not_begun_anew_beside_what_it_got_back(world: World) -> None:
    lived(world)
    for path in world.home.requests.iterdir():
        path.unlink()
    world.home.database.unlink()
    with pytest.raises(LedgerError, match="or got back"):
        world.submit()
