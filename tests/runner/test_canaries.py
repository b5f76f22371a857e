"""A job with a canary: a few items go first, and the rest when they came out well."""

from typing import Any

import pytest
from runnerkit import NewWorld, World, items

from batchrun.errors import Ambiguous, Transient
from batchrun.planning.canary import Verdict, judge
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault
from batchrun.verifying.verify import verify

CANARY = {"items": 4, "max_failed": 0.25, "max_truncated": 0.25}
BAD = Rule(prompt="bad", status=400, code="invalid_value", message="no such thing")


def begun(world: World, count: int = 10, **changes: Any) -> World:
    """A job of `count` items with a canary of four, submitted."""
    world.write(items(count), **{"canary": CANARY, **changes})
    prepared = world.submit()
    assert prepared.error is None
    return world


def failed(new_world: NewWorld) -> World:
    """A job whose prompt is bad for all."""
    world = begun(new_world(script=[BAD]), prompt="bad {{ text }}")
    world.run()
    assert world.tally() == {"failed": 4, "pending": 6}
    return world


def sizes(world: World) -> list[int]:
    """How many requests each batch at the far end has, in their order."""
    return [remote["request_counts"]["total"] for remote in world.remotes()]


def test_the_first_items_go_alone_and_the_rest_when_they_are_answered(world: World) -> None:
    begun(world)
    assert [b["request_count"] for b in world.batches()] == [4]
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [4, 6]


def test_the_verdict_is_taken_of_each_model_together(world: World) -> None:
    mixed = [{**item, "model": f"gpt-{n % 2}"} for n, item in enumerate(items(20))]
    world.write(mixed, model=None, canary=CANARY)
    prepared = world.submit()
    assert prepared.error is None
    assert prepared.tally is not None
    assert prepared.tally.canary == 8
    world.run()
    assert sizes(world) == [4, 4, 6, 6]


def test_where_all_would_go_first_nothing_is_said_to(world: World) -> None:
    mixed = [{**item, "model": f"gpt-{n % 2}"} for n, item in enumerate(items(6))]
    world.write(mixed, model=None, canary=CANARY)
    tally = world.submit().tally
    assert tally is not None
    assert tally.canary == 0
    world.run()
    assert sizes(world) == [3, 3]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_no_more_items_than_that_need_no_canary(world: World, count: int) -> None:
    begun(world, count)
    world.run()
    assert sizes(world) == [count]
    assert world.rows("select * from canaries") == []


def test_a_canary_that_fails_stops_the_rest_and_says_why(new_world: NewWorld) -> None:
    world = failed(new_world)
    (job,) = world.api().status()
    assert job.paused is not None
    assert job.paused.startswith(
        "canary: 4 of 4 items failed (4 bad_request; at most 25 % may). The rest is not sent."
    )
    assert job.waiting == (job.paused,)
    assert job.exit_code == 8
    assert world.tick_moment() is None


def test_wait_does_not_wait_for_a_canary_that_failed(new_world: NewWorld) -> None:
    world = failed(new_world)
    began = world.clock.now()
    world.api().wait()
    assert world.clock.now() == began


def test_resume_sends_the_rest_as_it_is_and_says_what_it_was(new_world: NewWorld) -> None:
    world = failed(new_world)
    resumed = world.api().resume("reviews")
    assert resumed.paused is not None
    assert resumed.paused.startswith("canary: 4 of 4 items failed")
    world.run()
    assert world.tally() == {"failed": 10}
    assert sizes(world) == [4, 6]


def test_resume_says_what_batchrun_paused_a_job_for_before_its_canary_failed(
    new_world: NewWorld,
) -> None:
    world = failed(new_world)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'no credit'")
    assert world.api().resume("reviews").paused == "no credit"
    assert world.api().resume("reviews").paused is None


def test_a_resume_of_a_held_job_skips_no_canary_that_is_out(new_world: NewWorld) -> None:
    world = begun(new_world(script=[BAD]), prompt="bad {{ text }}")
    world.api().hold("reviews")
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"failed": 4, "pending": 6}


def test_a_corrected_job_line_begins_with_a_new_canary(new_world: NewWorld) -> None:
    world = failed(new_world)
    begun(world)
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [4, 4, 6]
    assert sorted(world.executions().values()) == [1] * 6 + [2] * 4


def test_the_unchanged_job_submitted_again_opens_nothing_and_new_items_wait_too(
    new_world: NewWorld,
) -> None:
    world = failed(new_world)
    begun(world, 15, prompt="bad {{ text }}")
    world.run()
    assert world.tally() == {"failed": 4, "pending": 11}
    (job,) = world.api().status()
    assert job.exit_code == 8


