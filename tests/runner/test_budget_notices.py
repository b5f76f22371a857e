"""Shares of limits that were reached: rows and events, each once, whatever else happens."""

import json
from typing import Any

from runnerkit import DAY_S, World, items

PRICE = '[price."gpt-4.1-mini"]\nbatch = { input = 10, output = 100 }\n'


def spend(world: World, text: str, **changes: Any) -> None:
    """Answer 20 items, and set the limits of which that is to be a share."""
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nsoft_total = 100\n")
    world.write(items(20), **changes)
    world.submit()
    world.run()
    spent = world.rows("select sum(cost) as cost from bills")[0]["cost"] / 10**12
    amounts = {f"{percent} %": spent * 100 / percent for percent in (40, 55, 80, 95)}
    for name, amount in amounts.items():
        text = text.replace(f"<{name}>", f"{amount:.9f}")
    (world.folder / "batchrun.toml").write_text(PRICE + text)


def reached(world: World) -> list[tuple[str, str, int]]:
    rows = world.rows(
        "select * from budget_notices where amount < 90000000000000 order by scope, period, percent"
    )
    return [(row["scope"], row["period"], row["percent"]) for row in rows]


def events(world: World) -> list[Any]:
    return [
        json.loads(row["detail"])["percent"]
        for row in world.rows("select detail from events where event = 'budget_notice' order by id")
    ]


def test_a_share_that_jumps_gives_a_row_for_each_and_one_message(world: World) -> None:
    spend(
        world,
        "[budget]\nmonth = <95 %>\nsoft_day = <55 %>\n[budget.tag.eu]\nday = <40 %>\n",
        tags=["eu"],
    )
    world.tick()
    assert reached(world) == [
        ("home", "day", 50),
        ("home", "month", 50),
        ("home", "month", 75),
        ("home", "month", 90),
    ]
    assert sorted(events(world)) == [50, 90]
    found = {notice.limit.period: notice.percent for notice in world.api().untold_notices()}
    assert found == {"month": 90, "day": 50}
    before = reached(world)
    world.tick()
    world.tick()
    assert (reached(world), len(events(world))) == (before, 2)


def test_what_was_told_is_not_told_again_and_a_larger_share_is(world: World) -> None:
    spend(world, "[budget]\nmonth = <80 %>\n")
    world.tick()
    api = world.api()
    (told,) = api.untold_notices()
    assert told.words.startswith("75 % of $")
    assert told.words.endswith(" since 2026-09-01 (UTC)")
    api.mark_notices_told([told])
    assert api.untold_notices() == ()
    text = (world.folder / "batchrun.toml").read_text() + "notices = [50, 75, 79]\n"
    (world.folder / "batchrun.toml").write_text(text)
    world.tick()
    assert [notice.percent for notice in world.api().untold_notices()] == [79]


def test_a_limit_of_another_amount_is_another_limit(world: World) -> None:
    spend(world, "[budget]\nmonth = <80 %>\n")
    world.tick()
    world.api().mark_notices_told(world.api().untold_notices())
    lower = (world.folder / "batchrun.toml").read_text()
    spent = world.rows("select sum(cost) as cost from bills")[0]["cost"] / 10**12
    (world.folder / "batchrun.toml").write_text(PRICE + f"[budget]\nmonth = {spent / 0.6:.9f}\n")
    world.tick()
    assert [notice.percent for notice in world.api().untold_notices()] == [50]
    world.api().mark_notices_told(world.api().untold_notices())
    (world.folder / "batchrun.toml").write_text(lower)
    world.tick()
    assert world.api().untold_notices() == ()


def test_the_next_period_has_its_own(world: World) -> None:
    spend(world, "[budget]\nday = <95 %>\n")
    world.tick()
    assert [one.notices for one in world.api().limits()] == [(50, 75, 90)]
    world.clock.advance(DAY_S)
    assert [(one.notices, one.percent) for one in world.api().limits()] == [((), 0)]
    world.tick()
    assert [
        row["percent"] for row in world.rows("select * from budget_notices where period = 'day'")
    ] == [50, 75, 90]


def test_a_limit_of_a_job_line_is_told_of_when_the_job_has_ended(world: World) -> None:
    (world.folder / "batchrun.toml").write_text(PRICE)
    world.write(items(20), budget=2.5)
    world.submit()
    world.run()
    spent = world.rows("select sum(cost) as cost from bills")[0]["cost"] / 10**12
    assert spent < 1
    assert reached(world) == []
    world.write(items(20), budget={"soft_total": spent})
    world.submit()
    world.tick()
    assert reached(world) == [("job", "total", 50), ("job", "total", 75), ("job", "total", 90)]


def test_nothing_is_told_of_a_limit_of_nothing(world: World) -> None:
    spend(world, "[budget]\nmonth = 0\n")
    world.tick()
    assert reached(world) == []
