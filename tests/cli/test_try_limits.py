"""What is tried counts in the limits, kept or not."""

import pytest
from clikit import FAST_PROFILE, Desk

from batchrun.ledger.bills import Standing, standing
from batchrun.ledger.connection import open_for_reading, open_ledger
from batchrun.ledger.home import Home
from batchrun.money.limits import Limit, Period, Scope
from batchrun.service.service import BatchService

# Ten tokens of answer, and what comes on top of a cap, at a dollar each.
PRICE = """
[price."gpt-5-mini"]
input = 1
output = 1_000_000
"""


def limited(desk: Desk, limits: str) -> None:
    (desk.folder / "batchrun.toml").write_text(FAST_PROFILE + PRICE + limits, encoding="utf-8")


def stands(desk: Desk) -> Standing:
    limit = Limit(scope=Scope.HOME, name="", period=Period.TOTAL, amount=0)
    with open_for_reading(Home(desk.folder / ".batchrun")) as ledger:
        return standing(ledger, limit, 1_000)


@pytest.mark.parametrize("options", [(), ("--keep",)])
def test_what_was_tried_is_spent(
    desk: Desk, server: tuple[BatchService, list[str]], options: tuple[str, ...]
) -> None:
    limited(desk, "[budget]\nmonth = 1000\n")
    assert desk.call("try", desk.job("faq", *"abcd", max_output_tokens=10), *options).code == 0
    # Three answers of a token each, and three of input.
    assert stands(desk) == (3 * 10**12 + 3 * 10**6, 0, 0, 0)


@pytest.mark.parametrize("options", [(), ("--keep",)])
def test_what_a_limit_does_not_leave_is_not_tried(
    desk: Desk, asked: list[str], options: tuple[str, ...]
) -> None:
    limited(desk, "[budget]\nday = 20\n")
    called = desk.call("try", desk.job("faq", *"abcd", max_output_tokens=10), *options)
    assert called.code == 8
    assert "$20.00 a day" in called.err
    assert asked == []


def test_what_was_spent_before_leaves_less_to_try(desk: Desk, asked: list[str]) -> None:
    limited(desk, "[budget]\nday = 250\n")
    assert desk.call("try", desk.job("faq", *"abc", max_output_tokens=10)).code == 0
    limited(desk, "[budget]\nday = 77\n")  # one of them may cost 75
    called = desk.call("try", desk.job("faq", "d", max_output_tokens=10))
    assert called.code == 8
    assert "$73.99 is left" in called.err
    assert len(asked) == 3


def test_a_price_that_nobody_knows_is_asked_for_first(desk: Desk, asked: list[str]) -> None:
    limited(desk, "[budget]\nday = 20\n")
    called = desk.call("try", desk.job("faq", "a", model="nobody-knows-it"))
    assert called.code == 8
    assert "Give it in" in called.err
    assert asked == []


def test_an_account_that_a_batch_has_stopped_is_asked_nothing_beside_it(
    desk: Desk, asked: list[str]
) -> None:
    limited(desk, "[budget]\nmonth = 1000\n")
    assert desk.call("try", desk.job("faq", "a", max_output_tokens=10), "--keep").code == 0
    with open_ledger(Home(desk.folder / ".batchrun")) as ledger, ledger.transaction():
        ledger.execute("update bills set is_overrun = 1")
    called = desk.call("try", desk.job("other", "b", max_output_tokens=10))
    assert called.code == 8
    assert "account 'default' sends nothing" in called.err
    assert len(asked) == 1