def test_corrected_items_of_the_canary_are_asked_again_and_judged_anew(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[BAD])
    wrong = [{**item, "text": f"bad {item['id']}"} for item in items(2)]
    world.write([*wrong, *items(10)[2:]], canary=CANARY)
    world.submit()
    world.run()
    assert world.tally() == {"failed": 2, "succeeded": 2, "pending": 6}
    begun(world)
    assert world.tally() == {"succeeded": 2, "in_flight": 2, "pending": 6}
    world.run()
    assert world.tally() == {"succeeded": 10}


def test_an_item_of_the_canary_that_changes_before_it_was_sent_still_goes_first(
    world: World,
) -> None:
    world.write(items(10), canary=CANARY)
    world.submit(send=False)
    world.write([*items(3), {"id": "i3", "text": "other"}, *items(10)[4:]], canary=CANARY)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sorted(sizes(world)) == [4, 6]


def test_a_retry_of_the_failed_items_is_judged_before_the_rest_goes(new_world: NewWorld) -> None:
    script = [Rule(prompt=f"text {n}", times=1, status=400) for n in range(4)]
    world = begun(new_world(script=script))
    world.run()
    assert world.tally() == {"failed": 4, "pending": 6}
    world.api().retry("reviews")
    world.tick()
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [4, 4, 6]


def test_an_asking_that_has_passed_waits_no_more(world: World) -> None:
    begun(world)
    world.run()
    begun(world, 30, window="24h", attempts=5, note="more of it")
    assert world.tally() == {"succeeded": 10, "in_flight": 20}
    world.run()
    assert sizes(world) == [4, 6, 20]


@pytest.mark.parametrize(
    "change", [{"prompt": "Other: {{ text }}"}, {"body": {"temperature": 0}}, {"model": "gpt-5.2"}]
)
def test_a_changed_asking_is_tried_first(world: World, change: dict[str, Any]) -> None:
    begun(world)
    world.run()
    begun(world, **change)
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert sizes(world) == [4, 6, 4, 6]


def test_a_job_line_without_the_key_sends_everything(new_world: NewWorld) -> None:
    world = failed(new_world)
    begun(world, prompt="bad {{ text }}", canary=None)
    world.run()
    assert world.tally() == {"failed": 10}


def test_a_failure_of_the_service_is_undecided_until_it_is_asked_again(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt=f"text {n}", times=1, status=500) for n in range(3)])
    begun(world)
    world.run_until(lambda: "succeeded" in world.tally())
    assert world.tally() == {"succeeded": 1, "pending": 9}
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [4, 3, 6]


def test_the_rest_goes_while_undecided_ones_cannot_turn_the_verdict(new_world: NewWorld) -> None:
    world = begun(new_world(script=[Rule(prompt="text 0", times=1, status=500)]))
    world.run_until(lambda: len(world.batches()) > 1)
    assert world.tally() == {"succeeded": 3, "in_flight": 6, "pending": 1}
    world.run()
    assert world.tally() == {"succeeded": 10}


def test_cut_answers_have_a_limit_of_their_own(new_world: NewWorld) -> None:
    script = [
        Rule(prompt=f"text {n}", finish="length", reply="cut off he")  # type: ignore[arg-type]  # as in a script
        for n in range(2)
    ]
    world = begun(new_world(script=script), canary={**CANARY, "max_failed": 0})
    world.run()
    (job,) = world.api().status()
    assert job.paused is not None
    assert "2 of 4 answers were cut (at most 25 % may be)" in job.paused


def test_a_canary_that_is_cancelled_with_its_job_is_out_again_when_it_is_wanted_again(
    new_world: NewWorld,
) -> None:
    world = begun(new_world(faults=[Fault(call="upload", error=Transient("down"))]))
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 10}
    begun(world)
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert world.tally() == {"succeeded": 10}


def test_cancelled_items_of_a_canary_are_neither_waited_for_nor_counted(
    new_world: NewWorld,
) -> None:
    undecided = [Rule(prompt=f"text {n}", times=1, status=500) for n in (1, 2, 3)]
    world = begun(new_world(script=[Rule(prompt="text 0", times=1, status=400), *undecided]))
    world.run_until(lambda: "failed" in world.tally())
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"failed": 1, "cancelled": 9}
    world.api().retry("reviews")
    (job,) = world.api().status()
    assert job.waiting[0].startswith("canary: 1 items go first, 1 of them open")
    world.run()
    assert world.tally() == {"succeeded": 1, "cancelled": 9}
    assert world.rows("select 1 from canaries where settled_at is null") == []


def test_items_of_the_canary_that_are_gone_from_the_data_do_not_count(
    new_world: NewWorld,
) -> None:
    world = failed(new_world)
    world.write(items(10)[3:], canary=CANARY, prompt="bad {{ text }}")
    world.submit(allow_missing=True)
    world.run()
    (job,) = world.api().status()
    assert job.paused is not None
    assert "1 of 1 items failed" in job.paused


