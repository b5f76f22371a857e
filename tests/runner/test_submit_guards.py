"""What a submit refuses before it costs anything: repeated ids, many answers asked again, vanished items, another file's job."""

import pytest
from runnerkit import World, items, texts

from batchrun.errors import GuardError, JobFileError


def done(world: World, count: int = 4) -> None:
    """`count` items, answered."""
    world.write(items(count))
    world.submit()
    world.run()


def test_a_duplicate_id_is_refused_with_the_line_where_it_stood_first(world: World) -> None:
    world.write([*items(3), {"id": "i1", "text": "again"}])
    error = world.submit().error
    assert isinstance(error, JobFileError)
    assert str(error).endswith(
        """reviews.jsonl:5: duplicate id 'i1' (first on line 3). Give each item its own "id"."""
    )
    assert world.rows("select * from item_rows") == []
    assert world.rows("select * from jobs") == []


def test_duplicates_are_found_across_blocks_and_all_are_named(world: World) -> None:
    rows = items(5_000)
    rows[4_000]["id"], rows[4_999]["id"] = "i7", "i8"
    world.write(rows)
    error = world.submit().error
    assert isinstance(error, JobFileError)
    assert [(p.line, p.what) for p in error.problems] == [
        (4_002, "duplicate id 'i7' (first on line 9)"),
        (5_001, "duplicate id 'i8' (first on line 10)"),
    ]


def test_a_duplicate_in_a_second_submission_changes_nothing(world: World) -> None:
    done(world)
    world.write(
        [
            *items(4),
            {"id": "new", "text": "x"},
            {"id": "i1", "text": "y"},
            {"id": "new", "text": "z"},
        ]
    )
    error = world.submit().error
    assert isinstance(error, JobFileError)
    assert len(error.problems) == 2
    assert world.tally() == {"succeeded": 4}


def test_asking_many_answered_items_again_needs_reask(world: World) -> None:
    done(world, 200)
    world.write(items(200), prompt="Other: {{ text }}")
    error = world.submit().error
    assert isinstance(error, GuardError)
    assert "200 answered items would be asked again" in str(error)
    assert world.tally() == {"succeeded": 200}
    assert world.submit(reask=True).error is None
    world.run()
    assert world.answers()["i0"] == "Other: text 0"


def test_a_hundred_answered_items_may_be_asked_again(world: World) -> None:
    done(world, 100)
    world.write(items(100), prompt="Other: {{ text }}")
    assert world.submit().error is None


@pytest.mark.parametrize("is_dry_run", [True, False])
def test_changing_many_items_in_flight_needs_reask(world: World, is_dry_run: bool) -> None:
    world.write(items(200))
    world.submit()
    world.write(items(200), prompt="Other: {{ text }}")
    error = world.submit(is_dry_run=is_dry_run).error
    assert isinstance(error, GuardError)
    assert "200 items in flight would be paid and not used, and asked again" in str(error)
    assert "--reask" in str(error)
    world.run()
    assert set(world.executions().values()) == {1}
    assert world.answers()["i0"] == "Review: text 0"


def test_what_is_in_flight_and_not_used_is_counted_apart(world: World) -> None:
    world.write(items(200))
    world.submit()
    world.write(items(200), prompt="Other: {{ text }}")
    tally = world.submit(reask=True).tally
    assert tally is not None
    assert (tally.changed, tally.reasked, tally.superseded) == (200, 0, 200)
    world.write(items(200), prompt="Third: {{ text }}")
    tally = world.submit().tally
    assert tally is not None, "the answers on their way are lost already: this costs nothing more"
    assert (tally.changed, tally.superseded) == (200, 0)
    world.run()
    assert world.answers()["i0"] == "Third: text 0"
    assert set(world.executions().values()) == {2}


def test_answered_items_and_those_in_flight_are_guarded_together(world: World) -> None:
    done(world, 60)
    world.write(items(120))
    world.submit()
    world.write(items(120), prompt="Other: {{ text }}")
    error = world.submit().error
    assert isinstance(error, GuardError)
    assert "60 answered items would be asked again (and paid again)" in str(error)
    assert "60 items in flight would be paid and not used" in str(error)


def test_a_hundred_items_in_flight_or_a_fifth_of_them_may_change(world: World) -> None:
    world.write(items(600))
    world.submit()
    rows = items(600)
    for row in rows[:120]:
        row["text"] = "other"
    world.write(rows)
    tally = world.submit().tally
    assert tally is not None
    assert tally.superseded == 120


def test_a_cancelled_job_may_change_while_its_batches_end(world: World) -> None:
    world.write(items(200))
    world.submit()
    world.api().cancel("reviews")
    world.write(items(200), prompt="Other: {{ text }}")
    tally = world.submit().tally
    assert tally is not None, "what is being cancelled is given up already"
    assert (tally.changed, tally.superseded) == (200, 0)


def test_new_only_uses_the_new_prompt_for_new_items_only(world: World) -> None:
    done(world, 120)
    world.write(items(122), prompt="Other: {{ text }}", max_new=2)
    prepared = world.submit(new_only=True)
    assert prepared.error is None, "what is not asked again does not count as new"
    world.run()
    answers = world.answers()
    assert (answers["i0"], answers["i121"]) == ("Review: text 0", "Other: text 121")
    assert set(world.executions().values()) == {1}


