"""Batches that other programs made: taken in whole, then collected, written out, explained and retried as any other."""

import json
from dataclasses import replace

import pytest
from adoptkit import adopt, became, line, lines, made_elsewhere, untouched, write
from recoverykit import back_up, restore
from runnerkit import NewWorld, World, items

from batchrun.errors import JobFileError, NotFound, Transient, UsageError
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def results(world: World, job: str = "theirs") -> dict[str, object]:
    text = (world.home.outputs / job / "results.jsonl").read_text()
    return {row["id"]: row["output"] for row in map(json.loads, text.splitlines())}


def calls(world: World) -> set[str]:
    return {
        call
        for call in world.backend.calls
        if call in {"create", "cancel", "delete_file", "upload"}
    }


def test_a_batch_that_has_ended_is_collected_at_once_and_its_outputs_are_written(
    world: World,
) -> None:
    remote = made_elsewhere(world, lines("a", "b", 'kö"x,\\'), purpose="eval")
    adopted = adopt(world, remote)
    assert became(adopted) == ["collected"]
    assert adopted.counts["succeeded"] == 3
    assert results(world) == {"a": "about a", "b": "about b", 'kö"x,\\': 'about kö"x,\\'}
    assert world.run().next_at is None
    assert calls(world) == set()
    assert world.incidents() == []
    (row,) = world.batches()
    assert (row["name"], row["remote_id"], row["request_count"]) == ("collected", remote, 3)


def test_a_batch_that_runs_is_polled_and_collected_when_it_has_ended(world: World) -> None:
    remote = made_elsewhere(world, lines("a", "b"), serve=False)
    assert became(adopt(world, remote)) == ["in_flight"]
    assert world.tally() == {"in_flight": 2}
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert results(world) == {"a": "about a", "b": "about b"}
    assert calls(world) == set()


def test_the_life_of_an_adopted_item_can_be_explained(world: World) -> None:
    adopt(world, made_elsewhere(world, lines("9-1-b", "b")))
    told = world.api().explain("theirs", "9-1-b")
    (attempt,) = told.attempts
    assert attempt.custom_id == "9-1-b"
    assert told.request["body"]["input"] == "about 9-1-b"


def test_what_failed_is_retried_under_a_custom_id_of_ours(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="about b", status=400, times=1)])
    adopt(world, made_elsewhere(world, lines("a", "b", "c")))
    assert world.tally() == {"succeeded": 2, "failed": 1}
    assert world.api().retry("theirs") == 1
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.answers()["b"] == "about b"
    ours = [batch for batch in world.remotes() if "batchrun" in batch["metadata"]]
    assert [batch["request_counts"]["total"] for batch in ours] == [1]


def test_what_is_worth_another_attempt_goes_by_itself(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="about b", status=500, times=1)])
    adopt(world, made_elsewhere(world, lines("a", "b")))
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert world.charges()["b"] == 1
    assert len(world.remotes()) == 2


def test_the_file_submitted_later_finds_its_items_unchanged(world: World) -> None:
    rows = lines("a", "b", "c")
    adopt(world, made_elsewhere(world, rows))
    prepared = world.submit(write(world.folder / "theirs.jsonl", rows))
    assert prepared.error is None
    assert prepared.tally is not None
    assert (prepared.tally.unchanged, prepared.tally.new, prepared.tally.changed) == (3, 0, 0)
    world.run()
    assert len(world.remotes()) == 1


def test_a_batch_of_a_file_that_was_submitted_joins_its_job(world: World) -> None:
    path = write(world.folder / "night.jsonl", lines("a", "b"))
    world.submit(path)
    world.run()
    remote = made_elsewhere(world, lines("b", "c"))
    with pytest.raises(JobFileError, match=r"belongs to .*night.jsonl"):
        adopt(world, remote, job="night")
    write(path, lines("b", "c"))
    assert became(adopt(world, remote, job="night", inputs=[path])) == ["collected"]
    assert world.tally() == {"succeeded": 3}
    assert world.rows("select distinct source from jobs") == [{"source": str(path)}]


def test_adopting_twice_says_so_and_changes_nothing(world: World) -> None:
    remote = made_elsewhere(world, lines("a", "b"))
    adopt(world, remote)
    before = world.rows("select * from events")
    again = adopt(world, remote, remote)
    assert became(again) == ["known"]
    assert again.batches[0].note == "it is here already"
    assert adopt(world, remote, job="other").batches[0].note == "it is here already, in job theirs"
    assert world.rows("select * from events") == before


def test_of_two_answers_the_earliest_that_succeeded_counts(new_world: NewWorld) -> None:
    """The second batch is what a script had made of what failed, and of more."""
    world = new_world(
        script=[
            Rule(prompt="about b", status=400, times=1),
            Rule(prompt="about a", reply="first", times=1),
        ]
    )
    first = made_elsewhere(world, lines("a", "b"))
    second = made_elsewhere(world, lines("a", "b", "c"))
    adopted = adopt(world, second, first)
    assert [batch.remote_id for batch in adopted.batches] == [first, second]
    assert became(adopted) == ["collected", "collected"]
    assert world.answers() == {"a": "first", "b": "about b", "c": "about c"}
    assert world.incidents() == ["second_result", "usage_differs"]
    world.run()
    assert len(world.remotes()) == 2


