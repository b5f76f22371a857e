"""A deadline under a limit: what live answers may cost is set aside before any batch is cancelled, or nothing is."""

from pathlib import Path

import pytest
from livekit import TWIN, LiveWorld, run_until_live, world_at

from batchrun.ledger.bills import standing
from batchrun.money.amounts import DOLLAR
from batchrun.money.limits import Limit, Period, Scope

# Of eight requests: 0.86 dollars at most by batch, and twice that live.
PRICE = """[price."gpt-4.1-mini"]
input = 20
output = 200
batch = { input = 10, output = 100 }
"""
HOME = Limit(scope=Scope.HOME, name="", period=Period.TOTAL, amount=0)


def limited_world(folder: Path, dollars: float) -> LiveWorld:
    folder.mkdir(exist_ok=True)
    text = f"{PRICE}[budget]\nmonth = {dollars}\n"
    (folder / "batchrun.toml").write_text(text, encoding="utf-8")
    return world_at(folder)


def test_what_live_answers_may_cost_is_set_aside_before_the_cancel(tmp_path: Path) -> None:
    world = limited_world(tmp_path, 3)
    run_until_live(world)
    (aside,) = world.rows("select * from set_aside")
    (bill,) = world.rows("select reserved from bills")
    assert aside["amount"] == 2 * bill["reserved"]
    with world.ledger() as ledger:
        stands = standing(ledger, HOME, world.clock.now())
    assert (stands.reserved, stands.aside) == (bill["reserved"], aside["amount"])
    world.run(most=100)
    assert world.tally() == {"succeeded": 8}
    assert set(world.profiles()) == {"openai", TWIN}
    assert world.rows("select * from set_aside") == []
    assert all(row["cost"] is not None for row in world.rows("select cost from bills"))
    world.close()


@pytest.mark.parametrize("less", [0, 1])
def test_a_limit_that_leaves_just_enough_lets_a_deadline_be_kept(tmp_path: Path, less: int) -> None:
    rich = limited_world(tmp_path / "rich", 100)
    run_until_live(rich)
    (whole,) = rich.rows("select b.reserved + s.amount as all_of_it from bills b, set_aside s")
    rich.close()
    amount = whole["all_of_it"] - less
    world = limited_world(tmp_path / "bare", amount / DOLLAR)
    world.run(most=200)
    assert (TWIN in world.profiles()) is (less == 0)
    world.close()


def test_a_limit_beats_a_deadline_and_an_incident_says_so(tmp_path: Path) -> None:
    world = limited_world(tmp_path, 1)
    told: list[str] = []
    while world.clock.now() < world.rows("select deadline_at from jobs")[0]["deadline_at"]:
        result = world.tick()
        told += map(str, result.problems)
        world.serve()
        assert result.next_at is not None
        world.clock.sleep_until(result.next_at)
    assert ["cannot keep its deadline" in message for message in told] == [True]
    (status,) = world.api().status()
    assert told[0] in status.waiting
    world.run(most=200)
    assert world.tally() == {"succeeded": 8}
    assert set(world.profiles()) == {"openai"}
    assert world.incidents() == ["unpaid_deadline"]
    (incident,) = world.rows("select message from incidents")
    assert "cannot keep its deadline" in incident["message"]
    world.close()


@pytest.mark.parametrize("dollars", [0.9, 1.8, 2.7, 5])
def test_no_moment_of_a_switch_takes_more_than_the_limit(tmp_path: Path, dollars: float) -> None:
    world = limited_world(tmp_path, dollars)
    for _ in range(200):
        result = world.tick()
        with world.ledger() as ledger:
            assert standing(ledger, HOME, world.clock.now()).taken <= dollars * DOLLAR
        if result.next_at is None:
            break
        world.serve()
        world.clock.sleep_until(result.next_at)
    assert world.tally() == {"succeeded": 8}
    world.close()
