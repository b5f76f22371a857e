"""When a fault strikes: by number, in turns, by chance, for a time; and that a killed server goes on with its night."""

from pathlib import Path

import pytest
from faultkit import fault
from servicekit import Desk, OpenDesk, request

from batchrun.service.faults.fault import Fault
from batchrun.service.faults.script import FaultScript
from batchrun.service.refusals import ServiceError


def strikes(desk: Desk, batch_id: str, calls: int) -> list[int]:
    """The numbers of the calls that did not find the batch."""
    struck = []
    for number in range(1, calls + 1):
        try:
            desk.batch(batch_id)
        except ServiceError:
            struck.append(number)
    return struck


def vanish(**when: object) -> Fault:
    return fault("GET /batches/{id}", "vanish", **when)


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"calls": 3}, [3]),
        ({"calls": [2, 7, 99]}, [2, 7]),
        ({"every": 3}, [3, 6]),
        ({"times": 2}, [1, 2]),
        ({"every": 2, "times": 3}, [2, 4, 6]),
        ({"probability": 0.0}, []),
        ({"probability": 1.0, "times": 1}, [1]),
        ({"metadata": {"job": "a"}}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"metadata": {"job": "b"}}, []),
    ],
)
def test_a_fault_strikes_when_its_turn_has_come(
    open_desk: OpenDesk, when: dict[str, object], struck: list[int]
) -> None:
    desk = open_desk(faults=[vanish(**when)])
    batch_id = desk.create(request("a"), metadata={"job": "a"})
    assert strikes(desk, batch_id, 8) == struck


def test_times_are_counted_from_when_the_script_was_first_played(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[vanish(from_s=60, until_s=120)])
    batch_id = desk.create(request("a"))
    seen = []
    for _ in range(4):
        seen.append(strikes(desk, batch_id, 1))
        desk.clock.advance(40)
        desk.reopen()
    assert seen == [[], [], [1], []]


def test_calls_are_counted_on_in_the_next_process(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[vanish(calls=[2, 4]), vanish(times=1, every=3)])
    batch_id = desk.create(request("a"))
    seen = []
    for number in range(1, 7):
        seen += [number] * len(strikes(desk, batch_id, 1))
        desk.reopen()
    assert seen == [2, 3, 4]
    assert [entry["fired"] for entry in desk.service.truth()["faults"]] == [2, 1]


def test_a_changed_fault_starts_anew_and_the_others_go_on(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[vanish(calls=3), vanish(calls=[5])])
    batch_id = desk.create(request("a"))
    assert strikes(desk, batch_id, 3) == [3]
    desk.faults = [vanish(calls=1), vanish(calls=[5])]
    desk.reopen()
    assert strikes(desk, batch_id, 3) == [1, 2]


def test_chance_is_the_same_in_every_run_and_another_with_another_seed(tmp_path: Path) -> None:
    def night(folder: str, seed: int) -> list[int]:
        desk = Desk(tmp_path / folder, faults=[vanish(probability=0.5)], seed=seed)
        try:
            return strikes(desk, desk.create(request("a")), 40)
        finally:
            desk.service.close()

    first = night("a", 1)
    assert night("b", 1) == first
    assert night("c", 2) != first
    assert 8 < len(first) < 32


def test_the_same_script_in_two_services_at_once_counts_together(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[vanish(every=2)])
    other = open_desk(faults=[vanish(every=2)])
    batch_id = desk.create(request("a"))
    assert strikes(desk, batch_id, 1) == []
    assert strikes(other, batch_id, 1) == [1]


def test_the_name_of_a_fault_follows_from_its_words() -> None:
    one = FaultScript([vanish(calls=1), vanish(calls=2)])
    other = FaultScript([vanish(calls=2), vanish(calls=1)])
    assert sorted(one.named) == sorted(other.named)
