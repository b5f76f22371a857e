"""What is said at submit of a job under limits: what it may cost at most, what they leave; and what nothing bounds is refused, with nothing stored."""

import pytest
from clikit import FAST_PROFILE, Desk

from batchrun.service.service import BatchService

PRICE = '[price."gpt-5-mini"]\nbatch = { input = 10, output = 100 }\n'
# At worst $0.21055 a request.


def settings(desk: Desk, text: str) -> None:
    (desk.folder / "batchrun.toml").write_text(FAST_PROFILE + PRICE + text)


def told(desk: Desk, text: str) -> str:
    """With the table of prices, which is the desk's own, by a short name."""
    return text.replace(str(desk.folder / "batchrun.toml"), "PRICES")


def texts(count: int) -> list[str]:
    return [f"question {number}" for number in range(count)]


def test_submit_says_the_worst_case_and_what_the_tightest_limit_leaves(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 10\nday = 1\nsoft_day = 0.1\n")
    path = desk.job("faq", *texts(2))
    assert "\n  may cost up to $0.422 (PRICES); $1.00 a day leaves $1.00\n" in told(
        desk, desk.call("submit", path).out
    )
    again = desk.call("submit", path)
    assert "may cost" not in again.out
    assert desk.call("submit", path, "--json").json["jobs"][0]["budget"] is None
    desk.job("faq", *texts(7))
    dry = told(desk, desk.call("submit", path, "--dry-run").out)
    assert (
        "  may cost up to $1.06 (PRICES); $1.00 a day leaves $0.578: what fits goes first, and more of it as batches are settled for less\n"
        in dry
    )
    budget = desk.call("submit", path, "--json").json["jobs"][0]["budget"]
    assert budget["worst"] == {"picodollars": 1052750000000, "usd": "1.05275"}
    assert budget["left"]["usd"] == "0.5789"
    assert budget["prices"] == [str(desk.folder / "batchrun.toml")]
    assert (budget["scope"], budget["period"], budget["amount"]["usd"]) == ("home", "day", "1")


def test_check_says_it_without_a_home_and_estimate_with_one(
    desk: Desk, service: BatchService
) -> None:
    settings(desk, "[budget]\nmonth = 1\n")
    path = desk.job("faq", *texts(2))
    assert "  may cost up to $0.422 (PRICES), under $1.00 a month\n" in told(
        desk, desk.call("check", path).out
    )
    desk.call("submit", path)
    desk.job("faq", *texts(3))
    assert "  may cost up to $0.632 (PRICES), under $1.00 a month\n" in told(
        desk, desk.call("check", path).out
    )
    said = desk.call("estimate", path)
    assert said.code == 0
    assert "  budget  may cost up to $0.211 (PRICES); $1.00 a month leaves $0.578\n" in told(
        desk, said.out
    )
    settings(desk, "[budget]\nmonth = 0.1\n")
    assert "; nothing is left of $0.10 a month: it waits" in desk.call("estimate", path).out
    settings(desk, "[budget]\nmonth = 0\n")
    assert "; $0.00 a month lets nothing be sent" in desk.call("estimate", path).out


@pytest.mark.parametrize("command", ["submit", "run", "check"])
def test_what_nothing_bounds_is_refused_under_a_hard_limit_and_leaves_no_trace(
    desk: Desk, service: BatchService, command: str
) -> None:
    settings(desk, "[budget]\nsoft_month = 5\n")
    path = desk.job("faq", model="nobody-knows-it")
    assert desk.call("check", path).code == 0
    settings(desk, "[budget]\nmonth = 5\n")
    called = desk.call(command, path)
    assert called.code == 8
    assert called.err.startswith(
        "batchrun: faq: $5.00 a month cannot be kept to, so nothing was sent: no batch price of 'nobody-knows-it'"
    )
    assert "Give it in" in called.err
    path = desk.job("tools", endpoint="/v1/responses", body={"tools": [{"type": "web_search"}]})
    called = desk.call(command, path)
    assert called.code == 8
    assert "web_search" in called.err
    if command != "check":
        assert desk.call("status", "--json").json["jobs"] == []
    said = desk.call("estimate", path)
    assert said.code == 8
    assert "  budget  is refused under $5.00 a month: " in told(desk, said.out)


def test_what_is_on_this_machine_costs_nothing_and_is_not_measured(desk: Desk) -> None:
    settings(desk, "[budget]\nmonth = 0\n")
    called = desk.call("check", desk.job("faq", backend="local"), "--json")
    assert called.code == 0
    assert called.json["jobs"][0]["budget"] is None


def test_a_deadline_may_cost_what_live_answers_cost(desk: Desk, service: BatchService) -> None:
    live = PRICE.replace("batch", "input = 20\noutput = 200\nbatch")
    (desk.folder / "batchrun.toml").write_text(FAST_PROFILE + live + "[budget]\nmonth = 10\n")
    path = desk.job("faq", *texts(2), deadline="8h")
    assert "  may cost up to $0.843 (PRICES), under $10.00 a month" in told(
        desk, desk.call("check", path).out
    )
