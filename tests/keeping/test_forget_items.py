"""`forget JOB ITEM`: one person's data out of every place of the home and its outputs; whom it takes, and whom it refuses."""

import contextlib
import json
import sqlite3

import pytest
from forgetkit import FIELDS, HERS, OTHERS, SHE, everywhere, forget, lives
from keepkit import CANARY, dies
from runnerkit import DAY_S, World

from batchrun.errors import LedgerError, NotFinished, UsageError
from batchrun.ledger import connection
from batchrun.ledger.connection import open_ledger


def test_nothing_of_an_item_is_left_in_any_byte_of_home_and_outputs(world: World) -> None:
    lives(world)
    assert len(everywhere(world)) > 8, "the life did leave traces"
    found = forget(world, SHE)
    assert (found.item_count, found.left, found.problems) == (1, (), ())
    assert everywhere(world) == []


def test_counts_and_money_stay(world: World) -> None:
    lives(world)
    before = json.loads(world.output("report.json"))
    forget(world, SHE)
    after = json.loads(world.output("report.json"))
    assert after["tokens"] == before["tokens"]
    assert after["attempts"] == before["attempts"]
    assert after["counts"]["items"] == before["counts"]["items"] - 1


def test_a_forgotten_item_that_is_submitted_again_is_new_and_has_another_number(
    world: World,
) -> None:
    world.write([*OTHERS, HERS])
    world.submit()
    world.run()
    forget(world, SHE)
    tally = world.submit().tally
    assert tally is not None
    assert (tally.new, tally.unchanged) == (1, 3)
    world.run()
    assert world.executions() == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}


def test_an_item_that_waits_in_a_fresh_file_is_never_sent(world: World) -> None:
    world.write([*OTHERS, HERS])
    world.submit(send=False)
    forget(world, SHE)
    assert everywhere(world) == []
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert sorted(world.executions()) == [1, 2, 3]


def test_an_item_without_an_id_is_forgotten_by_its_name(world: World) -> None:
    world.write([{"text": "one"}, {"text": CANARY}], output={"csv": True})
    world.submit()
    world.run()
    assert everywhere(world)
    assert forget(world, "reviews.jsonl:3").item_count == 1
    assert everywhere(world) == []


def test_an_item_that_could_not_be_read_is_forgotten_too(world: World) -> None:
    world.write([*OTHERS, {"id": SHE, "txt": "misspelt"}], bad_items=1)
    world.submit()
    world.run()
    (name,) = world.failures()
    assert forget(world, name).item_count == 1
    assert world.tally() == {"succeeded": 3}
    assert world.rows("select * from bad_items") == []


def test_an_item_that_went_bad_is_forgotten_with_what_it_was(world: World) -> None:
    lives(world)
    world.write([*OTHERS, {"id": SHE, "txt": "misspelt"}], bad_items=1)
    world.submit()
    world.run()
    assert world.failures() == {SHE: "bad_item"}
    assert forget(world, SHE).item_count == 2
    assert everywhere(world) == []
    assert world.rows("select * from bad_items") == []


def test_an_item_that_has_vanished_is_forgotten_too(world: World) -> None:
    lives(world)
    world.write(OTHERS, **FIELDS)
    world.submit()
    world.run()
    assert everywhere(world)
    forget(world, SHE)
    assert everywhere(world) == []


def test_items_in_flight_are_refused_with_the_command_that_cancels(world: World) -> None:
    world.write([*OTHERS, HERS])
    world.submit()
    with pytest.raises(NotFinished, match="batchrun cancel reviews@openai"):
        forget(world, SHE)
    world.run()
    assert world.tally() == {"succeeded": 4}


def test_an_unknown_item_is_refused_and_nothing_is_forgotten(world: World) -> None:
    lives(world)
    with pytest.raises(UsageError, match="has no item 'nobody': nothing was forgotten"):
        forget(world, SHE, "nobody")
    assert world.tally() == {"succeeded": 4}


def test_other_jobs_with_the_same_id_are_named(world: World) -> None:
    lives(world)
    world.submit(world.write([HERS], world.folder / "second.jsonl", job="second"))
    assert forget(world, SHE).also_in == ("second@openai",)


def test_a_dry_run_counts_and_changes_nothing(world: World) -> None:
    lives(world)
    before = everywhere(world)
    found = forget(world, SHE, is_dry_run=True)
    assert found.item_count == 1
    assert found.remote_left == 9, "four batches, one with an error file besides"
    assert everywhere(world) == before


