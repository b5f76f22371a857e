"""Lines that cost money elsewhere: known before they are sent, executed at most once, and uncertain where nobody knows."""

import threading
from collections.abc import Iterator

import pytest
from billedkit import Billed, Killed, once
from servicekit import DAY_S, Desk, OpenDesk, request

from batchrun.errors import AuthError, LedgerError
from batchrun.service.crew import Arrival, Crew
from batchrun.service.responders.base import Postponed, Unanswered
from batchrun.testing import START

NAMES = [f"line-{number}" for number in range(10)]


def uncertain(desk: Desk, batch_id: str) -> list[str]:
    """The custom_ids of the lines of which nobody knows the outcome."""
    lines = desk.errors(batch_id)
    assert all(line["response"] is None for line in lines)
    assert {line["error"]["code"] for line in lines} <= {"outcome_unknown"}
    return sorted(line["custom_id"] for line in lines)


def started(desk: Desk) -> list[str]:
    """The lines that are known to be under way."""
    return [row["custom_id"] for row in desk.service._store.rows("SELECT custom_id FROM started")]


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_line_that_was_under_way_when_its_process_died_is_uncertain_and_never_asked_again(
    open_desk: OpenDesk, width: int, when: str
) -> None:
    responder = Billed(width=width)
    setattr(responder, when, once("line-4", Killed()))
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    with pytest.raises(Killed):
        desk.work()
    abandoned, desk.service = desk.service, desk.open()
    abandoned.close()
    assert started(desk) == ["line-4"]
    assert desk.work() is False
    assert uncertain(desk, batch_id) == ["line-4"]
    assert sorted([*desk.outputs(batch_id), "line-4"]) == NAMES
    assert desk.batch(batch_id)["request_counts"] == {"total": 10, "completed": 9, "failed": 1}
    assert max(responder.executed.values()) == 1
    assert started(desk) == []


def test_a_line_is_known_to_be_under_way_before_it_is_sent(open_desk: OpenDesk) -> None:
    seen: list[tuple[str, list[str]]] = []
    responder = Billed(before=lambda custom_id: seen.append((custom_id, started(desk))))
    desk = open_desk(responder=responder)
    desk.create(request("a"), request("b"))
    desk.work()
    assert seen == [("a", ["a"]), ("b", ["b"])]


def test_where_nothing_is_paid_a_line_is_simply_asked_again(open_desk: OpenDesk) -> None:
    responder = Billed(costs=False, after=once("line-4", Killed()))
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    with pytest.raises(Killed):
        desk.work()
    assert started(desk) == []
    desk.work()
    assert desk.outputs(batch_id) == NAMES
    assert responder.executed["line-4"] == 2


def test_uncertain_lines_are_recorded_before_a_cancelled_batch_is_closed(
    open_desk: OpenDesk,
) -> None:
    responder = Billed(after=once("line-1", Killed()))
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    with pytest.raises(Killed):
        desk.work()
    desk.service.cancel_batch(batch_id)
    desk.work()
    assert desk.status(batch_id) == "cancelled"
    assert (desk.outputs(batch_id), uncertain(desk, batch_id)) == (["line-0"], ["line-1"])


def test_a_request_that_was_sent_and_not_answered_is_uncertain_and_its_batch_goes_on(
    open_desk: OpenDesk,
) -> None:
    said = "no answer came within 60 s"
    desk = open_desk(responder=(responder := Billed(after=once("line-2", Unanswered(said)))))
    batch_id = desk.create(*(request(name) for name in NAMES))
    assert desk.work() is False
    assert uncertain(desk, batch_id) == ["line-2"]
    assert desk.errors(batch_id)[0]["error"]["message"] == said
    assert sorted([*desk.outputs(batch_id), "line-2"]) == NAMES
    assert set(responder.executed.values()) == {1}


@pytest.mark.parametrize(("retry_after_s", "waited_s"), [(7.0, 7), (None, 1), (0.0, 0), (0.25, 1)])
def test_a_postponed_line_is_asked_again_when_its_time_has_come_and_others_go_on(
    open_desk: OpenDesk, retry_after_s: float | None, waited_s: int
) -> None:
    postponed = Postponed("too many requests", status=429, retry_after_s=retry_after_s)
    responder = Billed(width=2, before=once("line-3", postponed))
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    assert desk.work() is False
    assert sorted(desk.outputs(batch_id)) == NAMES
    assert set(responder.executed.values()) == {1}
    assert desk.clock.now() - START == waited_s