def test_an_earlier_batch_that_runs_answers_what_a_later_one_did_not(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="about b", status=400, times=1)])
    later = made_elsewhere(world, lines("a", "b"))
    running = made_elsewhere(world, lines("a", "b"), serve=False)
    assert became(adopt(world, running, later)) == ["collected", "in_flight"]
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert len(world.remotes()) == 2


def test_a_batch_whose_requests_all_have_answers_is_noted_and_brings_nothing(world: World) -> None:
    adopt(world, made_elsewhere(world, lines("a", "b")))
    other = made_elsewhere(world, lines("b"))
    (batch,) = adopt(world, other).batches
    assert batch.note == "all that it asks was answered before"
    assert (
        adopt(world, other).batches[0].note == "it was looked at before, and settles nothing here"
    )
    assert len(world.batches()) == 1


def test_one_custom_id_that_asks_two_things_names_both_batches_and_adopts_nothing(
    world: World,
) -> None:
    first = made_elsewhere(world, lines("a", "b"))
    second = made_elsewhere(world, [line("b", "something else"), line("c")])
    with pytest.raises(
        JobFileError, match=rf"'b' asks something else in the batches {first} and {second}"
    ):
        adopt(world, first, second)
    assert untouched(world)
    adopt(world, first)
    with pytest.raises(JobFileError, match=rf"'b' asks .* in batch {second} .*\(batch {first}\)"):
        adopt(world, second)
    assert became(adopt(world, second, job="apart")) == ["collected"]


def test_two_batches_that_run_and_share_an_item_are_adopted_one_after_the_other(
    world: World,
) -> None:
    first = made_elsewhere(world, lines("a", "b"), serve=False)
    second = made_elsewhere(world, lines("b", "c"), serve=False)
    with pytest.raises(UsageError, match=f"both run, and both ask 'b'.* Adopt {first} now"):
        adopt(world, second, first)
    assert untouched(world)
    adopt(world, first)
    with pytest.raises(
        UsageError, match=rf"'b' of batch {second} is on its way in batch 1 \({first}\)"
    ):
        adopt(world, second)
    world.run()
    adopt(world, second)
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_an_input_that_is_gone_can_be_given(world: World) -> None:
    rows = lines("a", "b")
    remote = made_elsewhere(world, rows)
    (theirs,) = world.remotes()
    world.service.delete_file(str(theirs["input_file_id"]))
    with pytest.raises(UsageError, match=r"no longer has its input file .* --input FILE"):
        adopt(world, remote)
    short = write(world.folder / "short.jsonl", rows[:1])
    with pytest.raises(UsageError, match=r"has 2 requests, and .*short.jsonl has 1"):
        adopt(world, remote, inputs=[short])
    wrong = write(world.folder / "wrong.jsonl", lines("a", "c"))
    with pytest.raises(UsageError, match=r"has answered 'b', which .*wrong.jsonl does not ask"):
        adopt(world, remote, inputs=[wrong])
    with pytest.raises(UsageError, match="2 --input for 1 batches"):
        adopt(world, remote, inputs=[wrong, short])
    assert untouched(world)
    mine = write(world.folder / "mine.jsonl", rows)
    assert became(adopt(world, remote, inputs=[mine])) == ["collected"]


def test_batches_that_cannot_be_adopted_say_why(world: World) -> None:
    chat = line("x", url="/v1/chat/completions")
    chat["body"] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    other = made_elsewhere(world, [chat], endpoint="/v1/chat/completions")
    world.clock.advance(60)
    fine = made_elsewhere(world, lines("a"))
    failed = made_elsewhere(world, [line("a"), "no JSON"])
    ours = made_elsewhere(
        world, lines("a"), batchrun="br-0", batchrun_ledger="l-9", batchrun_job="q"
    )
    for ids, error, message in (
        (["batch_none"], NotFound, "does not know a batch 'batch_none'.* --backend"),
        ([failed], UsageError, "failed before any of it ran: .*batchrun submit FILE"),
        ([ours], UsageError, "of another home.*batchrun recover FILE --ledger l-9"),
        (
            [fine, other],
            UsageError,
            "asks /v1/responses, and job 'theirs' is of /v1/chat/completions",
        ),
    ):
        with pytest.raises(error, match=message):
            adopt(world, *ids)
        assert untouched(world)
    with pytest.raises(UsageError, match="--job 'a b'"):
        adopt(world, fine, job="a b")


def test_a_batch_of_this_very_home_is_here_already(world: World) -> None:
    world.write(items(2))
    world.submit()
    (remote,) = world.remotes()
    assert adopt(world, str(remote["id"])).batches[0].note == "it is here already, in job reviews"
    with pytest.raises(UsageError, match="job 'reviews' is no ready Batch file"):
        adopt(world, made_elsewhere(world, lines("a")), job="reviews")


