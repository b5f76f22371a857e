"""A ledger that is gone: what the service has is brought back, and nothing is asked twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from crashkit import outcome
from recoverykit import became, custom_ids_once, finish, lose_database, lose_home, recover, untroubled
from runnerkit import NewWorld, World, items, texts

from batchrun.errors import Ambiguous, Transient
from batchrun.model import Limits
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

SMALL = Limits(request_count=2)
LOSSES = (lose_home, lose_database)


@pytest.mark.parametrize("lose", LOSSES)
def test_answers_of_batches_that_had_ended_are_not_asked_again(
    world: World, lose: Callable[[World], None]
) -> None:
    world.write(items(5))
    expected = untroubled(world)
    lose(world)
    recovered = recover(world)
    assert became(recovered) == ["collected"]
    assert recovered.look_again_at is None
    assert world.tally() == {"succeeded": 5}
    assert outcome(world) == expected
    finish(world)
    assert outcome(world) == expected
    assert sum(world.charges().values()) == 5


@pytest.mark.parametrize("lose", LOSSES)
def test_batches_in_flight_are_adopted_and_collected_by_later_passes(
    world: World, lose: Callable[[World], None]
) -> None:
    world.write(items(5))
    world.submit()
    lose(world)
    recovered = recover(world)
    assert became(recovered) == ["in_flight"]
    assert world.tally() == {"in_flight": 5}
    finish(world)
    assert world.tally() == {"succeeded": 5}
    assert sum(world.charges().values()) == 5
    assert world.incidents() == []
