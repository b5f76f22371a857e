"""Answers of no use go back with the reason, as often as the job wants; each is paid for, so nothing goes back unasked."""

import json
from pathlib import Path
from typing import Any

import pytest
from crashkit import HASTY, check_world, live, outcome
from runnerkit import NewWorld, World, items

from batchrun.model import JsonObject
from batchrun.service.bodies import Finish
from batchrun.service.responders.script import Rule

SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["stars"],
    "additionalProperties": False,
}
GOOD, BAD = '{"stars": 4}', '{"stars": 9}'


class Model:
    """A model that gives one answer after the other, and keeps what it was asked. Any further answer is the last."""

    def __init__(self, *answers: str | Rule) -> None:
        self.answers = list(answers)
        self.asked: list[JsonObject] = []

    def __call__(self, url: str, body: JsonObject, custom_id: str | None) -> Rule:
        del url, custom_id
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(body)
        return answer if isinstance(answer, Rule) else Rule(reply=answer)


def ran(new_world: NewWorld, model: Model, count: int = 1, **changes: Any) -> World:
    world = new_world(script=model)
    world.write(items(count), **{"schema": SCHEMA, **changes})
    world.submit()
    world.run()
    return world


def test_a_bad_answer_goes_back_with_the_reason_and_the_good_one_counts(
    new_world: NewWorld,
) -> None:
    model = Model(BAD, GOOD)
    world = ran(new_world, model, repair={"attempts": 1})
    assert world.answers() == {"i0": GOOD.replace(" ", "")}
    first, second = model.asked
    said = second.pop("input")
    assert second == {key: value for key, value in first.items() if key != "input"}
    assert said[:2] == [
        {"role": "user", "content": first["input"]},
        {"role": "assistant", "content": BAD},
    ]
    assert said[2]["role"] == "user"
    assert "$.stars" in said[2]["content"]
    assert "9 is greater than the maximum of 5" in said[2]["content"]
    (line,) = map(json.loads, world.output("results.jsonl").splitlines())
    assert (line["status"], line["attempts"]) == ("succeeded", 2)
    assert world.rows("select outcome, cause from history") == [
        {"outcome": 6, "cause": "schema_mismatch"}
    ]


def test_without_repair_a_bad_answer_is_a_failure_and_nothing_more_is_paid(
    new_world: NewWorld,
) -> None:
    model = Model(BAD, GOOD)
    world = ran(new_world, model)
    assert world.failures() == {"i0": "schema_mismatch"}
    assert len(model.asked) == 1


def test_repairs_end_and_the_last_goes_to_the_better_model(new_world: NewWorld) -> None:
    model = Model(BAD)
    world = ran(new_world, model, repair={"attempts": 2, "model": "gpt-5.2"})
    assert [body["model"] for body in model.asked] == ["gpt-4.1-mini"] * 3 + ["gpt-5.2"]
    assert [len(body["input"]) for body in model.asked[1:]] == [3, 5, 7]
    assert world.failures() == {"i0": "schema_mismatch"}
    assert [row["model"] for row in world.batches()] == ["gpt-4.1-mini"] * 3 + ["gpt-5.2"]