def test_a_postponed_line_is_neither_lost_nor_uncertain_when_its_process_ends(
    open_desk: OpenDesk,
) -> None:
    postponed = Postponed("too many requests", status=429, retry_after_s=100)
    responder = Billed(before=once("line-3", postponed))
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    assert desk.service.work(50) is True
    assert desk.service._executor.rests_until == START + 100
    assert started(desk) == []
    desk.reopen()
    assert desk.work() is False
    assert sorted(desk.outputs(batch_id)) == NAMES
    assert desk.batch(batch_id)["error_file_id"] is None


def test_a_server_that_postpones_everything_has_no_more_lines_held_for_it_than_it_may_answer(
    open_desk: OpenDesk,
) -> None:
    asked: list[str] = []

    def refuse(custom_id: str) -> None:
        asked.append(custom_id)
        raise Postponed("too many requests", status=429)

    desk = open_desk(responder=Billed(width=3, before=refuse))
    desk.create(*(request(name) for name in NAMES))
    assert desk.service.work(1_000) is True
    assert set(asked) == set(NAMES[:3])
    # 1, 2, 4 … 60 seconds apart
    assert len(asked) <= 3 * 22
    assert desk.clock.now() - START <= 1_000


@pytest.mark.parametrize("width", [1, 3])
def test_a_key_that_does_not_work_leaves_every_line_open(open_desk: OpenDesk, width: int) -> None:
    refused = AuthError("the key may not do this", status=401)
    responder = Billed(width=width, before=once("line-5", refused))
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    with pytest.raises(AuthError):
        desk.work()
    assert started(desk) == []
    assert desk.work() is False
    assert sorted(desk.outputs(batch_id)) == NAMES
    assert set(responder.executed.values()) == {1}


