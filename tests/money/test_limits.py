"""Limits: how they are written, which of them a job falls under, and when their days and months begin."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchrun.config import load_config
from batchrun.errors import UsageError
from batchrun.model import Allowance
from batchrun.money.amounts import DOLLAR
from batchrun.money.limits import Budgets, Limit, Payer, Period, Scope, read_budgets
from batchrun.money.remedies import how_to_raise

PAYER = Payer(account="team", profile="night", job="reviews", tags=("nightly", "eu"))


def budgets(text: str) -> Budgets:
    problems: list[str] = []
    found = read_budgets(tomllib.loads(text)["budget"], "batchrun.toml", problems)
    assert problems == []
    return found


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_a_job_falls_under_every_limit_that_names_it() -> None:
    of_file = budgets(
        "[budget]\nmonth = 10\nsoft_day = 1\n"
        "[budget.account.team]\nmonth = 6\n[budget.account.other]\nmonth = 1\n"
        "[budget.profile.night]\nday = 0.5\n[budget.tag.eu]\ntotal = 3\n[budget.tag.us]\ntotal = 1\n"
        "[budget.job.reviews]\nday = 0.25\n"
    )
    found = of_file.limits_of(PAYER, Allowance(total=DOLLAR))
    assert [limit.words for limit in found] == [
        "$10.00 a month",
        "$1.00 a day (soft)",
        "$6.00 a month of account 'team'",
        "$0.50 a day of profile 'night'",
        "$3.00 in all of tag 'eu'",
        "$0.25 a day of job 'reviews'",
        "$1.00 in all of job 'reviews'",
    ]


@pytest.mark.parametrize(
    ("period", "now", "since", "ends"),
    [
        (Period.DAY, "2026-11-22T11:30:00", "2026-11-22T00:00:00", "2026-11-23T00:00:00"),
        (Period.MONTH, "2026-11-22T11:30:00", "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
        (Period.MONTH, "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        (Period.MONTH, "2028-02-29T00:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
    ],
)
def test_periods_begin_and_end_in_utc(period: Period, now: str, since: str, ends: str) -> None:
    assert (period.since(at(now)), period.ends(at(now))) == (at(since), at(ends))


def test_a_total_never_ends() -> None:
    assert (Period.TOTAL.since(at("2026-11-22")), Period.TOTAL.ends(at("2026-11-22"))) == (0, None)


def test_no_cent_is_lost_between_the_file_and_the_limit() -> None:
    found = budgets("[budget]\nmonth = 0.1\n").limits
    assert found == (Limit(scope=Scope.HOME, name="", period=Period.MONTH, amount=DOLLAR // 10),)


def test_a_limit_of_nothing_is_a_limit() -> None:
    assert [limit.amount for limit in budgets("[budget]\nday = 0\n").limits] == [0]


def test_everything_wrong_with_the_table_is_said_at_once(tmp_path: Path) -> None:
    text = "[budget]\nmonth = -1\nyear = 5\nnotices = [0]\n[budget.tag.eu]\nday = 5000000\nyear = 1\n[budget.accounts.a]\nday = 1\n"
    (tmp_path / "batchrun.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load_config(tmp_path, None, {})
    said = str(refused.value)
    assert "[budget] has month = -1; it takes a number from 0" in said
    assert "[budget] has an unknown key 'year'" in said
    assert "notices = [0]; it takes a list of whole numbers from 1 to 100" in said
    assert "[budget.tag.eu] has day = 5000000; it takes dollars, 4,000,000 at most" in said
    assert "[budget.tag.eu] has an unknown key 'year'" in said
    assert "unknown key 'accounts'. Did you mean 'account'?" in said


def test_a_limit_for_a_profile_or_an_account_that_there_is_not_is_refused(tmp_path: Path) -> None:
    text = "[profile.night]\naccount = 'team'\n[budget.profile.nihgt]\nday = 1\n[budget.account.taem]\nday = 1\n[budget.account.team]\nday = 1\n"
    (tmp_path / "batchrun.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load_config(tmp_path, None, {})
    assert [line.partition("batchrun.toml: ")[2] for line in str(refused.value).splitlines()] == [
        "[budget.profile.nihgt] is for no profile that there is. Did you mean 'night'? Known: direct, local, night, openai.",
        "[budget.account.taem] is for no account that there is. Did you mean 'team'? Known: default, team.",
    ]


def test_a_limit_for_a_name_that_no_tag_or_job_can_have_is_refused(tmp_path: Path) -> None:
    text = "[budget.tag.'my tag']\nday = 1\n[budget.job.'jobs/faq']\nday = 1\n[budget.tag.nightly]\nday = 1\n"
    (tmp_path / "batchrun.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load_config(tmp_path, None, {})
    first, second = str(refused.value).splitlines()
    assert "[budget.tag.my tag] is for a name that there cannot be" in first
    assert "[budget.job.jobs/faq] is for a name that there cannot be" in second


def test_a_budget_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "batchrun.toml").write_text("budget = 5\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"'budget' is a table\. Write \[budget\]"):
        load_config(tmp_path, None, {})


def test_the_largest_limit_is_one() -> None:
    assert budgets("[budget]\nday = 4000000\n").limits[0].amount == 4_000_000 * DOLLAR


def test_limits_beside_the_home_hold_for_job_files_with_settings_of_their_own(
    tmp_path: Path,
) -> None:
    home, project = tmp_path / "here" / ".batchrun", tmp_path / "project"
    project.mkdir()
    home.parent.mkdir()
    (home.parent / "batchrun.toml").write_text(
        "[profile.openai]\naccount = 'team'\n[budget]\nday = 1\nmonth = 5\n[budget.account.team]\nday = 0\n",
        encoding="utf-8",
    )
    (project / "batchrun.toml").write_text("[budget]\nday = 1\n", encoding="utf-8")
    found = load_config(project, home, {}).budgets.limits_of(PAYER)
    assert [limit.words for limit in found] == [
        "$1.00 a day",
        "$5.00 a month",
        "$0.00 a day of account 'team'",
    ]
    told = [how_to_raise(limit, "settings", "job.jsonl") for limit in found]
    assert told[0].endswith("under [budget] in settings")
    assert told[1].endswith(f"under [budget] in {home.parent / 'batchrun.toml'}")
    assert load_config(None, home, {}).budgets.beside == ()
    assert load_config(home.parent, home, {}).budgets.beside == ()
