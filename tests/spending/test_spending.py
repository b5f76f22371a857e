"""What was spent, against figures that are reckoned by hand: $2 a million tokens of input, $0.50 cached, $5 of output, and twice that live."""

from dataclasses import replace

import pytest
from spendkit import DAY_S, NOON, OWN, Till, a_busy_month

from batchrun.errors import UsageError
from batchrun.ledger.states import BatchState
from batchrun.model import Usage
from batchrun.money.amounts import DOLLAR
from batchrun.spending.batches import FORGOTTEN
from batchrun.spending.report import UNTAGGED, By, Row
from batchrun.spending.spans import span_of

MILLION = 1_000_000
TOOK = (3 * MILLION, MILLION, 2 * MILLION, MILLION)  # 2 * $2 + $0.50 + 2 * $5
COST = 14_500_000_000_000
LIVE = 2 * COST  # 2 * $4 + $1 + 2 * $10
MIDNIGHT = NOON - NOON % DAY_S


def named(rows: tuple[Row, ...]) -> dict[str, int]:
    return {row.name: row.cost for row in rows}


def test_a_batch_costs_what_its_tokens_do_and_saves_what_live_ones_cost_more(till: Till) -> None:
    till.batch(took=TOOK, requests=7)
    spent = till.spent()
    assert spent.total == Row(
        name="total",
        batches=1,
        requests=7,
        usage=Usage(
            input_tokens=3 * MILLION,
            cached_tokens=MILLION,
            cache_write_tokens=0,
            output_tokens=2 * MILLION,
            reasoning_tokens=MILLION,
        ),
        cost=COST,
        saved=LIVE - COST,
        prices=(str(till.folder / "batchrun.toml"),),
    )
    (price,) = spent.prices
    assert (price.source, price.is_frozen, price.requests) == (
        str(till.folder / "batchrun.toml"),
        False,
        7,
    )


def test_days_and_months_begin_at_midnight_utc(till: Till) -> None:
    for at in (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + DAY_S - 1):
        till.batch(took=TOOK, at=at)
    assert named(till.spent().rows(By.DAY)) == {"2026-11-20": COST, "2026-11-21": 2 * COST}
    till.batch(took=TOOK, at=NOON - 21 * DAY_S)
    assert till.spent().total.batches == 3
    assert named(till.spent(by_month=True).rows(By.MONTH)) == {"2026-10": COST, "2026-11": 3 * COST}
    assert till.spent(month="2026-10").total.batches == 1
    assert till.spent(since="2026-11-21").total.batches == 2
    assert till.spent(since="2026-10-31", until="2026-11-20").total.batches == 2
    assert till.spent(since="2026-09", until="2026-10").total.batches == 1


@pytest.mark.parametrize(
    ("options", "days"),
    [
        ({}, ("2026-11-01", "2026-11-21")),
        ({"by_month": True}, ("2025-12-01", "2026-11-21")),
        ({"month": "2024-02"}, ("2024-02-01", "2024-02-29")),
        ({"month": "2026-12"}, ("2026-12-01", "2026-12-31")),
        ({"since": "2025-12-30"}, ("2025-12-30", "2026-11-21")),
        ({"until": "2026-02"}, ("2026-02-01", "2026-02-28")),
        ({"until": "2026-01-15", "by_month": True}, ("2025-02-01", "2026-01-15")),
    ],
)
def test_options_mean_whole_days(options: dict[str, object], days: tuple[str, str]) -> None:
    span = span_of(now=NOON, **{"by_month": False, **options})  # type: ignore[arg-type]
    assert (str(span.first), str(span.last)) == days


