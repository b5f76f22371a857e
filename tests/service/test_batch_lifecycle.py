"""A batch from creation to its end, on a clock that the test moves."""

import pytest
from servicekit import DAY_S, HOUR_S, Desk, OpenDesk, request

from batchrun.errors import IllegalTransition
from batchrun.model import JsonObject
from batchrun.service.lifecycle import ENDED, MOVES, Status, check_move
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.script import Rule
from batchrun.testing import START

SLOW = Options(validating_s=10, line_s=100, finalizing_s=20, cancelling_s=30)


def test_a_slow_batch_shows_every_status_and_time(open_desk: OpenDesk) -> None:
    desk = open_desk(options=SLOW)
    batch_id = desk.create(request("a"), request("b"))
    seen: list[tuple[int, str, JsonObject]] = []
    for _ in range(25):
        desk.work()
        batch = desk.batch(batch_id)
        if not seen or (seen[-1][1], seen[-1][2]) != (batch["status"], batch["request_counts"]):
            seen.append((desk.clock.now() - START, batch["status"], batch["request_counts"]))
        desk.clock.advance(10)
    assert [(at, status, counts["completed"]) for at, status, counts in seen] == [
        (0, "validating", 0),
        (10, "in_progress", 0),
        (110, "in_progress", 1),
        (210, "finalizing", 2),
        (230, "completed", 2),
    ]
    batch = desk.batch(batch_id)
    stamps = {key: at - START for key, at in batch.items() if key.endswith("_at") and at}
    assert stamps == {
        "created_at": 0,
        "expires_at": DAY_S,
        "in_progress_at": 10,
        "finalizing_at": 210,
        "completed_at": 230,
    }


def test_work_ends_at_its_time_and_says_that_lines_are_left(open_desk: OpenDesk) -> None:
    desk = open_desk(script=[Rule(delay_s=10)])
    batch_id = desk.create(*(request(str(number)) for number in range(10)))
    assert desk.service.work(25) is True
    assert desk.batch(batch_id)["request_counts"]["completed"] == 3
    assert desk.service.work(0) is True
    assert desk.batch(batch_id)["request_counts"]["completed"] == 3
    assert desk.service.work(1_000) is False
    assert desk.status(batch_id) == "completed"


def test_batches_are_executed_in_the_order_of_their_creation(open_desk: OpenDesk) -> None:
    desk = open_desk(script=[Rule(delay_s=10)])
    first, second = desk.create(request("a"), request("b")), desk.create(request("c"))
    desk.service.work(15)
    assert (desk.status(first), desk.status(second)) == ("completed", "in_progress")


def test_usage_is_the_sum_of_the_answers_also_of_those_that_failed(open_desk: OpenDesk) -> None:
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    rules = [
        Rule(custom_id="a", body={"usage": usage}),
        Rule(custom_id="b", body={"usage": usage}, status=500),
    ]
    desk = open_desk(script=rules)
    batch_id = desk.create(request("a"), request("b"))
    desk.work()
    assert desk.batch(batch_id)["usage"] == {
        "input_tokens": 14,
        "input_tokens_details": {"cached_tokens": 6},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 24,
    }


def test_a_result_line_has_the_shape_of_the_api(open_desk: OpenDesk) -> None:
    desk = open_desk(script=[Rule(custom_id="b", status=400, code="bad", message="No.")])
    batch_id = desk.create(request("a"), request("b"))
    desk.work()
    (good,) = desk.lines(desk.batch(batch_id)["output_file_id"])
    (bad,) = desk.errors(batch_id)
    for line in (good, bad):
        assert list(line) == ["id", "custom_id", "response", "error"]
        assert line["id"].startswith("batch_req_")
        assert line["error"] is None
        assert list(line["response"]) == ["status_code", "request_id", "body"]
    assert good["id"] != bad["id"]
    assert good["response"]["body"]["object"] == "response"
    assert bad["response"]["body"] == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": "bad"}
    }


def test_the_output_file_is_in_the_order_of_completion_or_shuffled_by_a_seed(
    open_desk: OpenDesk,
) -> None:
    lines = [request(str(number)) for number in range(20)]
    asked = [line["custom_id"] for line in lines]
    desk = open_desk()
    plain = desk.create(*lines)
    desk.work()
    assert desk.outputs(plain) == asked
    shuffled_desk = open_desk(options=Options(shuffle_seed=1))
    shuffled = shuffled_desk.create(*lines)
    shuffled_desk.work()
    assert shuffled_desk.outputs(shuffled) != asked
    assert sorted(shuffled_desk.outputs(shuffled)) == sorted(asked)


def test_a_closed_window_keeps_what_was_finished_and_reports_the_rest(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk(options=Options(line_s=10 * HOUR_S), script=[Rule(custom_id="b", status=500)])
    batch_id = desk.create(*(request(name) for name in "abcd"))
    for _ in range(2):
        desk.work()
        desk.clock.advance(10 * HOUR_S)
    desk.work()
    desk.clock.advance(4 * HOUR_S - 1)
    assert desk.work() is True
    assert desk.status(batch_id) == "in_progress"
    desk.clock.advance(1)
    assert desk.work() is False
    batch = desk.batch(batch_id)
    assert (batch["status"], batch["expired_at"]) == ("expired", START + DAY_S)
    assert batch["request_counts"] == {"total": 4, "completed": 1, "failed": 1}
    assert desk.outputs(batch_id) == ["a"]
    failed, *expired = desk.errors(batch_id)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 500)
    assert [line["custom_id"] for line in expired] == ["c", "d"]
    for line in expired:
        assert line["response"] is None
        assert line["error"]["code"] == "batch_expired"
    assert dict(desk.service.charges()) == {"a": 1, "b": 1}


