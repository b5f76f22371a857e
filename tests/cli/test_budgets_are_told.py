"""What a person sees of limits: who waits for money and why, what is left, and who lets go what was stopped."""

import sqlite3
from pathlib import Path

import pytest
from clikit import FAST_PROFILE, Desk

from batchrun.service.service import BatchService

PRICE = '[price."gpt-5-mini"]\nbatch = { input = 10, output = 100 }\n'
# At worst $0.21055 a request: 2,000 tokens of answer, what comes on top of a cap, and a few of input. Each takes $0.00044.


def settings(desk: Desk, text: str) -> None:
    (desk.folder / "batchrun.toml").write_text(FAST_PROFILE + PRICE + text)


def ledger(desk: Desk, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(desk.folder / ".batchrun" / "batchrun.db") as connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return found


def texts(count: int) -> list[str]:
    return [f"question {number}" for number in range(count)]


def test_a_limit_that_is_used_up_ends_a_run_with_8_and_says_what_helps(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 0.2107\n")
    called = desk.call("run", desk.job("faq", *texts(3)))
    assert called.code == 8
    (line,) = [found for found in called.err.splitlines() if "items open" in found]
    assert "is left of $0.211 a month, and the next batch may cost up to $" in line
    assert (
        "It goes on by itself from 2026-10-01T00:00:00Z on, when the next month begins (UTC)"
        in line
    )
    assert f"change 'month' under [budget] in {desk.folder / 'batchrun.toml'}" in line
    assert line.endswith("The answers so far: batchrun results faq@openai --format files")
    done = desk.call("status", "--json").json["jobs"][0]
    assert 0 < done["counts"]["succeeded"] < 3
    assert done["short"] in done["waiting"]
    shown = desk.call("status", "faq")
    assert shown.code == 8
    assert "waiting for money" in shown.out
    assert f"  waits: {done['short']}" in shown.out
    assert desk.call("wait", "faq").code == 8
    report = desk.call("results", "faq", "--format", "files", "--json").json["outputs"]
    assert done["short"] in (Path(report) / "report.json").read_text()
    assert "**Waits for money:**" in (Path(report) / "report.md").read_text()
    (check,) = [
        c for c in desk.call("doctor", "--offline", "--json").json["checks"] if c["name"] == "money"
    ]
    assert check["level"] == "warn"
    assert "faq" in check["what"]


def test_a_larger_limit_in_the_job_line_lets_the_job_go_on(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "")
    path = desk.job("faq", *texts(3), budget=0.1)
    called = desk.call("run", path)
    assert called.code == 8
    assert (
        f"This limit is for the job's whole life: only a larger one lets more be sent. To raise it, change 'budget' in the job line of {desk.folder / path}"
        in called.err
    )
    desk.job("faq", *texts(3), budget=5)
    assert desk.call("run", path).code == 0
    assert desk.call("status", "--json").json["jobs"][0]["short"] is None


def test_tick_tells_once_that_a_job_waits_for_money_and_again_when_it_came_again(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget.job.faq]\nday = 0.1\n")
    path = desk.job("faq", *texts(2))
    desk.call("submit", path)
    ledger(desk, "update short_of_money set told_at = null")
    called = desk.call("tick")
    assert called.code == 8
    (line,) = called.err.splitlines()
    assert line.startswith(
        "batchrun: job faq@openai waits for money: $0.10 is left of $0.10 a day of job 'faq'"
    )
    assert "more than a whole day may cost: only a larger limit" in line
    again = desk.call("tick")
    assert (again.code, again.out, again.err) == (0, "", "")
    settings(desk, "")
    assert desk.call("wait").code == 0
    settings(desk, "[budget]\nday = 0\n")
    desk.call("submit", desk.job("faq", *texts(3)), "--reask")
    ledger(desk, "update short_of_money set told_at = null")
    told = desk.call("tick", "--json")
    assert told.code == 8
    assert told.json["jobs"][0]["short"].startswith("a limit of $0.00 a day lets nothing be sent")
    assert desk.call("tick").code == 0


def test_a_batch_that_cost_too_much_stops_its_account_until_somebody_resumes(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 100\n")
    assert desk.call("run", desk.job("faq", *texts(2))).code == 0
    ledger(desk, "update bills set cost = reserved + 1000000000000, is_overrun = 1")
    called = desk.call("run", desk.job("faq", *texts(3)))
    assert called.code == 8
    assert (
        "batch 1 cost $1.00 more than the most that was reckoned with, so account 'default' sends nothing"
        in called.err
    )
    assert "Go on with: batchrun resume\n" in called.err
    resumed = desk.call("resume")
    assert resumed.out.endswith(
        "it was stopped, with its account, by 1 batch that cost more than was reserved\n"
    )
    assert desk.call("wait").code == 0
    assert desk.call("resume", "--json").json["overruns"] == 0


@pytest.mark.parametrize("words", [("wait",), ("run", "faq.jsonl")])
def test_who_waits_is_told_once_that_the_rest_goes_in_parts(
    desk: Desk, service: BatchService, words: tuple[str, ...]
) -> None:
    settings(desk, "[budget]\nmonth = 0.45\n")
    desk.call("submit", desk.job("faq", *texts(3)))
    called = desk.call(*words)
    assert called.code == 0
    told = [line for line in called.err.splitlines() if "waits for money" in line]
    assert len(told) == 1
    assert "More is sent as batches that are out are settled for less" in told[0]


def test_status_shows_how_limits_stand_and_of_a_job_those_that_it_falls_under(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 5\nsoft_day = 2\n[budget.tag.nightly]\nday = 1\n")
    desk.call("submit", desk.job("faq", *texts(3), budget=3))
    shown = desk.call("status").out.splitlines()[-4:]
    assert shown == [
        "budget: $0.632 of $5.00 a month: $4.36 left ($0.632 reserved)",
        "budget: $0.632 of $2.00 a day (soft): $1.36 left ($0.632 reserved)",
        "budget: $0.00 of $1.00 a day of tag 'nightly': $1.00 left",
        "budget: $0.632 of $3.00 in all of job 'faq': $2.36 left ($0.632 reserved)",
    ]
    assert desk.call("wait").code == 0
    found = desk.call("status", "faq", "--json").json
    assert [(one["scope"], one["period"], one["hard"]) for one in found["limits"]] == [
        ("home", "month", True),
        ("home", "day", False),
        ("job", "total", True),
    ]
    month = found["limits"][0]
    assert month["spent"]["usd"] == "0.00132"
    assert month["left"]["usd"] == "4.99868"
    assert month["ends_at"] == "2026-10-01T00:00:00Z"
    assert found["limits"] == [
        {**one} for one in desk.call("spend", "--json").json["limits"] if one["scope"] != "tag"
    ]


def test_status_without_limits_has_no_line_of_them_and_wrong_settings_do_not_stop_it(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "")
    desk.call("submit", desk.job("faq", *texts(1)))
    assert "budget" not in desk.call("status").out
    assert desk.call("status", "--json").json["limits"] == []
    settings(desk, "[budget]\nweek = 3\n")
    called = desk.call("status")
    assert called.code == 0
    assert "faq" in called.out
    assert "limits are not shown" in called.err
    assert "'week'" in called.err


@pytest.mark.parametrize("words", [("wait",), ("run", "faq.jsonl"), ("tick",)])
def test_shares_of_a_limit_are_told_once_by_whoever_finds_them(
    desk: Desk, service: BatchService, words: tuple[str, ...]
) -> None:
    settings(desk, "[budget]\nsoft_total = 0.0008\n")
    desk.call("submit", desk.job("faq", *texts(1)))
    for _ in range(100 if words == ("tick",) else 1):
        called = desk.call(*words)
        told = [line for line in called.err.splitlines() if "is spent" in line]
        if told:
            break
        desk.clock.advance(1)
    assert told == ["batchrun: 50 % of $0.0008 in all (soft) is spent: $0.00044"]
    assert called.code == 0
    assert "is spent" not in desk.call(*words).err
    assert "; over 50 % is spent" in desk.call("status").out
    settings(desk, "[budget]\nsoft_total = 0.0009\nnotices = [10, 20, 48]\n")
    found = desk.call("submit", desk.job("more", *texts(1)), "--json").json
    assert [(one["percent"], one["amount"]["usd"]) for one in found["notices"]] == [(48, "0.0009")]
    assert found["notices"][0]["spent"]["usd"] == "0.00044"


def test_a_limit_that_is_lowered_is_told_by_the_next_tick_though_nothing_else_is_due(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 0.2107\n")
    assert desk.call("run", desk.job("faq", *texts(3))).code == 8
    assert desk.call("tick").code == 0  # was told
    settings(desk, "[budget]\nmonth = 0.0001\n")
    desk.call("tick")
    (job,) = desk.call("status", "--json").json["jobs"]
    assert "$0.0001 a month" in job["short"]


def test_a_batch_that_cost_too_much_is_told_though_nothing_waits(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 100\n")
    assert desk.call("run", desk.job("faq", *texts(2))).code == 0
    ledger(desk, "update bills set cost = reserved + 1000000000000, is_overrun = 1")
    for words in (("tick",), ("wait",)):
        called = desk.call(*words)
        assert called.code == 8
        assert "batch 1 cost $1.00 more than the most that was reckoned with" in called.err
    desk.call("resume")
    assert desk.call("tick").code == 0


def test_a_share_of_a_limit_that_is_new_or_lowered_is_told_by_a_tick_with_nothing_else_to_do(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "")
    assert desk.call("run", desk.job("faq", *texts(2))).code == 0
    told = []
    for month in ("0.001", "0.001", "0.0005"):
        settings(desk, f"[budget]\nmonth = {month}\n")
        called = desk.call("tick")
        assert called.code == 0
        told.append(called.err)
    assert told == [
        "batchrun: 75 % of $0.001 a month is spent: $0.00088 since 2026-09-01 (UTC)\n",
        "",
        "batchrun: more than $0.0005 a month is spent: $0.00088 since 2026-09-01 (UTC)\n",
    ]


def test_doctor_warns_of_limits_for_tags_and_jobs_that_no_job_has(
    desk: Desk, service: BatchService
) -> None:
    names = ("tag.nightly", "tag.nigthly", "job.faq", "job.fap")
    settings(desk, "".join(f"[budget.{name}]\nday = 1\n" for name in names))
    desk.call("submit", desk.job("faq", *texts(1), tags=["nightly"]))
    checks = desk.call("doctor", "--offline", "--json").json["checks"]
    found = [check["what"] for check in checks if check["name"] == "limits"]
    assert found == [
        "[budget.job.fap] is for a job that no job of this home has. Did you mean 'faq'?",
        "[budget.tag.nigthly] is for a tag that no job of this home has. Did you mean 'nightly'?",
    ]