@pytest.mark.parametrize(
    "options",
    [
        {"month": "2026-13"},
        {"month": "November"},
        {"since": "2026-11-31"},
        {"since": "2026-11-22"},
        {"until": "0001-01-01"},
        {"month": "2026-11", "since": "2026-11-01"},
    ],
)
def test_what_is_no_day_is_told(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        span_of(now=NOON, by_month=False, **options)


def test_a_batch_counts_under_each_of_its_tags_and_once_in_the_total(till: Till) -> None:
    till.job("both", tags=("a", "b"))
    till.job("one", tags=("b",))
    for job in ("both", "one", "none"):
        till.batch(job, took=TOOK)
    spent = till.spent()
    assert named(spent.rows(By.TAG)) == {"b": 2 * COST, "a": COST, UNTAGGED: COST}
    assert spent.total.cost == 3 * COST
    assert named(spent.rows(By.JOB)) == {"both": COST, "none": COST, "one": COST}


def test_a_live_twin_counts_as_its_profile_at_the_live_price(till: Till) -> None:
    till.batch(took=TOOK)
    till.batch(took=TOOK, profile="openai:live")
    spent = till.spent()
    assert named(spent.rows(By.PROFILE)) == {"openai": COST + LIVE}
    assert spent.total.saved == LIVE - COST


def test_accounts_are_those_of_the_profiles(till: Till) -> None:
    till.write(f'{OWN}[profile.openai]\naccount = "acme"\n[profile.gone]\naccount = "old"\n')
    till.batch(took=TOOK)
    till.batch(took=TOOK, profile="openai:live")
    till.batch("other", took=TOOK, profile="nobody")
    assert named(till.spent().rows(By.ACCOUNT)) == {"acme": COST + LIVE, "default": COST}


def test_flex_has_a_price_of_its_own(till: Till) -> None:
    till.write(f'{OWN}[price."own".flex]\ninput = 3\noutput = 7\n')
    till.job("slow", profile="direct", body={"service_tier": "flex"})
    till.batch("slow", took=(MILLION, 0, MILLION, 0), profile="direct")
    assert till.spent().total.cost == 10 * DOLLAR


def test_each_size_of_requests_has_its_own_rates(till: Till) -> None:
    till.write(f'{OWN}[price."own".batch.long]\nabove = 200000\ninput = 20\n')
    till.batch(took=(100_000, 0, 0, 0))
    till.batch(took=(200_000, 0, 0, 0), size=200)
    till.batch(took=(300_000, 0, 0, 0), size=300)
    assert till.spent().total.cost == (200_000 + 400_000 + 6_000_000) * MILLION


def test_what_has_no_price_is_told_apart_and_never_nothing(till: Till) -> None:
    till.batch("faq", took=TOOK, requests=3)
    till.batch("scans", took=(10, 0, 1, 0), requests=1_204, model="acme-7b")
    spent = till.spent()
    (unknown,) = spent.unpriced
    assert (unknown.model, unknown.requests) == ("acme-7b", 1_204)
    assert '[price."acme-7b".batch]' in unknown.why_not
    assert (spent.total.cost, spent.total.unpriced, spent.total.requests) == (COST, 1_204, 1_207)
    scans = next(row for row in spent.rows(By.JOB) if row.name == "scans")
    assert not scans.is_priced
    assert scans.usage.input_tokens == 10


def test_videos_are_priced_nowhere(till: Till) -> None:
    till.batch(took=(5, 0, 5, 0), endpoint="/v1/videos")
    assert "by the second" in till.spent().unpriced[0].why_not


def test_without_a_live_price_nothing_is_said_of_what_was_saved(till: Till) -> None:
    till.write('[price."own".batch]\ninput = 2\noutput = 5\n')
    till.batch(took=(MILLION, 0, 0, 0), requests=4)
    total = till.spent().total
    assert (total.cost, total.saved, total.uncompared, total.is_compared) == (
        2 * DOLLAR,
        0,
        4,
        False,
    )


def test_what_ran_on_this_machine_cost_nothing(till: Till) -> None:
    till.batch(took=TOOK, profile="local", requests=9)
    spent = till.spent()
    assert (spent.total.cost, spent.total.unpriced, spent.total.requests) == (0, 0, 9)
    assert spent.prices == ()
    assert spent.notes == ("9 requests ran on this machine and cost nothing",)


def test_the_price_of_a_bill_stays_what_it_was(till: Till) -> None:
    price = till.price("own")
    billed = till.batch(took=TOOK, requests=2)
    till.bill(billed, price, reserved=COST, cost=COST, tags=("then",))
    till.write(OWN.replace("4", "40").replace("2", "20"))
    spent = till.spent()
    assert spent.total.cost == COST
    assert [(one.is_frozen, one.requests) for one in spent.prices] == [(True, 2)]
    assert named(spent.rows(By.TAG)) == {"then": COST}
    unbilled = replace(price, table="later")
    till.bill(till.batch(took=TOOK), unbilled, reserved=COST)
    assert till.spent().total.cost == 2 * COST, "not settled yet, but its price is known"


def test_limits_say_what_is_gone_and_what_is_left(till: Till) -> None:
    till.write(f"{OWN}[budget]\nmonth = 20\nsoft_day = 10\n[budget.tag.shop]\ntotal = 0\n")
    price = till.price("own")
    earlier = till.batch(took=TOOK, at=NOON - DAY_S)
    till.bill(earlier, price, reserved=COST, cost=9 * DOLLAR, at=NOON - DAY_S)
    lost = till.batch(took=TOOK)
    till.bill(lost, price, reserved=2 * DOLLAR, cost=DOLLAR, unknown=1)
    running = till.batch(state=BatchState.CREATED)
    till.bill(running, price, reserved=3 * DOLLAR)
    till.batch(state=BatchState.CREATED)
    spent = till.spent()
    month, day, tag = spent.limits
    assert [limit.limit.words for limit in spent.limits] == [
        "$20.00 a month",
        "$10.00 a day (soft)",
        "$0.00 in all of tag 'shop'",
    ]
    assert tuple(month.standing) == (10 * DOLLAR, DOLLAR, 3 * DOLLAR, 0)
    assert (month.percent, month.left) == (55, 6 * DOLLAR)
    assert (day.percent, day.left) == (20, 5 * DOLLAR)
    assert (tag.percent, tag.left, tag.ends_at) == (100, 0, None)
    assert tuple(spent.underway) == (2, 3 * DOLLAR, 1)
    assert spent.total.presumed == DOLLAR


def test_a_job_has_limits_of_its_own(till: Till) -> None:
    from batchrun.model import Allowance

    till.job("faq", budget=Allowance(total=5 * DOLLAR))
    (limit,) = till.spent().limits
    assert (limit.limit.words, limit.left) == ("$5.00 in all of job 'faq'", 5 * DOLLAR)


def test_where_the_service_counts_more_that_is_what_was_spent(till: Till) -> None:
    said = {"input_tokens": 4 * MILLION, "output_tokens": 2 * MILLION}
    till.batch(took=TOOK, said=said)
    till.batch(took=(0, 0, 0, 0), said={"input_tokens": MILLION, "output_tokens": 0})
    spent = till.spent()
    assert spent.total.usage.input_tokens == 5 * MILLION
    assert spent.total.cost == COST + 4 * DOLLAR
    (note,) = spent.notes
    assert note.startswith("of 2 batches the service counts otherwise")


def test_lost_batches_without_a_bill_are_told(till: Till) -> None:
    till.batch(state=BatchState.LOST)
    assert till.spent().notes == (
        "given up as lost: 1 batch; what they may have cost is in no figure",
    )


def test_calls_of_hosted_tools_are_told(till: Till) -> None:
    till.job("faq", body={"tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]})
    till.batch(took=TOOK)
    assert till.spent().notes[0].startswith("calls of web_search are billed beside the tokens")


def test_fees_that_were_reserved_are_part_of_what_was_spent_and_told(till: Till) -> None:
    till.job("faq", body={"tools": [{"type": "web_search"}]})
    batch = till.batch(took=TOOK)
    till.bill(batch, till.price("own"), reserved=2 * COST, cost=COST + DOLLAR, fees=DOLLAR)
    spent = till.spent()
    assert (spent.total.cost, spent.total.saved) == (COST + DOLLAR, LIVE - COST)
    (note,) = spent.notes
    assert note.startswith("$1.00 of it are fees of tools")


def test_trials_count_as_they_do_in_the_limits(till: Till) -> None:
    till.write(f"{OWN}[budget]\nmonth = 20\n")
    till.insert(
        "trials", account="default", profile="openai", job="faq", tags='["a"]', amount=DOLLAR, booked_at=NOON, is_settled=1,
    )  # fmt: skip
    spent = till.spent()
    assert named(spent.rows(By.TAG)) == {"a": DOLLAR}
    assert (spent.total.cost, spent.total.requests) == (DOLLAR, 0)
    assert spent.limits[0].standing.spent == spent.total.cost
    assert spent.notes == (
        "$1.00 of it took `batchrun try`, whose requests and tokens are not kept",
    )


def test_a_trial_that_was_killed_is_presumed_as_in_the_limits(till: Till) -> None:
    till.write(f"{OWN}[budget]\nmonth = 20\n")
    till.insert(
        "trials", account="default", profile="openai", job="faq", tags="[]", amount=DOLLAR, booked_at=NOON,
    )  # fmt: skip
    spent = till.spent()
    assert (spent.total.cost, spent.total.presumed) == (0, DOLLAR)
    stands = spent.limits[0].standing
    assert (stands.spent, stands.presumed) == (0, DOLLAR)


def test_what_a_forgotten_job_took_stays(till: Till) -> None:
    till.batch(took=TOOK)
    till.execute("update jobs set name = 'forgotten~1', source = '', settings = '{}'")
    assert named(till.spent().rows(By.JOB)) == {FORGOTTEN: COST}


def test_the_timeline_has_every_day_that_has_come_and_months_where_it_is_long(till: Till) -> None:
    till.batch(took=TOOK, at=NOON - 2 * DAY_S)
    timeline = till.spent(month="2026-11").timeline
    assert len(timeline) == 21
    assert timeline[-3:] == (("2026-11-19", COST), ("2026-11-20", 0), ("2026-11-21", 0))
    months = till.spent(since="2026-01-01").timeline
    assert months[-2:] == (("2026-10", 0), ("2026-11", COST))
    assert len(months) == 11


def test_it_reads_batches_and_no_items(till: Till) -> None:
    a_busy_month(till)
    asked: list[str] = []
    with till.ledger() as ledger:
        ledger.connection.set_trace_callback(asked.append)
        from batchrun.spending.report import spending

        spending(ledger, till.config, span_of(now=NOON, by_month=False), now=NOON)
    assert asked
    assert not [
        sql for sql in asked if "item_rows" in sql or "result_rows" in sql or "history" in sql
    ]