def test_chat_completions_go_on_as_messages(new_world: NewWorld) -> None:
    model = Model("perhaps", '{"label": "good"}')
    world = ran(
        new_world,
        model,
        endpoint="/v1/chat/completions",
        instructions="Be brief.",
        schema=None,
        labels=["good", "bad"],
        repair={"attempts": 1},
    )
    assert world.answers() == {"i0": "good"}
    roles = [message["role"] for message in model.asked[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_a_cut_answer_gets_twice_the_room_up_to_the_limit(new_world: NewWorld) -> None:
    model = Model(Rule(reply="and so", finish=Finish.LENGTH))
    world = ran(
        new_world, model, schema=None, max_output_tokens=300, repair={"max_output_tokens": 1000}
    )
    assert [body["max_output_tokens"] for body in model.asked] == [300, 600, 1000]
    assert {json.dumps(body["input"]) for body in model.asked} == {'"Review: text 0"'}
    assert world.failures() == {"i0": "length"}
    (group,) = world.api().failures(("reviews",))
    assert group.fix.startswith(
        'Raise max_output_tokens beyond the 1,000 that "repair" lets it grow to, and that of "repair" too, in '
    )


def test_an_item_of_its_own_cap_grows_from_there(new_world: NewWorld) -> None:
    model = Model(Rule(reply="and so", finish=Finish.LENGTH), "the end")
    world = new_world(script=model)
    world.write(items(1, body={"max_output_tokens": 700}), repair={"max_output_tokens": 1200})
    world.submit()
    world.run()
    assert [body["max_output_tokens"] for body in model.asked] == [700, 1200]
    assert world.answers() == {"i0": "the end"}


def test_an_error_on_the_way_costs_the_conversation_nothing(new_world: NewWorld) -> None:
    busy = Rule(status=500, message="out of order")
    model = Model(BAD, busy, busy, GOOD)
    world = ran(new_world, model, attempts=3, repair={"attempts": 1})
    assert world.answers() == {"i0": GOOD.replace(" ", "")}
    assert model.asked[1] == model.asked[2] == model.asked[3]
    assert world.rows("select attempts from result_rows") == [{"attempts": 4}]


def test_asking_again_begins_a_new_conversation(new_world: NewWorld) -> None:
    model = Model(BAD, BAD, GOOD)
    world = ran(new_world, model, repair={"attempts": 1})
    assert world.failures() == {"i0": "schema_mismatch"}
    world.api().retry("reviews")
    world.run()
    assert model.asked[2] == model.asked[0]
    assert world.answers() == {"i0": GOOD.replace(" ", "")}
    assert world.rows("select * from turns") == []


def test_a_changed_item_begins_a_new_conversation(new_world: NewWorld) -> None:
    model = Model(BAD, BAD, GOOD)
    world = ran(new_world, model, repair={"attempts": 1})
    world.write([{"id": "i0", "text": "another"}], schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run()
    assert model.asked[2]["input"] == "Review: another"
    assert world.rows("select * from turns") == []


def test_an_item_that_changes_while_its_repair_is_in_flight_begins_a_new_conversation(
    new_world: NewWorld,
) -> None:
    model = Model(BAD, GOOD, GOOD)
    world = new_world(script=model)
    world.write(items(1), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: len(world.remotes()) == 2)
    world.write([{"id": "i0", "text": "another"}], schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run()
    assert model.asked[2]["input"] == "Review: another"
    assert world.rows("select * from turns") == []


def test_a_cancelled_job_repairs_nothing(new_world: NewWorld) -> None:
    model = Model(BAD, GOOD)
    world = new_world(script=model)
    world.write(items(1), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: bool(world.remotes()))
    world.serve()
    world.api().cancel("reviews")
    world.run()
    assert len(model.asked) == 1
    assert world.failures() == {"i0": "schema_mismatch"}


def test_explain_shows_what_is_asked_now_and_verify_finds_everything_in_order(
    new_world: NewWorld,
) -> None:
    world = ran(new_world, Model(BAD, GOOD), count=3, repair={"attempts": 1})
    told = world.api().explain("reviews", "i0")
    assert [said["role"] for said in told.request["body"]["input"]] == ["user", "assistant", "user"]
    assert [attempt.outcome for attempt in told.attempts] == ["repair", "succeeded"]
    assert not world.api().verify().broken


def test_verify_misses_a_turn_that_is_gone(new_world: NewWorld) -> None:
    world = new_world(script=Model(BAD))
    world.write(items(1), schema=SCHEMA, repair={"attempts": 1})
    world.submit()
    world.run_until(lambda: bool(world.rows("select * from turns")))
    hide, show = "update turns set send = send + 9", "update turns set send = send - 9"
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute(hide)
    (broken,) = world.api().verify().broken
    assert broken.name == "turns-follow-answers"
    assert broken.findings[1:] == (
        "item 1 would ask the same again, after an answer that was of no use",
    )
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute(show)


def test_a_first_request_that_is_damaged_meanwhile_ends_the_conversation(
    new_world: NewWorld,
) -> None:
    world = new_world(script=Model(BAD))
    world.write(items(1), schema=SCHEMA, repair={"attempts": 2})
    world.submit()
    world.run_until(lambda: len(world.remotes()) == 2)
    path = world.home.request_file(1)
    written = path.read_bytes()
    path.write_bytes(written.replace(b'"url"', b'"url '))
    world.run()
    path.write_bytes(written)
    assert world.failures() == {"i0": "schema_mismatch"}
    assert world.executions() == {1: 2}


def two_repairs(folder: Path) -> World:
    """Of three items, one needs a repair, and one a larger cap twice."""
    folder.mkdir()

    def answer(url: str, body: JsonObject, custom_id: str | None) -> Rule:
        del url, custom_id
        said = json.dumps(body["input"])
        if "text 2" in said and body["max_output_tokens"] < 4000:
            return Rule(reply="{", finish=Finish.LENGTH)
        return Rule(reply=BAD if "text 1" in said and "cannot be used" not in said else GOOD)

    world = World(folder, script=answer, traits=HASTY)
    world.write(items(3), schema=SCHEMA, repair={"attempts": 1, "max_output_tokens": 4000})
    return world


@pytest.mark.parametrize("tick", range(2, 8))
@pytest.mark.fault(37)
def test_a_conversation_may_be_killed_anywhere(tmp_path: Path, tick: int) -> None:
    untroubled = two_repairs(tmp_path / "untroubled")
    untroubled.submit()
    untroubled.run()
    assert untroubled.executions() == {1: 1, 2: 2, 3: 3}
    for kill in (2, 5, 9, 14):
        world = two_repairs(tmp_path / str(kill))
        live(world, [*[None] * tick, kill])
        check_world(world, outcome(untroubled), untroubled.executions())
        world.close()
    untroubled.close()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"repair": {}}, "asks for nothing"),
        ({"repair": {"attempts": 1}, "schema": None}, "nothing to check answers by"),
        ({"repair": {"attempts": 11}}, "'repair' must be"),
        ({"repair": {"max_output_tokens": 1000}}, "no more than the first cap"),
        (
            {
                "repair": {"attempts": 1},
                "endpoint": "/v1/embeddings",
                "schema": None,
                "max_output_tokens": None,
            },
            "nothing can be said",
        ),
    ],
)
def test_a_repair_that_could_do_nothing_is_an_error_of_the_job(
    new_world: NewWorld, changes: JsonObject, word: str
) -> None:
    world = new_world()
    world.write(items(1), **{"schema": SCHEMA, **changes})
    prepared = world.submit()
    assert word in str(prepared.error)
    assert world.remotes() == []