def test_an_interrupted_commit_neither_doubles_nor_forgets_an_answer(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    responder = Billed(width=4)
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    lines = desk.service._lines
    record, calls = lines.record, [0]

    def interrupted(*arguments: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == 3:  # Ctrl-C is raised when the commit returns: it was made
            record(*arguments, **named)  # type: ignore[arg-type]
            raise KeyboardInterrupt
        return record(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(lines, "record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        desk.work()
    assert started(desk) == []
    assert desk.work() is False
    assert sorted(desk.outputs(batch_id)) == NAMES
    assert set(responder.executed.values()) == {1}


def test_an_answer_that_cannot_be_recorded_leaves_its_line_uncertain(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    responder = Billed()
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    record = desk.service._lines.record

    def full(*arguments: object, **named: object) -> object:
        if responder.executed["line-2"]:
            raise LedgerError("the disk is full")
        return record(*arguments, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(desk.service._lines, "record", full)
        with pytest.raises(LedgerError, match="full"):
            desk.work()
    assert desk.work() is False
    assert uncertain(desk, batch_id) == ["line-2"]
    assert set(responder.executed.values()) == {1}


def test_as_many_lines_as_are_taken_at_once_are_one_commit(open_desk: OpenDesk) -> None:
    commits: list[str] = []
    seen: list[int] = []
    barrier = threading.Barrier(32, action=lambda: seen.append(len(commits)), timeout=30)
    desk = open_desk(responder=Billed(width=32, before=lambda _custom_id: barrier.wait()))
    desk.create(*(request(str(number)) for number in range(64)))
    desk.service.work(0)
    trace = desk.service._store._connection.set_trace_callback
    trace(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    desk.work()
    trace(None)
    assert seen[0] == 1
    # Never more than one for an answer, which is recorded together with what follows it; and those of the closing.
    assert len(commits) <= 1 + 64 + 3


def test_lines_of_several_batches_are_sent_in_turn(open_desk: OpenDesk) -> None:
    desk = open_desk(responder=(responder := Billed()))
    long = desk.create(*(request(f"long-{number}") for number in range(100)))
    short = desk.create(*(request(f"short-{number}") for number in range(3)))
    desk.work()
    assert responder.order[:7] == [
        *("long-0", "short-0", "long-1", "short-1", "long-2", "short-2", "long-3"),
    ]
    assert (desk.status(long), desk.status(short)) == ("completed", "completed")


def test_a_slow_line_of_one_batch_does_not_keep_the_others_from_their_places(
    open_desk: OpenDesk,
) -> None:
    others_done = threading.Event()

    def wait_for_others(custom_id: str) -> None:
        if custom_id == "slow":
            assert others_done.wait(30)

    def count(custom_id: str) -> None:
        if len(responder.order) == 20:
            others_done.set()

    responder = Billed(width=2, before=wait_for_others, after=count)
    desk = open_desk(responder=responder)
    desk.create(request("slow"))
    desk.create(*(request(str(number)) for number in range(20)))
    assert desk.work() is False
    assert responder.order[-1] == "slow"


def test_a_batch_that_is_made_meanwhile_has_its_turn_at_once(open_desk: OpenDesk) -> None:
    def create(custom_id: str) -> None:
        if custom_id == "long-1":
            desk.create(request("late"))

    desk = open_desk(responder=(responder := Billed(after=create)))
    desk.create(*(request(f"long-{number}") for number in range(50)))
    desk.work()
    assert responder.order.index("late") in (2, 3)


class Slow(Billed):
    """The line `slow` takes until it is let go, while time goes by; the others take no time."""

    def __init__(self, desk: Desk) -> None:
        self.is_let_go = threading.Event()

        def before(custom_id: str) -> None:
            while custom_id == "slow" and not self.is_let_go.wait(0.01):
                desk.clock.advance(1)

        super().__init__(width=2, before=before)


@pytest.fixture
def slow(open_desk: OpenDesk) -> Iterator[tuple[Desk, Slow, str]]:
    """A batch whose first line is under way, and all others recorded."""
    desk = open_desk()
    responder = Slow(desk)
    desk.responder = responder
    desk.reopen()
    batch_id = desk.create(request("slow"), *(request(f"quick-{number}") for number in range(4)))
    try:
        while completed(desk, batch_id) < 4:
            assert desk.service.work(5, goes_on=True) is True
        yield desk, responder, batch_id
    finally:
        responder.is_let_go.set()


def completed(desk: Desk, batch_id: str) -> int:
    """How many lines of a batch are recorded."""
    number: int = desk.batch(batch_id)["request_counts"]["completed"]
    return number


def test_where_another_work_follows_none_waits_for_the_slowest_line(
    slow: tuple[Desk, Slow, str],
) -> None:
    desk, responder, batch_id = slow
    assert started(desk) == ["slow"]
    assert desk.service.work(5, goes_on=True) is True
    other_id = desk.create(request("other"))
    while desk.status(other_id) != "completed":
        assert desk.service.work(5, goes_on=True) is True
    assert (desk.status(batch_id), started(desk)) == ("in_progress", ["slow"])
    responder.is_let_go.set()
    assert desk.work() is False
    assert sorted(desk.outputs(batch_id)) == [*(f"quick-{n}" for n in range(4)), "slow"]
    assert set(responder.executed.values()) == {1}


def test_while_lines_are_under_way_no_other_process_works_on_the_folder(
    slow: tuple[Desk, Slow, str],
) -> None:
    desk, responder, batch_id = slow
    other = desk.open()
    assert other.work(0) is True
    assert other.rests_until == desk.clock.now() + 1
    assert started(desk) == ["slow"]
    responder.is_let_go.set()
    desk.service.close()
    desk.service = other
    assert started(desk) == []
    assert other.work(1e6) is False
    assert other.rests_until is None
    assert other.get_batch(batch_id)["request_counts"]["completed"] == 5
    assert set(responder.executed.values()) == {1}


def test_what_is_under_way_when_the_service_is_closed_is_recorded(
    slow: tuple[Desk, Slow, str],
) -> None:
    desk, responder, batch_id = slow
    responder.is_let_go.set()
    desk.reopen()
    assert (completed(desk, batch_id), started(desk)) == (5, [])


def test_what_is_to_rest_is_said_anew_with_each_work(slow: tuple[Desk, Slow, str]) -> None:
    desk, responder, _batch_id = slow
    other_id = desk.create(request("other"))
    resting = frozenset({other_id})
    assert desk.service.work(5, resting=resting, goes_on=True) is True
    assert "other" not in responder.executed
    while desk.status(other_id) != "completed":
        assert desk.service.work(5, goes_on=True) is True
    assert responder.executed["other"] == 1


def test_a_signal_that_takes_an_answer_with_it_leaves_the_line_uncertain(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come between the moment at which an answer is received and the one at which it is known."""
    responder = Billed(width=1)
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in NAMES))
    receive = Crew.arrivals

    def lose(crew: Crew, wait_s: float) -> list[Arrival]:
        received = receive(crew, wait_s)
        if any(arrival.taken.line.custom_id == "line-3" for arrival in received):
            raise KeyboardInterrupt
        return received

    monkeypatch.setattr(Crew, "arrivals", lose)
    with pytest.raises(KeyboardInterrupt):
        desk.work()
    assert started(desk) == ["line-3"]
    assert desk.work() is False
    assert uncertain(desk, batch_id) == ["line-3"]
    assert set(responder.executed.values()) == {1}


def test_how_many_are_asked_at_once_follows_the_responder(open_desk: OpenDesk) -> None:
    under_way: set[str] = set()
    most: dict[int, int] = {1: 0, 3: 0}
    meeting = threading.Barrier(3, timeout=30)

    def begin(custom_id: str) -> None:
        under_way.add(custom_id)
        most[responder.width] = max(most[responder.width], len(under_way))
        if responder.width == 3:
            meeting.wait()

    def end(custom_id: str) -> None:
        if custom_id == "5":
            responder.width = 3
        under_way.discard(custom_id)

    responder = Billed(width=1, before=begin, after=end)
    desk = open_desk(responder=responder)
    desk.create(*(request(str(number)) for number in range(15)))
    assert desk.work() is False
    assert most == {1: 1, 3: 3}


def test_lines_wait_as_long_as_the_responder_wishes(open_desk: OpenDesk) -> None:
    """Three requests in ten seconds, by the clock that the test moves."""
    at: list[int] = []

    def wait_s() -> float:
        if len(at) < 3 or at[-3] + 10 <= desk.clock.now():
            at.append(desk.clock.now())
            return 0.0
        return float(at[-3] + 10 - desk.clock.now())

    desk = open_desk(responder=Billed(width=8, waits=wait_s))
    batch_id = desk.create(*(request(name) for name in NAMES))
    assert desk.work() is False
    assert sorted(desk.outputs(batch_id)) == NAMES
    assert [moment - START for moment in at] == [0, 0, 0, 10, 10, 10, 20, 20, 20, 30]


def test_work_does_not_wait_for_what_comes_after_its_time(open_desk: OpenDesk) -> None:
    desk = open_desk(responder=Billed(waits=lambda: 90.0))
    batch_id = desk.create(request("a"))
    assert desk.service.work(60) is True
    assert desk.clock.now() == START
    assert desk.service._executor.rests_until == START + 90
    assert desk.batch(batch_id)["request_counts"]["completed"] == 0


def test_a_batch_that_is_cancelled_elsewhere_has_no_more_lines_sent(open_desk: OpenDesk) -> None:
    other = open_desk()
    responder = Billed(
        after=lambda custom_id: other.service.cancel_batch(batch_id) if custom_id == "b" else None
    )
    desk = open_desk(responder=responder)
    batch_id = desk.create(*(request(name) for name in "abcd"))
    desk.work()
    assert desk.status(batch_id) == "cancelled"
    assert (responder.order, desk.outputs(batch_id)) == (["a", "b"], ["a", "b"])
    assert started(desk) == []


@pytest.mark.parametrize("costs", [True, False])
def test_no_line_is_sent_once_the_window_has_closed(open_desk: OpenDesk, costs: bool) -> None:
    responder = Billed(costs=costs, after=lambda _custom_id: desk.clock.advance(DAY_S))
    desk = open_desk(responder=responder)
    batch_id = desk.create(request("a"), request("b"))
    desk.work()
    assert desk.status(batch_id) == "expired"
    assert (responder.order, desk.outputs(batch_id)) == (["a"], ["a"])


def test_a_batch_of_many_lines_is_read_on_where_it_was_left(open_desk: OpenDesk) -> None:
    total = 2_500  # more than two blocks of finished lines
    desk = open_desk(responder=(responder := Billed(width=4, after=once("1300", Killed()))))
    batch_id = desk.create(*(request(str(number)) for number in range(total)))
    with pytest.raises(Killed):
        desk.work()
    desk.reopen()
    assert desk.work() is False
    assert uncertain(desk, batch_id) == ["1300"]
    assert responder.executed == dict.fromkeys(map(str, range(total)), 1)
