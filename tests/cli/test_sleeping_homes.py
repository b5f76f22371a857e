"""A home that nobody ticked for weeks: status and tick warn while there is still time, and the report says so."""

import json

from clikit import Desk

from batchrun.service.service import BatchService

DAY_S = 86_400


def asleep(desk: Desk, days: int) -> None:
    """A job is sent, and then nobody looks for so many days."""
    assert desk.call("submit", desk.job()).code == 0
    desk.clock.advance(days * DAY_S)


def test_status_warns_of_results_that_are_about_to_expire(
    desk: Desk, service: BatchService
) -> None:
    asleep(desk, 21)
    called = desk.call("status")
    assert called.code == 0
    assert "warning: the last pass was 21 days ago, and 1 batch of this home" in called.err
    assert "batchrun tick" in called.err
    (warning,) = desk.call("status", "--json").errors
    assert warning["type"] == "warning"


def test_tick_says_so_once_and_the_report_keeps_it(desk: Desk, service: BatchService) -> None:
    asleep(desk, 25)
    assert "25 days ago" in desk.call("tick").err
    assert "days ago" not in desk.call("tick").err
    desk.call("wait")
    report = json.loads((desk.folder / "outputs" / "faq" / "report.json").read_bytes())
    assert [incident["kind"] for incident in report["incidents"]] == ["slept"]


def test_a_home_that_was_ticked_in_time_or_has_nothing_in_flight_is_not_warned(
    desk: Desk, service: BatchService
) -> None:
    asleep(desk, 19)
    assert "warning" not in desk.call("status").err
    desk.call("wait")
    desk.clock.advance(40 * DAY_S)
    assert "warning" not in desk.call("status").err
