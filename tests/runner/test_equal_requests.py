"""Equal requests are asked once, and answered everywhere."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

import pytest
from callingkit import lend
from runnerkit import NewWorld, World, items

from batchrun.model import JsonObject
from batchrun.service.bodies import Finish
from batchrun.service.responders.script import Rule, ScriptedCall

ONE: Final = ("a", "a", "a", "a", "a", "a", "a", "a")


def saying(*values: str) -> list[JsonObject]:
    """Items i0, i1, … with these texts."""
    return [{"id": f"i{n}", "text": text} for n, text in enumerate(values)]


def asked(world: World) -> list[int]:
    """Items that were executed at the far end, as often as they were."""
    return sorted(item for item, times in world.executions().items() for _ in range(times))


def submitted(world: World, rows: Sequence[JsonObject], **changes: Any) -> World:
    """The world, with these items submitted and nothing run yet."""
    options = changes.pop("options", {})
    world.write(rows, **changes)
    prepared = world.submit(send=False, **options)
    assert prepared.error is None, prepared.error
    return world


def ran(world: World, *values: str, **changes: Any) -> World:
    """The same, run to its end."""
    submitted(world, saying(*values), **changes).run()
    return world


def line_of(world: World, key: str) -> JsonObject:
    found = [json.loads(line) for line in world.output("results.jsonl").splitlines()]
    return next(line for line in found if line["id"] == key)


def test_equal_requests_are_asked_once_and_answered_everywhere(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "b", "a", "c", "b", "a")
    assert asked(world) == [1, 2, 4]
    answers = world.answers()
    assert world.tally() == {"succeeded": 6}
    assert answers["i0"] == answers["i2"] == answers["i5"] != answers["i1"] == answers["i4"]


def test_where_nothing_is_equal_the_file_that_was_rendered_is_sent_as_it_is(
    new_world: NewWorld,
) -> None:
    world = submitted(new_world(), items(5))
    world.run()
    assert [row["kind"] for row in world.rows("select kind from request_files")] == [0]


def test_items_without_ids_are_asked_once_too(new_world: NewWorld) -> None:
    world = submitted(new_world(), [{"text": "a"}, {"text": "b"}, {"text": "a"}])
    world.run()
    assert asked(world) == [1, 2]
    assert world.tally() == {"succeeded": 3}


def test_an_answer_that_was_shared_took_nothing_and_is_counted_once(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "b", "a")
    own, copy = line_of(world, "i0"), line_of(world, "i2")
    assert own["output"] == copy["output"]
    assert own["usage"]["output_tokens"] > 0
    assert set(copy["usage"].values()) == {0}
    assert copy["attempts"] == 0
    report = world.api().report(1)
    assert report["attempts"] == 2
    (remote,) = world.remotes()
    assert report["tokens"]["input_tokens"] == remote["usage"]["input_tokens"]
    assert report["shared"] == {
        "items": 1,
        "from_earlier_jobs": 0,
        "tokens_saved": own["usage"],
    }


def test_an_item_is_explained_by_the_one_that_was_asked(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "b", "a"))
    waiting = world.api().explain("reviews", "i2")
    assert (waiting.state, waiting.waits_for, waiting.answered_with) == ("pending", "i0", None)
    world.run()
    found = world.api().explain("reviews", "i2")
    assert (found.state, found.waits_for, found.answered_with) == ("succeeded", None, "i0")
    assert [(one.outcome, one.send, one.custom_id) for one in found.attempts] == [
        ("shared", None, None)
    ]


def test_the_next_is_asked_where_the_first_fails(new_world: NewWorld) -> None:
    world = ran(new_world(script=[Rule(times=1, status=400)]), *ONE)
    assert asked(world) == [1, 2]
    assert world.failures().keys() == {"i0"}
    assert world.tally() == {"failed": 1, "succeeded": 7}


def test_what_always_fails_is_asked_of_ever_more_at_once(new_world: NewWorld) -> None:
    world = ran(new_world(script=[Rule(status=400)]), *ONE, *ONE)
    assert asked(world) == list(range(1, 17))
    sizes = [row["request_count"] for row in world.batches()]
    assert sizes == [1, 1, 2, 8, 4]


def test_an_answer_that_was_cut_is_not_shared(new_world: NewWorld) -> None:
    world = ran(
        new_world(script=[Rule(times=1, finish=Finish.LENGTH, reply="Once upon")]), "a", "a"
    )
    assert asked(world) == [1, 2]
    assert world.failures() == {"i0": "length"}


def test_a_retry_of_the_first_is_waited_for(new_world: NewWorld) -> None:
    world = ran(new_world(script=[Rule(times=1, status=500)]), "a", "a")
    assert asked(world) == [1, 1]
    assert world.tally() == {"succeeded": 2}


def test_an_answer_that_calls_functions_is_not_shared(new_world: NewWorld) -> None:
    call = ScriptedCall(name="f", arguments={})
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    world = ran(new_world(script=[Rule(calls=(call,))]), "a", "a", body={"tools": tools})
    assert asked(world) == [1, 2]
    assert world.tally() == {"succeeded": 2}


def test_an_answer_with_a_picture_is_not_shared(new_world: NewWorld) -> None:
    text = {"type": "output_text", "text": "Here it is.", "annotations": []}
    output = [
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo="},
        {"type": "message", "role": "assistant", "status": "completed", "content": [text]},
    ]  # fmt: skip
    body: JsonObject = {
        "object": "response",
        "status": "completed",
        "model": "gpt-4.1-mini",
        "output": output,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    world = ran(new_world(script=[Rule(body=body)]), "a", "a")
    assert asked(world) == [1, 2]
    assert world.tally() == {"succeeded": 2}


def test_nobody_waits_for_an_answer_of_functions(new_world: NewWorld) -> None:
    world = new_world()
    lend(world)
    submitted(world, saying("a", "a"), rounds=2)
    assert world.rows("select * from followers") == []


def test_nobody_waits_for_a_picture(new_world: NewWorld) -> None:
    world = submitted(
        new_world(),
        [{"id": "1", "text": "a"}, {"id": "2", "text": "a"}],
        endpoint="/v1/images/generations",
        model="gpt-image-1-mini",
        max_output_tokens=None,
    )
    assert world.rows("select * from followers") == []


@pytest.mark.parametrize(
    ("changes", "once"),
    [
        ({}, True),
        ({"dedupe": False}, False),
        ({"options": {"dedupe": False}}, False),
        ({"options": {"dedupe": False}, "dedupe": True}, False),
        ({"body": {"temperature": 0}}, True),
        ({"body": {"temperature": 0.7}}, False),
        ({"body": {"temperature": 0.7}, "dedupe": True}, True),
        ({"prompt": "Tell a story."}, False),
        ({"prompt": "Tell a story.", "dedupe": True}, True),
    ],
    ids=str,
)
def test_what_is_meant_to_differ_is_asked_as_often_as_it_stands_there(
    new_world: NewWorld, changes: dict[str, Any], *, once: bool
) -> None:
    world = ran(new_world(), "a", "a", **changes)
    assert asked(world) == ([1] if once else [1, 2])


def test_an_item_that_comes_later_waits_for_the_one_that_is_on_its_way(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "b"))
    world.tick()
    submitted(world, saying("a", "b", "a"))
    world.run()
    assert asked(world) == [1, 2]
    assert world.tally() == {"succeeded": 3}


def test_an_item_that_comes_later_has_the_answer_that_is_there_at_once(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "b")
    submitted(world, saying("a", "b", "a"))
    assert world.tally() == {"succeeded": 3}
    world.run()
    assert asked(world) == [1, 2]
    assert line_of(world, "i2")["output"] == line_of(world, "i0")["output"]


def test_an_item_that_now_asks_what_another_did_is_not_asked(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "b")
    submitted(world, saying("a", "a"))
    world.run()
    assert asked(world) == [1, 2]
    assert line_of(world, "i1")["output"] == line_of(world, "i0")["output"]
    # And back: its own answer of then is in its history.
    submitted(world, saying("a", "b"))
    world.run()
    assert asked(world) == [1, 2, 2]


def test_where_the_first_asks_otherwise_the_next_is_asked(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a", "a"))
    submitted(world, saying("b", "a", "a"))
    world.run()
    assert asked(world) == [1, 2]
    assert world.tally() == {"succeeded": 3}


def test_where_the_first_changes_on_its_way_the_next_is_asked(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a"))
    world.tick()
    submitted(world, saying("b", "a"))
    world.run()
    assert asked(world) == [1, 1, 2]
    assert world.tally() == {"succeeded": 2}


def test_where_the_first_is_gone_from_the_data_the_next_is_asked(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a", "b"))
    submitted(world, saying("a", "a", "b")[1:])
    world.run()
    assert asked(world) == [2, 3]
    assert world.tally() == {"succeeded": 2}


def test_a_cancelled_job_asks_nobody_and_a_later_submit_one(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a", "b"))
    world.api().cancel("reviews")
    world.run()
    assert world.tally() == {"cancelled": 3}
    submitted(world, saying("a", "a", "b"))
    world.run()
    assert asked(world) == [1, 3]
    assert world.tally() == {"succeeded": 3}


def test_a_person_who_asks_again_is_given_an_answer_of_its_own(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "a", "a")
    world.api().retry("reviews", items=["i1"], redo=True)
    world.run()
    assert asked(world) == [1, 2]
    assert world.api().explain("reviews", "i1").answered_with is None
    assert line_of(world, "i1")["usage"]["output_tokens"] > 0


def test_no_dedupe_later_asks_those_that_wait(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a", "a"))
    submitted(world, saying("a", "a", "a"), options={"dedupe": False})
    world.run()
    assert asked(world) == [1, 2, 3]


def test_answers_that_are_kept_for_another_question_are_not_shared(new_world: NewWorld) -> None:
    world = ran(new_world(), "a")
    changed = {"prompt": "Judge: {{ text }}"}
    submitted(world, saying("a"), options={"new_only": True}, **changed)
    submitted(world, saying("a", "a"), **changed)
    world.run()
    assert asked(world) == [1, 2]
    assert line_of(world, "i0")["output"] != line_of(world, "i1")["output"]


def test_only_those_that_are_asked_go_first_as_a_canary(new_world: NewWorld) -> None:
    texts = ["a", "a", "b", "c", "d", "e", "a"]
    world = submitted(new_world(), saying(*texts), canary={"items": 3})
    first = world.rows("select item from canary_items order by item")
    assert [row["item"] for row in first] == [1, 3, 4]
    world.run()
    assert asked(world) == [1, 3, 4, 5, 6]
    assert world.tally() == {"succeeded": 7}


def test_a_forgotten_first_leaves_its_answer_to_the_others_and_a_copy_goes_alone(
    new_world: NewWorld,
) -> None:
    world = ran(new_world(), "a", "a", "b")
    before = line_of(world, "i1")
    world.api().forget("reviews", ["i0"])
    assert line_of(world, "i1") == before
    assert world.api().explain("reviews", "i1").answered_with == "an item that was forgotten since"
    world.api().forget("reviews", ["i1"])
    assert world.answers().keys() == {"i2"}
    assert world.rows("select * from shared") == []
    assert world.api().report(1)["attempts"] == 2


def test_a_copy_is_copied_no_further(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "a", "b")
    world.api().forget("reviews", ["i0"])
    submitted(world, [*saying("a", "a", "b")[1:], {"id": "new", "text": "a"}])
    world.run()
    assert asked(world) == [1, 3, 4]


def test_where_the_first_is_forgotten_before_it_is_asked_the_next_is(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a", "b"))
    world.api().forget("reviews", ["i0"])
    world.run()
    assert asked(world) == [2, 3]


def test_what_was_pruned_is_shared_by_its_hash(new_world: NewWorld) -> None:
    world = ran(new_world(), "a", "b")
    world.api().prune()
    submitted(world, saying("a", "b", "a"))
    world.run()
    assert asked(world) == [1, 2]


def test_requests_whose_hashes_agree_by_design_are_told_apart_by_their_bytes(
    new_world: NewWorld,
) -> None:
    world = ran(new_world(), "a", "b")
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update item_rows set hash = (select hash from item_rows where id = 2)")
    submitted(world, [{"id": "other", "text": "b"}], missing="keep")
    assert world.states()["other"] == "pending"
    world.run()
    assert asked(world) == [1, 2, 3]


def test_tables_have_a_row_for_each_and_no_tokens_for_what_was_not_asked(
    new_world: NewWorld,
) -> None:
    world = ran(new_world(), "a", "a", output={"csv": True, "parquet": True})
    own, copy = csv.DictReader(io.StringIO(world.output("results.csv").decode("utf-8-sig")))
    assert own["output"] == copy["output"]
    assert (bool(own["output_tokens"]), copy["output_tokens"]) == (True, "0")


def test_those_that_wait_are_told_of_while_they_do(new_world: NewWorld) -> None:
    world = submitted(new_world(), saying("a", "a", "a"))
    (status,) = world.api().status()
    assert "2 items wait for the answers to equal requests" in status.waiting
    world.run()
    (status,) = world.api().status()
    assert status.waiting == ()


def test_items_that_waited_for_one_answer_and_are_changed_ask_for_themselves(
    new_world: NewWorld,
) -> None:
    world = submitted(new_world(), saying("a", "a", "a", "b"))
    submitted(world, saying("a", "c", "d", "d"))
    world.run()
    assert world.tally() == {"succeeded": 4}
    assert asked(world) == [1, 2, 3]
    assert world.answers()["i3"] == world.answers()["i2"] == "Review: d"
