"""Users and services in any order: submit, change, take away, cancel, retry, wait; nothing is ever lost from view or bought unasked."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from crashkit import HASTY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runnerkit import World, check_invariants

from batchrun.errors import Ambiguous, Transient
from batchrun.model import Limits
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

WORDS = ("one", "two", "three", "bad", "slow")
texts = st.sampled_from(WORDS)
with_ids = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), texts, min_size=1).map(
    lambda d: [{"id": key, "text": text} for key, text in d.items()]
)
without_ids = st.lists(texts, min_size=1, max_size=5).map(lambda ts: [{"text": t} for t in ts])


def steps(data: Any) -> Any:
    return st.lists(
        st.one_of(
            st.tuples(st.just("submit"), data),
            st.tuples(st.just("queue"), data),
            st.tuples(st.just("new only"), data),
            st.tuples(st.just("tick"), st.none()),
            st.tuples(st.just("serve"), st.none()),
            st.tuples(st.just("wait"), st.sampled_from([1, 70, 700, 5_000])),
            st.tuples(st.just("cancel"), st.none()),
            st.tuples(st.just("retry"), st.none()),
        ),
        max_size=14,
    )


def take(world: World, step: str, value: Any) -> None:
    is_known = bool(world.home.database.exists() and world.rows("select 1 from jobs"))
    match step:
        case "submit" | "queue" | "new only":
            world.write(value)
            prepared = world.submit(
                send=step == "submit", new_only=step == "new only", allow_missing=True
            )
            assert prepared.error is None
        case "tick" if is_known:
            world.tick()
        case "serve":
            world.serve()
        case "wait":
            world.clock.advance(value)
        case "cancel" if is_known:
            world.api().cancel("reviews")
        case "retry" if is_known:
            world.api().retry("reviews")
    if world.home.database.exists():
        with world.ledger() as ledger:
            check_invariants(ledger)


def play(folder: Path, chosen: list[tuple[str, Any]], faults: list[Fault], last: Any) -> World:
    world = World(
        folder,
        script=[Rule(prompt="bad", status=400), Rule(prompt="slow", times=1, status=500)],
        traits=HASTY,
        limits=Limits(request_count=3),
        options=Options(validating_s=50, line_s=20),
        faults=faults,
    )
    for step, value in chosen:
        take(world, step, value)
    take(world, "queue", last)
    world.run(most=3_000)
    take(world, "queue", last)  # cancelled ones are wanted again
    world.run(most=3_000)
    return world


FAULTS = (
    Fault(call="create", error=Ambiguous("timed out"), when="after"),
    Fault(call="create", error=Ambiguous("timed out"), number=2),
    Fault(call="upload", error=Transient("reset"), number=2),
    Fault(call="download", error=Transient("reset"), when="after"),
    Fault(call="retrieve", error=Transient("502", status=502), number=2),
    Fault(call="list_batches", error=Transient("502", status=502), number=1),
)
faults = st.lists(st.sampled_from(FAULTS), max_size=3, unique_by=id)
quick = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@quick
@given(steps(with_ids), faults, with_ids)
def test_in_the_end_every_item_has_the_answer_to_its_last_request(
    chosen: list[tuple[str, Any]], faults: list[Fault], last: list[dict[str, str]]
) -> None:
    with TemporaryDirectory() as folder:
        world = play(Path(folder), chosen, faults, last)
        states = world.states()
        assert set(states) == {row["id"] for row in last}
        answers = world.answers()
        for row in last:
            if "bad" not in row["text"]:
                assert states[row["id"]] == "succeeded", row
                assert answers[row["id"]] == f"Review: {row['text']}"
            else:
                assert states[row["id"]] == "failed", row
        assert all(times == 1 for times in world.charges().values())
        world.close()


@quick
@given(steps(without_ids), faults, without_ids)
def test_items_without_ids_are_all_there_in_the_end_and_in_order(
    chosen: list[tuple[str, Any]], faults: list[Fault], last: list[dict[str, str]]
) -> None:
    with TemporaryDirectory() as folder:
        world = play(Path(folder), chosen, faults, last)
        expected = [f"reviews.jsonl:{n}" for n in range(2, len(last) + 2)]
        states = world.states()
        assert sorted(states) == sorted(expected)
        for name, row in zip(expected, last, strict=True):
            assert states[name] == ("failed" if row["text"] == "bad" else "succeeded")
        assert [x.partition('"')[2].partition('"')[0] for x in _ids(world)] == expected
        assert all(times == 1 for times in world.charges().values())
        world.close()


def _ids(world: World) -> list[str]:
    lines = world.output("results.jsonl").decode().splitlines()
    return [line.partition('"id":')[2] for line in lines]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.call}-{f.when}-{f.number}")
def test_each_fault_alone_does_no_harm(tmp_path: Path, fault: Fault) -> None:
    rows = [{"id": key, "text": "one"} for key in "abcd"]
    world = play(tmp_path, [("submit", rows)], [fault], rows)
    assert world.tally() == {"succeeded": 4}
    assert set(world.executions().values()) == {1}
    world.close()