def test_where_all_of_the_canary_is_gone_others_go_first(new_world: NewWorld) -> None:
    world = failed(new_world)
    world.write(items(12)[4:], canary=CANARY, prompt="bad {{ text }}")
    world.submit(allow_missing=True)
    world.run()
    assert world.tally() == {"failed": 4, "pending": 4}
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"failed": 8}


def test_a_canary_that_was_forgotten_stops_the_rest_until_somebody_looks(
    new_world: NewWorld,
) -> None:
    world = failed(new_world)
    world.api().forget("reviews", ["i0", "i1", "i2", "i3"])
    world.run()
    (job,) = world.api().status()
    assert job.paused is not None
    assert "none of its items is left" in job.paused
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"failed": 6}


def test_what_is_in_flight_goes_first_where_everything_is(world: World) -> None:
    """All items change while they are in flight: nothing else is left that could go first."""
    world.write(items(10))
    world.submit()
    world.write(items(10), canary=CANARY, prompt="Other: {{ text }}")
    assert world.submit().error is None
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [10, 4, 6]


def test_items_that_waited_already_get_a_canary_when_the_key_comes(world: World) -> None:
    world.write(items(10))
    world.submit(send=False)
    begun(world)
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert sizes(world) == [4, 6]


def test_what_went_first_for_another_judging_waits_with_the_rest(new_world: NewWorld) -> None:
    """The requests are the same, so that those of the canary before still wait in a file of their own."""
    world = new_world(script=[Rule(reply="yes")])
    world.write(items(10), canary=CANARY, labels=["yes", "no"])
    world.submit(send=False)
    begun(world, 14, labels=["yes", "no"], repair={"attempts": 2})
    assert world.tally() == {"in_flight": 4, "pending": 10}
    world.run()
    assert sorted(sizes(world)) == [4, 4, 6]


def test_a_canary_in_doubt_is_found_and_judged(new_world: NewWorld) -> None:
    fault = Fault(call="create", error=Ambiguous("timeout"), when="after")
    world = begun(new_world(faults=[fault]))
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [4, 6]


def test_attached_items_go_first_too(world: World) -> None:
    (world.folder / "note.txt").write_text("a note")
    begun(world, attach="note.txt", endpoint="/v1/responses", model="gpt-5-mini")
    assert world.tally() == {"in_flight": 4, "pending": 6}
    world.run()
    assert world.tally() == {"succeeded": 10}
    assert sizes(world) == [4, 6]


def test_a_job_that_starts_over_is_tried_first(world: World) -> None:
    begun(world)
    world.run()
    world.submit(fresh=True)
    assert world.batches()[-1]["request_count"] == 4
    world.run()
    assert sizes(world) == [4, 6, 4, 6]


def test_an_item_of_a_canary_that_would_be_stranded_is_seen(world: World) -> None:
    world.write(items(10), canary=CANARY)
    world.submit(send=False)
    with world.ledger() as ledger:
        ledger.execute("update request_files set is_canary = 0")
        (broken,) = verify(ledger, is_quick=True).broken
        assert broken.findings[0] == (
            "item 1 goes before the rest of its job, but nothing will send it before that"
        )
        ledger.execute("update request_files set is_canary = 1 where id = 1")


def test_a_dry_run_says_what_would_go_first(world: World) -> None:
    world.write(items(10), canary=CANARY)
    tally = world.submit(is_dry_run=True).tally
    assert tally is not None
    assert tally.canary == 4
    (prepared,) = world.api().check([world.job_file])
    assert prepared.tally is not None
    assert prepared.tally.canary == 4


def test_nothing_of_a_canary_is_left_when_its_job_is_forgotten(new_world: NewWorld) -> None:
    world = failed(new_world)
    world.api().forget("reviews")
    assert world.rows("select * from canaries") == []
    assert world.rows("select * from canary_items") == []


def test_the_verdict_survives_a_kill_between_the_judging_and_the_sending(world: World) -> None:
    """It is read from the items: whoever comes next finds the same one."""
    from batchrun.ledger.canaries import canary_of

    begun(world)
    world.serve()
    world.clock.advance(60)
    world.api().hold("reviews")  # so that the pass collects, and judges, and sends nothing
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute(
            "create trigger no_release before update on canaries begin select raise(abort, 'killed'); end"
        )
    with pytest.raises(Exception, match="killed"):
        world.run()
    with world.ledger() as ledger:
        ledger.execute("drop trigger no_release")
        canary = canary_of(ledger, 1)
        assert canary is not None
        assert judge(canary) is Verdict.PASSED
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"succeeded": 10}
