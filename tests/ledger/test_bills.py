"""Bills: how what batches may cost and did stands against limits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.ledger.batches import insert_batch
from batchrun.ledger.bills import (
    Bill,
    Standing,
    insert_bill,
    reopen_bill,
    room,
    settle_bill,
    standing,
    will_free,
)
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.held import hold
from batchrun.ledger.home import Home
from batchrun.ledger.reserves import (
    aside_of,
    open_trial,
    set_aside,
    settle_trial,
    take_aside,
)
from batchrun.ledger.shortages import overruns
from batchrun.ledger.standings import note_shares, untold_notices
from batchrun.ledger.states import BatchState
from batchrun.money.amounts import LARGEST
from batchrun.money.limits import Limit, Payer, Period, Scope

DAY_S = 86_400
NOW = 1_790_000_000 - 1_790_000_000 % DAY_S + 100
MONTH = Limit(scope=Scope.HOME, name="", period=Period.MONTH, amount=1_000)
TODAY = Limit(scope=Scope.HOME, name="", period=Period.DAY, amount=1_000)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(Home(tmp_path / ".batchrun"), create=True) as found:
        found.execute(
            "insert into jobs (id, name, profile, source, settings, outputs, created_at) values (1, 'j', 'p', '', '{}', '', 0)"
        )
        found.execute(
            "insert into request_files (id, job, kind, state, endpoint, model) values (1, 1, 0, 2, '', '')"
        )
        yield found


def bill(ledger: Ledger, reserved: int, *, largest: int = 10, **payer: object) -> int:
    names = {"account": "default", "profile": "p", "job": "j", "tags": ()} | payer
    columns = {
        "profile": "p", "endpoint": "", "model": "", "window": "", "token": str(ledger.value("select count(*) from batch_rows")),
        "request_file": 1, "request_count": 1, "input_bytes": 1, "checksum": "", "first_item": 1, "last_item": 1, "metadata": "{}",
    }  # fmt: skip
    batch = insert_batch(ledger, job=1, at=NOW, columns=columns)
    payer_ = Payer(**names)  # type: ignore[arg-type]
    insert_bill(
        ledger,
        batch=batch,
        at=NOW,
        bill=Bill(payer=payer_, price="{}", reserved=reserved, largest=largest),
    )
    return batch


def test_what_is_open_counts_in_every_period_and_what_is_settled_in_that_of_its_end(
    ledger: Ledger,
) -> None:
    bill(ledger, 300)
    yesterday = bill(ledger, 200)
    assert settle_bill(ledger, batch=yesterday, cost=150, unknown=0, booked_at=NOW - DAY_S) is None
    assert standing(ledger, MONTH, NOW) == Standing(150, 0, 300, 0)
    assert standing(ledger, TODAY, NOW) == Standing(0, 0, 300, 0)
    assert room(ledger, (MONTH, TODAY), NOW) == (550, MONTH)


def test_requests_of_unknown_fate_are_presumed_at_their_worst_and_within_what_was_reserved(
    ledger: Ledger,
) -> None:
    some, many = bill(ledger, 100), bill(ledger, 100)
    settle_bill(ledger, batch=some, cost=20, unknown=3, booked_at=NOW)
    settle_bill(ledger, batch=many, cost=90, unknown=3, booked_at=NOW)
    assert standing(ledger, TODAY, NOW) == Standing(110, 30 + 10, 0, 0)


def test_a_lost_batch_is_presumed_whole_until_it_is_found(ledger: Ledger) -> None:
    batch = bill(ledger, 100)
    settle_bill(ledger, batch=batch, cost=0, unknown=10, booked_at=NOW)
    assert standing(ledger, TODAY, NOW) == Standing(0, 100, 0, 0)
    settle_bill(ledger, batch=batch, cost=7, unknown=0, booked_at=NOW)
    assert standing(ledger, TODAY, NOW) == Standing(7, 0, 0, 0)


def test_a_batch_that_cost_more_than_was_reserved_is_marked(ledger: Ledger) -> None:
    batch = bill(ledger, 100)
    assert settle_bill(ledger, batch=batch, cost=101, unknown=4, booked_at=NOW) == 1
    assert ledger.value("select is_overrun from bills") == 1
    assert standing(ledger, TODAY, NOW).taken == 101


@pytest.mark.parametrize(
    ("scope", "name"),
    [(Scope.ACCOUNT, "a"), (Scope.PROFILE, "q"), (Scope.JOB, "k"), (Scope.TAG, "eu")],
)
def test_a_limit_sees_its_own_scope_alone(ledger: Ledger, scope: Scope, name: str) -> None:
    bill(ledger, 1)
    bill(ledger, 20, account="a", profile="q", job="k", tags=("us", "eu"))
    payer = Payer(account="a", profile="q", job="k", tags=("eu",))
    set_aside(ledger, job=1, payer=payer, amount=5, at=NOW)
    limit = Limit(scope=scope, name=name, period=Period.DAY, amount=1)
    assert standing(ledger, limit, NOW) == Standing(0, 0, 20, 5)
    assert standing(ledger, TODAY, NOW) == Standing(0, 0, 21, 5)


def test_all_that_is_not_free_is_taken() -> None:
    assert Standing(spent=1, presumed=2, reserved=4, aside=8).taken == 15


def test_what_ends_as_a_day_begins_counts_in_that_day(ledger: Ledger) -> None:
    midnight = TODAY.period.since(NOW)
    payer = Payer(account="default", profile="p", job="j")
    for amount, at in ((100, midnight), (20, midnight - 1)):
        settle_bill(ledger, batch=bill(ledger, amount), cost=amount, unknown=0, booked_at=at)
        settle_trial(ledger, open_trial(ledger, payer=payer, amount=1, at=at), amount, at)
    assert standing(ledger, TODAY, NOW).spent == 2 * 100
    assert standing(ledger, TODAY, midnight - 1).spent == 2 * 120


def test_what_costs_all_that_was_reserved_is_no_overrun(ledger: Ledger) -> None:
    batch = bill(ledger, 100)
    assert settle_bill(ledger, batch=batch, cost=100, unknown=0, booked_at=NOW) is None
    assert overruns(ledger) == []
    assert ledger.value("select fees from bills") == 0


def test_a_batch_that_is_there_after_all_has_all_of_it_reserved_again(ledger: Ledger) -> None:
    batch = bill(ledger, 100)
    settle_bill(ledger, batch=batch, cost=0, unknown=3, booked_at=NOW)
    reopen_bill(ledger, batch)
    assert standing(ledger, TODAY, NOW) == Standing(0, 0, 100, 0)


def test_what_is_set_aside_is_used_up_by_what_is_made_of_it(ledger: Ledger) -> None:
    payer = Payer(account="a", profile="p", job="j")
    set_aside(ledger, job=1, payer=payer, amount=50, at=NOW)
    assert take_aside(ledger, 1, replace(payer, tags=("eu",)), 40) == 0  # it counts in other limits
    assert [take_aside(ledger, 1, payer, 40), take_aside(ledger, 1, payer, 40)] == [40, 10]
    assert aside_of(ledger, 1, payer) == 0


def test_sums_may_be_larger_than_what_sqlite_can_add_up(ledger: Ledger) -> None:
    for _ in range(4):
        bill(ledger, 10 * LARGEST)
    assert standing(ledger, TODAY, NOW).reserved == 4 * LARGEST


def test_a_soft_limit_binds_nothing(ledger: Ledger) -> None:
    soft = Limit(scope=Scope.HOME, name="", period=Period.DAY, amount=1, is_hard=False)
    assert room(ledger, (soft,), NOW) is None


def test_what_is_out_makes_room_by_itself_and_what_waits_for_a_person_does_not(
    ledger: Ledger,
) -> None:
    other = Limit(scope=Scope.JOB, name="k", period=Period.DAY, amount=1_000)
    assert not will_free(ledger, MONTH)
    batch = bill(ledger, 10)
    assert (will_free(ledger, MONTH), will_free(ledger, other)) == (True, False)
    ledger.execute("update jobs set paused = 'a reason'")
    assert not will_free(ledger, MONTH)
    ledger.execute("update jobs set paused = null")
    hold(ledger, 1, NOW)
    assert not will_free(ledger, MONTH)
    ledger.execute("update batch_rows set state = ?", (BatchState.CREATING,))
    assert will_free(ledger, MONTH)
    settle_bill(ledger, batch=batch, cost=1, unknown=0, booked_at=NOW)
    assert not will_free(ledger, MONTH)


@pytest.mark.parametrize(("cost", "percents"), [(299, []), (300, [50]), (549, [50]), (550, [75])])
def test_a_share_is_reached_by_what_is_spent_and_presumed_together_to_the_last_digit(
    ledger: Ledger, cost: int, percents: list[int]
) -> None:
    settle_bill(ledger, batch=bill(ledger, 900, largest=100), cost=cost, unknown=2, booked_at=NOW)
    note_shares(ledger, (MONTH,), (50, 75, 90), NOW)
    found = untold_notices(ledger)
    assert [(one.percent, one.spent) for one in found] == [(n, cost + 200) for n in percents]


def test_a_trial_is_presumed_for_a_day_and_spent_once_it_says_what_it_came_to(
    ledger: Ledger,
) -> None:
    payer = Payer(account="default", profile="p", job="j")
    open_trial(ledger, payer=payer, amount=2 * LARGEST, at=NOW)
    trial = open_trial(ledger, payer=payer, amount=7, at=NOW)
    whole = LARGEST + 7
    tomorrow = NOW + DAY_S
    assert standing(ledger, TODAY, NOW) == Standing(0, whole, 0, 0)
    assert standing(ledger, TODAY, tomorrow) == Standing(0, whole, 0, 0)
    assert standing(ledger, TODAY, tomorrow + DAY_S).taken == 0
    settle_trial(ledger, trial, 5, NOW)
    assert standing(ledger, TODAY, NOW) == Standing(5, LARGEST, 0, 0)
    assert standing(ledger, TODAY, tomorrow) == Standing(0, LARGEST, 0, 0)
