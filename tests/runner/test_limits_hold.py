"""What services, people and time may do to a limit, one by one: what was reserved stays reserved for as long as it may still be spent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runnerkit import DAY_S, PROFILE, World, items
from spendingkit import BATCH, INPUT_TOKENS, NEAR, MeteredWorld, metered_world, watched
from test_lost_batches import vanish

from batchrun.errors import Refused
from batchrun.ledger.bills import Standing, standing
from batchrun.ledger.connection import Ledger
from batchrun.ledger.reserves import open_trial, settle_trial
from batchrun.money.amounts import DOLLAR
from batchrun.money.limits import Limit, Payer, Period, Scope
from batchrun.recovery.recovering import RecoverOptions
from batchrun.running import cutting, form
from batchrun.running.form import is_put_off
from batchrun.running.paying import Payment, Quote
from batchrun.testing_backend import Fault

LONGEST = INPUT_TOKENS * BATCH[0] + 1_084 * BATCH[1]  # what an answer costs here
DAY = Limit(scope=Scope.HOME, name="", period=Period.DAY, amount=0)


def world_at(folder: Path, budget: str, rows: Any = 2, **changes: Any) -> MeteredWorld:
    """A job that is queued under these limits; nothing is sent yet."""
    folder.mkdir(exist_ok=True)
    world = metered_world(folder)
    world.set_budget(budget)
    world.write(items(rows) if isinstance(rows, int) else rows, **changes)
    assert world.submit(send=False).error is None
    return world


def stands(world: World, limit: Limit = DAY) -> Standing:
    with world.ledger() as ledger:
        return standing(ledger, limit, world.clock.now())


def bill(world: World) -> dict[str, Any]:
    (found,) = world.rows("select * from bills")
    return found


def test_an_answer_that_does_not_say_what_it_took_counts_as_the_most_that_it_can_be(
    tmp_path: Path,
) -> None:
    rows = [{"id": "a", "text": "mute"}, {"id": "b", "text": "told"}]
    world = world_at(tmp_path, "[budget]\nday = 1\n", rows)
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert bill(world)["cost"] == LONGEST
    assert LONGEST < bill(world)["presumed"] < LONGEST * 1.01
    world.check_meter()
    world.close()


def test_a_lost_batch_that_may_still_run_counts_on_the_day_on_which_it_ends_at_the_latest(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path, "[budget]\nday = 0.3\n")
    world.tick()
    back = vanish(world)
    world.run_until(lambda: world.batches()[0]["name"] == "lost")
    reserved = bill(world)["reserved"]
    assert stands(world).presumed == reserved
    assert bill(world)["booked_at"] > world.clock.now()
    world.clock.advance(DAY_S)
    assert stands(world).presumed == reserved
    world.clock.advance(DAY_S)
    assert stands(world).taken == 0  # its window is over
    back()
    world.serve()
    world.run()
    assert world.tally() == {"succeeded": 2}
    # What comes back later is booked on a day that had room for it.
    assert bill(world)["cost"] == 2 * LONGEST
    assert stands(world).taken == 0
    world.close()


def refused(folder: Path, when: Any, budget: str = "[budget]\nday = 0.3\n") -> MeteredWorld:
    """Both creates of a batch are answered with a refusal; the listing shows nothing for a while."""
    world = world_at(folder, budget)
    for number in (1, 2):
        world.backend.add(
            Fault(
                call="create",
                error=Refused("bad gateway", status=400),
                number=number,
                when="before" if number == 1 else when,
            )
        )
    world.wire.lag_s = 110
    world.tick()
    assert [batch["name"] for batch in world.batches()] == ["rejected"]
    assert stands(world).presumed == bill(world)["reserved"]
    return world


def test_a_refused_create_keeps_its_room_until_it_is_proven_that_there_is_no_batch(
    tmp_path: Path,
) -> None:
    world = refused(tmp_path, "before")
    world.run()
    assert stands(world).taken == 0
    assert world.metered() == []
    world.close()


def test_a_refused_create_that_took_effect_is_reserved_again_when_it_is_found(
    tmp_path: Path,
) -> None:
    world = refused(tmp_path, "after")
    with watched(world):
        world.run_until(lambda: world.batches()[0]["name"] == "created")
        assert stands(world) == Standing(0, 0, bill(world)["reserved"], 0)
        world.run()
    assert world.tally() == {"succeeded": 2}
    assert stands(world, DAY).spent == 2 * LONGEST
    world.close()


def test_a_batch_that_waits_is_made_anew_when_its_job_falls_under_other_limits(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 9\n[budget.tag.eu]\nday = 0.15\n", tags=["us"])
    world.backend.add(Fault(call="upload", error=Refused("later", status=429)))
    world.tick()
    assert world.batches()[0]["name"] == "planned"
    world.write(items(2), tags=["eu"])
    world.submit(send=False)
    world.clock.advance(DAY_S)
    world.run()
    eu = Limit(scope=Scope.TAG, name="eu", period=Period.DAY, amount=0)
    assert 0 < stands(world, eu).taken <= 0.15 * DOLLAR
    assert world.tally() == {"succeeded": 1, "pending": 1}
    world.close()


def test_a_batch_that_costs_more_than_anything_reckoned_with_stops_its_account(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 50\n", [{"id": "a", "text": "greedy"}])
    world.run()
    assert world.incidents() == ["over_reserved"]
    assert bill(world)["cost"] == 5_000 * BATCH[0] + 1_084 * BATCH[1] > bill(world)["reserved"]
    world.write(items(2))
    world.submit(allow_missing=True)
    assert world.run().next_at is None
    assert len(world.batches()) == 1
    (why,) = world.rows("select reason from short_of_money")
    assert "more than the most that was reckoned with" in why["reason"]
    world.api().resume("reviews")
    world.run()
    assert world.tally() == {"succeeded": 2}
    world.close()


def test_a_job_that_waits_for_money_is_looked_at_again_when_it_asks_for_less(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 0.05\n")
    assert world.run().next_at is None
    assert world.tally() == {"pending": 2}
    world.write(items(2), max_output_tokens=100)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2}
    world.close()


def test_a_job_that_is_over_waits_for_no_money(tmp_path: Path) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 0.05\n")
    world.run()
    assert world.rows("select 1 from short_of_money") != []
    world.api().cancel("reviews")
    world.run()
    assert world.rows("select 1 from short_of_money") == []
    world.close()


def test_what_a_held_job_has_reserved_is_not_waited_for(tmp_path: Path) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 0.5\n")
    world.backend.add(Fault(call="upload", error=Refused("later", status=429)))
    world.tick()
    world.api().hold("reviews")
    other = world.write(items(4), world.folder / "other.jsonl", job="other")
    world.submit(other, send=False)
    world.clock.advance(DAY_S)
    world.run()
    states = [row["state"] for row in world.rows("select state from items where job = 'other'")]
    assert states.count("succeeded") == 2  # as many as what is left pays
    world.close()


def test_what_was_spent_stays_spent_when_its_answers_and_its_job_are_forgotten(
    tmp_path: Path,
) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 0.3\n")
    world.run()
    before = stands(world)
    assert before.spent == 2 * LONGEST
    world.api().prune(("reviews",))
    world.api().forget("reviews")
    assert stands(world) == before
    again = world.write(items(2), world.folder / "again.jsonl", job="again")
    world.submit(again)
    assert world.run().next_at is None
    assert len(world.metered()) == 2
    world.close()


def test_lines_that_a_person_gives_up_are_presumed_and_not_forgotten(tmp_path: Path) -> None:
    """Half of the result file cannot be read, and the service says nothing of what it counted."""
    world = world_at(tmp_path, "[budget]\nmonth = 9\n", 4)
    world.wire.edit = lambda batch: replace(batch, raw={**batch.raw, "usage": None})
    world.wire.content = lambda _, content: content.replace(b'{"id":"batch_req', b"{broken", 2)
    world.tick()
    world.serve()
    world.run_until(lambda: "unreadable_results" in world.incidents())
    assert stands(world).reserved == bill(world)["reserved"]
    world.api().resolve(1, is_as_is=True)
    world.run_until(lambda: world.batches()[0]["name"] == "collected")
    assert bill(world)["cost"] == 2 * LONGEST
    assert bill(world)["presumed"] == min(
        2 * bill(world)["largest"], bill(world)["reserved"] - 2 * LONGEST
    )
    world.check_meter()
    world.close()


def test_a_canary_is_paid_before_the_rest_and_each_by_itself(tmp_path: Path) -> None:
    canary = {"items": 1, "max_failed": 0}
    world = world_at(tmp_path, "[budget]\nmonth = 0.3\n", 4, canary=canary)
    with watched(world):
        world.run()
    assert world.tally() == {"succeeded": 2, "pending": 2}
    assert [batch["request_count"] for batch in world.batches()] == [1, 1]
    world.check_meter()
    world.close()


def test_a_job_that_starts_over_finds_spent_what_it_spent_under_its_name(tmp_path: Path) -> None:
    world = world_at(tmp_path, "[budget.job.reviews]\nmonth = 0.3\n")
    world.run()
    world.submit(fresh=True, send=False)
    assert world.run().next_at is None
    assert len(world.metered()) == 2
    mine = Limit(scope=Scope.JOB, name="reviews", period=Period.MONTH, amount=0)
    assert stands(world, mine).spent == 2 * LONGEST
    world.close()


def test_batches_that_a_recovery_found_count(tmp_path: Path) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 0.3\n")
    world.tick()
    world.serve()
    for path in world.home.path.glob("batchrun.db*"):
        path.unlink()
    (recovered,) = world.api().recover((world.job_file,), RecoverOptions()).prepared
    assert recovered.error is None
    other = world.write(items(2), world.folder / "other.jsonl", job="other")
    world.submit(other)
    with watched(world):
        world.run()
    world.check_meter()
    assert len(world.metered()) == 2
    world.close()


def test_a_trial_that_begins_while_a_batch_is_measured_is_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial in a home of its own needs no lock of this one."""
    world = world_at(tmp_path, "[budget]\nday = 0.3\n")
    payer = Payer(account="default", profile=PROFILE, job="else")
    trials: list[int] = []

    def measured(ledger: Ledger, payment: Payment | None, quote: Quote | None) -> bool:
        is_waiting = is_put_off(ledger, payment, quote)
        if not trials:
            with ledger.transaction():
                now = world.clock.now()
                trials.append(open_trial(ledger, payer=payer, amount=DOLLAR // 5, at=now))
        return is_waiting

    for module in (form, cutting):
        monkeypatch.setattr(module, "is_put_off", measured)
    with watched(world):
        assert world.run().next_at is None
        assert world.tally() == {"pending": 2}
        world.clock.advance(20 * 3_600)
        assert stands(world).presumed == DOLLAR // 5  # it may still go on, on the next day
        with world.ledger() as ledger, ledger.transaction():
            settle_trial(ledger, trials[0], 7, world.clock.now())
        assert stands(world).spent == 7
        world.run()
    assert world.tally() == {"succeeded": 2}
    world.close()


def test_lines_that_are_under_way_rest_when_a_limit_is_lowered(tmp_path: Path) -> None:
    world = world_at(tmp_path, "[budget]\nmonth = 3\n", 4, backend=NEAR)
    world.inside[NEAR]._options = world.options
    world.tick()
    for seconds in (60, 45):
        world.clock.advance(seconds)
        world.tick()
    done = len(world.metered())
    assert 0 < done < 4
    world.set_budget("[budget]\nmonth = 0.1\n")
    world.clock.advance(3_600)
    assert world.tick().next_at is None
    assert len(world.metered()) == done
    world.set_budget("[budget]\nmonth = 3\n")
    world.run()
    assert world.tally() == {"succeeded": 4}
    world.close()