def test_a_file_of_hers_that_somebody_edited_is_named_and_stays(world: World) -> None:
    lives(world)
    (path,) = (world.home.outputs / "reviews" / "files").glob(f"*{CANARY}*")
    path.write_text("edited")
    found = forget(world, SHE)
    assert len(found.left) == 1
    assert path.name in found.left[0]
    assert path.read_text() == "edited"


def test_what_sqlite_keeps_in_free_pages_and_in_the_wal_goes_too(world: World) -> None:
    lives(world)
    with contextlib.closing(sqlite3.connect(world.home.database)) as other:
        other.execute("pragma secure_delete = off")
        other.execute("insert into meta values ('big', ?)", (CANARY * 10_000,))
        other.commit()
        other.execute("delete from meta where key = 'big'")
        other.commit()
        # While any connection is open, SQLite keeps the WAL.
        forget(world, SHE)
        assert everywhere(world) == []


def test_words_of_the_service_and_of_ours_that_may_quote_it_are_removed(world: World) -> None:
    lives(world)
    with open_ledger(world.home) as ledger, ledger.transaction():
        quoted = json.dumps({"reason": CANARY})
        ledger.execute("update batch_rows set reason = ? where id = 2", (CANARY,))
        ledger.execute(
            "update batch_rows set remote = json_set(remote, '$.errors', ?) where id = 2", (CANARY,)
        )
        ledger.execute(
            "insert into incidents (at, job, batch, kind, message) values (1, 1, 2, 'strange', ?)",
            (CANARY,),
        )
        ledger.execute(
            "update events set detail = ? where id = (select max(id) from events where batch = 2)",
            (quoted,),
        )
    forget(world, SHE)
    assert everywhere(world) == []
    (row,) = world.rows(
        "select json_extract(remote, '$.status') as status from batch_rows where id = 2"
    )
    assert row["status"] == "completed", "what no person said stays"


def test_copies_of_the_ledger_are_removed(world: World) -> None:
    lives(world)
    copy = world.home.path / "batchrun-before-schema-2.db"
    copy.write_bytes(world.home.database.read_bytes())
    copy.chmod(0o600)
    forget(world, SHE)
    assert not copy.exists()


def test_a_reader_that_holds_the_wal_makes_it_unfinished_and_the_next_finishes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0)
    lives(world)
    with contextlib.closing(sqlite3.connect(world.home.database)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from jobs").fetchone()
        with pytest.raises(LedgerError, match="another process reads the ledger"):
            forget(world, SHE)
    world.api().forget()
    assert everywhere(world) == []


@pytest.mark.parametrize("again", [(SHE,), ()], ids=["same words", "no words"])
def test_one_that_is_killed_is_finished_by_running_it_again(
    world: World, again: tuple[str, ...]
) -> None:
    lives(world)
    kill = 1
    while SHE in world.states():
        assert dies(world, lambda: forget(world, SHE), kill)
        kill += 1
    assert everywhere(world), "the first phase is done, the second is not"
    world.api().forget("reviews" if again else None, again)
    assert everywhere(world) == []


def test_killed_at_any_effect_it_is_finished_by_the_next(world: World) -> None:
    kill = 1
    while True:
        world.write([*OTHERS, {**HERS, "round": kill}], **FIELDS)
        world.submit()
        world.run()
        died = dies(world, lambda: forget(world, SHE), kill)
        if SHE in world.states():
            forget(world, SHE)
        else:
            world.api().forget()
        assert everywhere(world) == [], f"killed at effect {kill}"
        if not died:
            break
        kill += 1
    assert kill > 12
    assert set(world.states()) == {"i0", "i1", "i2"}


def test_only_items_that_are_old_and_no_longer_submitted_are_forgotten_by_age(
    world: World,
) -> None:
    lives(world)
    world.clock.sleep_until(world.clock.now() + 30 * DAY_S)
    world.write(OTHERS, **FIELDS)
    world.submit()
    world.run()
    assert forget(world, older_than_s=31 * DAY_S).item_count == 0
    assert forget(world, older_than_s=30 * DAY_S - 7_200).item_count == 1
    assert set(world.states()) == {"i0", "i1", "i2"}
    assert everywhere(world) == []


def test_open_items_are_left_alone_by_age(world: World) -> None:
    world.write([*OTHERS, HERS])
    world.submit()
    world.clock.sleep_until(world.clock.now() + DAY_S)
    found = forget(world, older_than_s=3_600)
    assert (found.item_count, found.open_count) == (0, 4)