def test_new_only_asks_those_whose_data_changed_and_is_remembered(world: World) -> None:
    done(world, 120)
    world.write([{"id": "i0", "text": "new"}, *items(120)[1:]], prompt="Other: {{ text }}")
    tally = world.submit(new_only=True).tally
    assert tally is not None
    assert (tally.changed, tally.kept) == (1, 119)
    world.run()
    answers = world.answers()
    assert (answers["i0"], answers["i1"]) == ("Other: new", "Review: text 1")
    later = world.submit().tally
    assert later is not None
    assert (later.unchanged, later.changed) == (120, 0)


def test_a_dry_run_is_refused_as_the_submit_would_be(world: World) -> None:
    done(world, 200)
    world.write(items(200), prompt="Other: {{ text }}")
    assert isinstance(world.submit(is_dry_run=True).error, GuardError)
    world.write(items(200), max_new=9, prompt="Other: {{ text }}")
    assert isinstance(world.submit(is_dry_run=True, reask=True).error, GuardError)


def test_new_only_leaves_what_is_in_flight_alone(world: World) -> None:
    world.write(items(130))
    world.submit()
    world.write(items(131), prompt="Other: {{ text }}")
    assert world.submit(new_only=True).error is None
    world.run()
    assert set(world.executions().values()) == {1}


def test_more_than_half_vanishing_needs_allow_missing(world: World) -> None:
    done(world, 10)
    world.write(items(10)[:4])
    error = world.submit().error
    assert isinstance(error, JobFileError)
    assert "6 of 10 items of job 'reviews' are gone" in str(error)
    assert len(world.states()) == 10
    assert world.submit(allow_missing=True).error is None
    assert len(world.states()) == 4


def test_max_new_stops_a_wrong_file(world: World) -> None:
    world.write(items(10), max_new=9)
    error = world.submit().error
    assert isinstance(error, GuardError)
    assert "10 items would be queued, and 'max_new' allows 9" in str(error)
    assert world.rows("select * from jobs") == []


def test_bad_items_within_their_number_become_failures(world: World) -> None:
    rows = items(3)
    del rows[1]["text"]
    world.write(rows, bad_items=1)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2, "failed": 1}
    assert world.failures() == {"i1": "bad_item"}
    world.write(items(3), bad_items=1)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_more_than_a_thousand_allowed_bad_items_are_all_kept(world: World) -> None:
    rows = items(1_500)
    for row in rows[:1_200]:
        del row["text"]
    world.write(rows, bad_items=1_400)
    world.submit(send=False)
    assert world.tally() == {"pending": 300, "failed": 1_200}


def test_one_bad_item_too_many_stops_the_job(world: World) -> None:
    rows = items(4)
    del rows[1]["text"], rows[3]["text"]
    world.write(rows, bad_items=1)
    error = world.submit().error
    assert isinstance(error, JobFileError)
    assert [p.line for p in error.problems] == [3, 5]
    assert world.rows("select * from item_rows") == []


def test_a_refused_confirmation_sends_nothing(world: World) -> None:
    world.write(items(2))
    assert isinstance(world.submit(confirm=lambda _: False).error, GuardError)
    assert world.rows("select * from jobs") == []


def _trace(world: World) -> dict[str, object]:
    tables = [r["name"] for r in world.rows("select name from sqlite_schema where type = 'table'")]
    spool = sorted(str(p) for p in (world.home.path / "spool").rglob("*"))
    return {"spool": spool, **{t: world.rows(f"select * from {t}") for t in tables}}


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_dry_run_leaves_no_trace(world: World, with_ids: bool) -> None:
    rows = items(4) if with_ids else texts("a", "b", "c", "d")
    world.write(rows)
    world.submit()
    world.run()
    before = _trace(world)
    world.write(
        [
            {"id": "new", "text": "x"} if with_ids else {"text": "x"},
            *rows[:3],
            rows[3] | {"text": "y"},
        ]
    )
    tally = world.submit(is_dry_run=True).tally
    assert tally is not None
    assert tally.new >= 1
    assert _trace(world) == before


def test_a_dry_run_of_a_new_job_leaves_no_trace(world: World) -> None:
    world.write(items(4))
    tally = world.submit(is_dry_run=True).tally
    assert tally is not None
    assert tally.new == 4
    assert world.rows("select * from jobs union all select * from jobs") == []
    assert list(world.home.requests.iterdir()) == []


def test_a_job_belongs_to_the_file_that_first_submitted_it(world: World) -> None:
    done(world)
    other = world.write(items(4), world.folder / "other.jsonl")
    error = world.submit(other).error
    assert isinstance(error, JobFileError)
    assert f"job 'reviews' belongs to {world.job_file}" in str(error)
    assert world.submit(other, replace=True).error is None
    assert isinstance(world.submit().error, JobFileError), "it has moved"


def test_fresh_starts_over_and_keeps_the_old_job_under_another_name(world: World) -> None:
    done(world)
    world.write(items(2))
    assert world.submit(fresh=True).error is None
    world.run()
    old, new = [row["name"] for row in world.rows("select name from jobs order by id")]
    assert new == "reviews"
    assert old.startswith("reviews~2026-09-21T14")
    assert len(world.rows("select * from results where job = ?", old)) == 4
    assert len(world.rows("select * from results where job = ?", new)) == 2


def test_a_fresh_submission_that_fails_leaves_the_old_job_as_it_is(world: World) -> None:
    done(world)
    world.write([*items(2), {"id": "i0", "text": "twice"}])
    assert isinstance(world.submit(fresh=True).error, JobFileError)
    assert [row["name"] for row in world.rows("select name from jobs")] == ["reviews"]


def test_a_job_can_start_over_twice_within_a_second(world: World) -> None:
    done(world)
    for _ in range(3):
        assert world.submit(fresh=True, send=False).error is None
    assert len({row["name"] for row in world.rows("select name from jobs")}) == 4