def test_a_batch_that_nobody_worked_on_in_its_window_expires_whole(desk: Desk) -> None:
    batch_id = desk.create(request("a"), request("b"))
    desk.clock.advance(DAY_S)
    desk.work()
    batch = desk.batch(batch_id)
    assert batch["status"] == "expired"
    assert batch["output_file_id"] is None
    assert [line["custom_id"] for line in desk.errors(batch_id)] == ["a", "b"]


def test_a_finished_batch_does_not_expire_while_it_finalizes(open_desk: OpenDesk) -> None:
    desk = open_desk(options=Options(finalizing_s=2 * DAY_S))
    batch_id = desk.create(request("a"))
    desk.work()
    desk.clock.advance(DAY_S)
    desk.work()
    assert desk.status(batch_id) == "finalizing"
    desk.clock.advance(DAY_S)
    desk.work()
    assert desk.status(batch_id) == "completed"


def test_cancelling_keeps_partial_results_and_executes_nothing_more(open_desk: OpenDesk) -> None:
    desk = open_desk(options=SLOW)
    batch_id = desk.create(request("a"), request("b"))
    desk.clock.advance(10)
    desk.work()
    desk.clock.advance(100)
    desk.work()
    assert desk.service.cancel_batch(batch_id)["status"] == "cancelling"
    desk.clock.advance(29)
    assert desk.work() is True
    batch = desk.batch(batch_id)
    assert (batch["status"], batch["cancelling_at"]) == ("cancelling", START + 110)
    assert batch["output_file_id"] is None
    desk.clock.advance(100)
    desk.work()
    batch = desk.batch(batch_id)
    assert (batch["status"], batch["cancelled_at"]) == ("cancelled", START + 239)
    assert desk.outputs(batch_id) == ["a"]
    assert batch["error_file_id"] is None
    assert dict(desk.service.charges()) == {"a": 1}


@pytest.mark.parametrize("name", ["completed", "failed", "expired", "cancelled"])
def test_what_has_ended_cannot_be_cancelled(desk: Desk, name: str) -> None:
    batch_id = desk.create(request("a"), request("a" if name == "failed" else "b"))
    if name == "expired":
        desk.clock.advance(DAY_S)
    if name == "cancelled":
        desk.service.cancel_batch(batch_id)
    desk.work()
    assert desk.status(batch_id) == name
    with pytest.raises(ServiceError) as refused:
        desk.service.cancel_batch(batch_id)
    assert refused.value.status == 409
    assert name in str(refused.value)


def test_a_cancel_from_another_thread_stops_a_batch_at_the_next_line(open_desk: OpenDesk) -> None:
    def cancel_at_b(_url: str, _body: object, custom_id: str | None) -> None:
        if custom_id == "b":
            desk.service.cancel_batch(batch_id)

    desk = open_desk(script=cancel_at_b)
    batch_id = desk.create(*(request(name) for name in "abcd"))
    desk.work()
    assert desk.status(batch_id) == "cancelled"
    assert desk.outputs(batch_id) == ["a", "b"]


def test_an_input_that_is_deleted_before_validation_fails_the_batch(desk: Desk) -> None:
    batch_id = desk.create(request("a"))
    desk.service.delete_file(desk.batch(batch_id)["input_file_id"])
    desk.work()
    (problem,) = desk.batch(batch_id)["errors"]["data"]
    assert problem["param"] == "input_file_id"
    assert "Cannot find file" in problem["message"]
    assert dict(desk.service.charges()) == {}


def test_an_input_that_is_deleted_later_does_not_disturb_the_batch(open_desk: OpenDesk) -> None:
    desk = open_desk(options=Options(line_s=10))
    batch_id = desk.create(request("a"), request("b"))
    desk.work()
    input_file_id = desk.batch(batch_id)["input_file_id"]
    desk.service.delete_file(input_file_id)
    with pytest.raises(ServiceError):
        desk.service.get_file(input_file_id)
    desk.clock.advance(20)
    desk.work()
    assert desk.outputs(batch_id) == ["a", "b"]


def test_an_answer_with_status_0_is_an_error_line(open_desk: OpenDesk) -> None:
    desk = open_desk(script=[Rule(status=0, body={})])
    batch_id = desk.create(request("a"))
    desk.work()
    (line,) = desk.errors(batch_id)
    assert (line["response"]["status_code"], line["response"]["body"]) == (0, {})


def test_only_the_moves_of_the_table_are_legal() -> None:
    for old in Status:
        for new in Status:
            if new in MOVES[old]:
                check_move(old, new)
            else:
                with pytest.raises(IllegalTransition):
                    check_move(old, new)
    assert {status for status, moves in MOVES.items() if not moves} == ENDED