def test_every_bad_line_of_an_input_file_is_told_with_its_place(world: World) -> None:
    remote = made_elsewhere(world, lines("a", "b", "c"))
    rows = [line("a"), {**line("b"), "method": "GET"}, {**line("c"), "body": 7}]
    bad = write(world.folder / "bad.jsonl", rows)
    with pytest.raises(JobFileError) as caught:
        adopt(world, remote, inputs=[bad])
    assert [(p.path, p.line) for p in caught.value.problems] == [(str(bad), 2), (str(bad), 3)]
    twice = write(world.folder / "twice.jsonl", lines("a", "b", "a"))
    with pytest.raises(JobFileError, match=r"twice.jsonl:3: 'a' stands on line 1 too"):
        adopt(world, remote, inputs=[twice])
    assert untouched(world)


def test_a_batch_that_is_refused_after_its_adoption_goes_again_as_it_was(world: World) -> None:
    remote = made_elsewhere(world, lines("a", "ü"), serve=False)
    adopt(world, remote)
    world.service.cancel_batch(remote)
    full = {"code": "token_limit_exceeded", "message": "no room", "line": None, "param": None}
    world.wire.edit = lambda b: replace(b, status="failed", errors=(full,)) if b.id == remote else b
    world.run()
    assert world.answers() == {"a": "about a", "ü": "about ü"}
    theirs, ours = world.remotes()
    assert (theirs["id"], ours["request_counts"]["completed"]) == (remote, 2)


def test_files_that_others_uploaded_are_not_deleted_with_those_of_ours(
    new_world: NewWorld,
) -> None:
    world = new_world(script=[Rule(prompt="about b", status=500, times=1)])
    (world.folder / "batchrun.toml").write_text("[profile.openai]\ndelete_remote = true\n")
    adopt(world, made_elsewhere(world, lines("a", "b")))
    world.run()
    theirs, ours = (batch["input_file_id"] for batch in world.remotes())
    assert world.embedded.get_file(str(theirs)).bytes
    with pytest.raises(NotFound):
        world.embedded.get_file(str(ours))


def test_forgetting_an_adopted_item_reaches_every_batch_that_answered_it(world: World) -> None:
    adopt(world, made_elsewhere(world, lines("secret", "b")))
    adopt(world, made_elsewhere(world, lines("secret", "c")))
    world.run()
    world.api().forget("theirs", ["secret"])
    kept = b"".join(
        p.read_bytes()
        for p in world.home.path.rglob("*")
        if p.is_file() and "wal" not in p.name and p.suffix == ".jsonl"
    )
    assert b"about b" in kept
    assert b"about secret" not in kept


def test_a_line_that_the_validator_names_is_not_looked_up_in_a_copy_with_other_lines(
    world: World,
) -> None:
    first = made_elsewhere(world, lines("a"))
    second = made_elsewhere(world, lines("a", "b", "c"), serve=False)
    adopt(world, first, second)
    world.service.cancel_batch(second)
    error = {"code": "invalid_request", "message": "odd", "line": 2, "param": None}
    world.wire.edit = lambda b: (
        replace(b, status="failed", errors=(error,)) if b.id == second else b
    )
    world.run()
    assert world.failures() == {"b": "rejected", "c": "rejected"}


def test_a_batch_that_cannot_be_settled_yet_holds_up_those_behind_it(world: World) -> None:
    first, second = (made_elsewhere(world, lines(name, "b")) for name in "ac")
    for number in (3, 4, 5):  # the two input files come first
        world.backend.add(Fault(call="download", error=Transient("away"), number=number))
    adopted = adopt(world, first, second)
    assert became(adopted) == ["waiting"]
    assert adopted.left == (second,)
    assert [str(problem) for problem in adopted.problems] == ["away"]
    assert "adopt" in (world.api().status()[0].paused or "")
    world.clock.advance(3_600)
    world.run()
    assert became(adopt(world, first, second)) == ["known", "collected"]
    assert world.tally() == {"succeeded": 3}
    assert world.api().status()[0].paused is None


def test_a_job_that_was_paused_before_stays_paused(world: World) -> None:
    adopt(world, made_elsewhere(world, lines("a")))
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'by somebody'")
    adopt(world, made_elsewhere(world, lines("b")), made_elsewhere(world, lines("c")))
    assert world.api().status()[0].paused == "by somebody"


def test_what_was_adopted_does_not_hide_that_this_ledger_is_an_older_one(world: World) -> None:
    """How far back a listing is read before something is bought: to what this ledger has sent, not to what others have."""
    world.write(items(2))
    world.submit(send=False)
    backup = back_up(world)
    world.submit()
    world.serve()
    world.clock.advance(86_400)
    made_elsewhere(world, lines("z"))
    world.clock.advance(2 * 86_400)
    restore(world, backup)
    adopt(world, made_elsewhere(world, lines("a")))
    created = world.backend.calls.count("create")
    world.wire.page_size = 1
    world.tick()
    assert world.backend.calls.count("create") == created
    assert world.rows("select 1 from holds")
