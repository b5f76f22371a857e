"""How batches end: whatever the service leaves behind is collected once, placed by custom_id, and the rest is decided by policy."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from runnerkit import DAY_S, NewWorld, World, items

from batchrun.backends.base import RemoteBatch
from batchrun.backends.reading import FOREIGN_TEXT_LIMIT, read_batch
from batchrun.errors import NotFound, Transient
from batchrun.model import JsonObject
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault


def ran(world: World, count: int = 3, **changes: Any) -> World:
    world.write(items(count), **changes)
    world.submit()
    world.run()
    return world


def edit_lines(world: World, edit: Callable[[list[bytes]], list[bytes]], *, times: int = 1) -> None:
    """Result files come as `edit` makes them of their lines, the first so many times."""
    left = [times]

    def content(_: str, whole: bytes) -> bytes:
        if not left[0]:
            return whole
        left[0] -= 1
        return b"".join(edit(whole.splitlines(keepends=True)))

    world.wire.content = content


# -- lines --------------------------------------------------------------------------------------------------------------------


def test_an_item_without_a_line_is_missing_and_is_not_asked_again_unasked(world: World) -> None:
    edit_lines(world, lambda lines: lines[1:])
    ran(world)
    assert world.failures() == {"i0": "missing_result"}
    assert world.tally() == {"succeeded": 2, "failed": 1}
    world.api().retry("reviews")
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_the_first_of_two_lines_wins_and_the_second_is_an_incident(world: World) -> None:
    def double(lines: list[bytes]) -> list[bytes]:
        return [*lines, lines[0].replace(b"text 0", b"another")]

    edit_lines(world, double)
    ran(world)
    assert world.answers()["i0"] == "Review: text 0"
    assert world.incidents() == ["second_result"]


@pytest.mark.parametrize(
    "custom_id",
    ["99-1-000000000000", "stranger", "", "0", "9" * 30 + "-1-x", "9" * 5_000, "١-1-x", "1-9-x"],
)
def test_an_unknown_custom_id_is_an_incident_and_never_an_output(
    world: World, custom_id: str
) -> None:
    def strange(lines: list[bytes]) -> list[bytes]:
        line = json.loads(lines[0]) | {"custom_id": custom_id}
        return [json.dumps(line).encode() + b"\n", *lines]

    edit_lines(world, strange)
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert len(world.incidents()) == 1
    assert world.output("results.jsonl").count(b"\n") == 3


@pytest.mark.parametrize(
    "garbage",
    [b"not json\n", b"[]\n", b"null\n", b'{"custom_id": 5}\n', b'{"a"\n', b"\xff\xfe\n", b"{}\n"],
)
def test_a_line_that_cannot_be_read_is_an_incident(world: World, garbage: bytes) -> None:
    edit_lines(world, lambda lines: [garbage, *lines])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert world.incidents() == ["unreadable_line"]


def test_blank_lines_and_carriage_returns_mean_nothing(world: World) -> None:
    edit_lines(world, lambda lines: [b"\n", b"\r\n", *(x[:-1] + b"\r\n" for x in lines)])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert world.incidents() == []


def test_more_than_a_hundred_strange_lines_are_counted_not_kept(world: World) -> None:
    edit_lines(world, lambda lines: [*lines, *(b"garbage %d\n" % n for n in range(150))])
    ran(world)
    assert len(world.incidents()) == 100
    (collected,) = [facts for event, facts in world.events if event == "collected"]
    assert collected["incidents"] == 150


def test_a_file_of_nothing_but_garbage_loses_no_item_silently(world: World) -> None:
    edit_lines(world, lambda lines: [b"garbage\n"])
    ran(world)
    assert world.failures() == {
        "i0": "missing_result",
        "i1": "missing_result",
        "i2": "missing_result",
    }


# -- policy -------------------------------------------------------------------------------------------------------------------


def test_a_passing_failure_is_tried_again_alone_in_a_later_batch(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", times=1, status=500)])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert [b["request_count"] for b in world.batches()] == [3, 1]
    assert world.rows("select attempts from results order by id") == [
        {"attempts": 1},
        {"attempts": 2},
        {"attempts": 1},
    ]
    first, second = world.batches()
    assert second["planned_at"] - first["collected_at"] >= 60


def test_attempts_end(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=500)])
    ran(world, attempts=2)
    assert world.failures() == {"i1": "server_error"}
    assert sum(world.executions().values()) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_permanent_failure_is_not_tried_again(new_world: NewWorld, status: int) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=status)])
    ran(world)
    assert world.states()["i1"] == "failed"
    assert set(world.executions().values()) == {1}


def test_every_attempt_has_a_custom_id_of_its_own(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(status=500)])
    ran(world, 1, attempts=3)
    assert [custom_id.split("-")[:2] for custom_id in world.charges()] == [
        ["1", "1"],
        ["1", "2"],
        ["1", "3"],
    ]


def test_retries_wait_longer_each_time(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(status=500)])
    ran(world, 1, attempts=4)
    batches = world.batches()
    waits = [b["planned_at"] - a["collected_at"] for a, b in itertools.pairwise(batches)]
    assert [w >= least for w, least in zip(waits, (60, 600, 3_600), strict=True)] == [True] * 3


# -- statuses -----------------------------------------------------------------------------------------------------------------


def test_an_expired_batch_keeps_its_answers_and_the_rest_goes_again_for_free(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=40_000))
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}
    assert set(world.executions().values()) == {1}
    assert world.batches()[0]["remote_status"] == "expired"


def test_a_batch_cancelled_by_someone_else_keeps_its_answers_and_the_rest_goes_again(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(line_s=100))
    world.write(items(3))
    world.submit()
    world.serve()
    world.clock.advance(150)
    world.serve()
    (remote,) = world.remotes()
    world.service.cancel_batch(remote["id"])
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


def failed_batch(world: World, times: int, *, but: str = "", **changes: Any) -> None:
    """The first so many batches are shown as failed in validation, with `changes`; they never run."""
    seen: dict[str, int] = {}

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id == but:
            return batch
        number = seen.setdefault(batch.id, len(seen))
        if number >= times:
            return batch
        if batch.status not in {"cancelled", "cancelling"}:
            world.service.cancel_batch(batch.id)
        errors = changes.get("errors", ())
        raw = {
            **batch.raw,
            "status": "failed",
            "errors": {"object": "list", "data": list(errors)},
            **{k: v for k, v in changes.items() if k != "errors"},
        }
        from batchrun.backends.reading import read_batch

        return read_batch(raw)

    world.wire.edit = edit


TOKENS: JsonObject = {
    "code": "token_limit_exceeded",
    "message": "Enqueued token limit reached",
    "line": None,
}


def test_a_full_token_queue_costs_no_attempt_and_backs_off(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 2, errors=[TOKENS])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}
    assert len(world.batches()) == 1, "it kept its request file"
    created, refused = (
        [e["at"] for e in world.rows("select at from events where event = ? order by id", event)]
        for event in ("created", "upload_lost")
    )
    assert [
        b - a >= least for a, b, least in zip(refused, created[1:], (60, 180), strict=True)
    ] == [
        True,
        True,
    ]
    assert world.rows("select * from holds") == [], "the queue has room again"


def test_after_three_refusals_with_nothing_else_in_it_the_batch_is_cut_smaller(
    new_world: NewWorld,
) -> None:
    world = new_world(limits=new_limits(4))
    failed_batch(world, 3, errors=[TOKENS])
    ran(world, 4)
    assert world.tally() == {"succeeded": 4}
    assert max(b["request_count"] for b in world.batches()[-2:]) == 2


def new_limits(count: int) -> Any:
    from batchrun.model import Limits

    return Limits(request_count=count)


def test_token_refusals_never_fail_an_item_however_many(new_world: NewWorld) -> None:
    world = new_world()
    other = world.folder / "other.jsonl"
    world.write(items(1), other, job="other")
    world.submit(other)
    busy = world.remotes()[0]["id"]
    failed_batch(world, 14, errors=[TOKENS], but=busy)
    world.write(items(8))
    world.submit()
    refused = world.wire.edit
    world.wire.edit = lambda b: (
        refused(b)
        if b.id != busy
        else replace(b, status="in_progress", raw={**b.raw, "status": "in_progress"})
    )
    world.run_until(lambda: world.tally().get("succeeded") == 8)
    assert len(world.remotes()) == 16
    assert len(world.batches()) == 2, (
        "nothing was cut smaller, or anew, while another batch filled the queue"
    )


def test_a_single_request_that_never_fits_pauses_its_job(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 100, errors=[TOKENS])
    ran(world, 1)
    (job,) = world.rows("select paused from jobs")
    assert "5 batches in a row" in job["paused"]
    assert world.tally() == {"pending": 1}
    world.wire.edit = lambda batch: batch
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 1}


def test_lines_that_the_validator_names_fail_and_the_rest_goes_again(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 1, errors=[{"code": "invalid_request", "message": "bad", "line": 2}])
    ran(world)
    assert world.tally() == {"succeeded": 2, "failed": 1}
    assert world.failures() == {"i1": "rejected"}
    assert {row["attempts"] for row in world.rows("select attempts from results")} == {1}


def test_a_model_that_does_not_exist_fails_every_item_at_once(new_world: NewWorld) -> None:
    world = new_world(options=Options(models=frozenset({"other"})))
    ran(world, 150)
    assert world.tally() == {"failed": 150}
    assert len(world.remotes()) == 1


def test_a_failure_without_reason_is_tried_once_more_and_then_final(new_world: NewWorld) -> None:
    world = new_world()
    failed_batch(world, 9)
    ran(world)
    assert world.tally() == {"failed": 3}
    assert len(world.remotes()) == 2
    assert world.incidents() == []


def test_a_file_that_the_validator_cannot_find_is_uploaded_again(new_world: NewWorld) -> None:
    world = new_world()
    error = {"code": "invalid_request", "message": "Cannot find file file-1, or no access"}
    failed_batch(world, 2, errors=[error])
    ran(world)
    assert world.tally() == {"succeeded": 3}
    (batch,) = world.batches()
    assert batch["uploads"] == 3
    assert world.incidents() == [], "earlier failed creates of the same row are no duplicates"


def test_a_lost_answer_after_a_failed_create_is_not_mistaken_for_it(new_world: NewWorld) -> None:
    """The failed batch bears our token too; what matters is the one that may be on its way with the new file."""
    world = new_world()
    error = {"code": "invalid_request", "message": "Cannot find file file-1"}
    failed_batch(world, 1, errors=[error])
    world.wire.delays = (0, 2_000)
    ran(world)
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


@pytest.mark.parametrize(
    "traces",
    [
        {"in_progress_at": 1_790_000_000},
        {"request_counts": {"total": 3, "completed": 1, "failed": 0}},
        {"usage": {"total_tokens": 7}},
    ],
)
def test_a_failed_batch_that_had_begun_is_not_free(new_world: NewWorld, traces: JsonObject) -> None:
    world = new_world()
    failed_batch(world, 1, errors=[{"code": "server_error", "message": "oops"}], **traces)
    ran(world)
    assert world.failures() == {"i0": "lost_result", "i1": "lost_result", "i2": "lost_result"}
    assert len(world.remotes()) == 1


def test_five_batches_in_a_row_without_an_answer_pause_the_job(new_world: NewWorld) -> None:
    world = new_world(options=Options(validating_s=2 * DAY_S))

    def cancelled(batch: RemoteBatch) -> RemoteBatch:
        return replace(batch, status="cancelled", raw={**batch.raw, "status": "cancelled"})

    world.wire.edit = cancelled
    ran(world)
    assert len(world.batches()) == 5
    (job,) = world.rows("select paused from jobs")
    assert "batch ended cancelled" in job["paused"]
    assert world.tally() == {"pending": 3}


def test_a_paused_job_sends_nothing_more(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(3))
    world.submit(send=False)
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update jobs set paused = 'to be looked at'")
    assert world.tick().next_at is None
    assert world.remotes() == []


# -- files --------------------------------------------------------------------------------------------------------------------


def shown(world: World, **changes: Any) -> Callable[[RemoteBatch], RemoteBatch]:
    from batchrun.backends.reading import read_batch

    def edit(batch: RemoteBatch) -> RemoteBatch:
        return read_batch({**batch.raw, **changes}) if batch.status == "completed" else batch

    return edit


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_completed_batch_that_shows_no_files_is_given_time_and_then_lost(
    world: World, nothing: str | None
) -> None:
    world.wire.edit = shown(world, output_file_id=nothing, error_file_id=nothing)
    ran(world)
    assert set(world.failures().values()) == {"lost_result"}
    (batch,) = world.batches()
    assert batch["collected_at"] - batch["ended_at"] >= 600


def test_file_ids_that_are_shown_late_are_used(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.wire.edit = shown(world, output_file_id=None)
    world.run_until(lambda: world.batches()[0]["name"] == "ended")
    world.clock.advance(100)
    world.wire.edit = lambda batch: batch
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_everything_failed_means_no_output_file(new_world: NewWorld) -> None:
    ran(world := new_world(script=[Rule(status=400)]))
    assert world.tally() == {"failed": 3}


@pytest.mark.parametrize("kind", ["output_file_id", "error_file_id"])
def test_an_empty_id_of_one_file_does_no_harm(new_world: NewWorld, kind: str) -> None:
    world = new_world(script=[Rule(prompt="text 1", status=400)])
    other = {"output_file_id": "error_file_id", "error_file_id": "output_file_id"}[kind]
    world.wire.edit = shown(world, **{kind: ""})
    ran(world)
    assert sum(world.tally().values()) == 3
    expected = {"failed": 3} if kind == "output_file_id" else {"succeeded": 2, "failed": 1}
    assert world.tally() == expected
    assert other


def test_result_files_that_are_gone_are_lost_after_some_minutes_and_never_asked_again_unasked(
    new_world: NewWorld,
) -> None:
    gone = Fault(call="download", error=NotFound("gone", status=404), number=None)
    world = ran(new_world(faults=[gone]))
    assert set(world.failures().values()) == {"lost_result"}
    assert len(world.remotes()) == 1


def test_a_result_file_that_is_late_is_collected(new_world: NewWorld) -> None:
    late = [Fault(call="download", error=NotFound("wait", status=404), number=n) for n in (1, 2)]
    world = ran(new_world(faults=late))
    assert world.tally() == {"succeeded": 3}


@pytest.mark.parametrize("call", ["download", "retrieve"])
def test_a_call_that_fails_is_made_again_later(new_world: NewWorld, call: str) -> None:
    faults = [Fault(call=call, error=Transient("502", status=502), number=n) for n in (1, 2, 3)]
    world = ran(new_world(faults=faults))
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}


# -- vanished batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_that_the_service_forgot_is_lost_not_asked_again(new_world: NewWorld) -> None:
    gone = Fault(call="retrieve", error=NotFound("no such batch", status=404), number=None)
    world = ran(new_world(faults=[gone]))
    assert set(world.failures().values()) == {"lost_result"}
    assert len(world.remotes()) == 1


def test_a_young_batch_may_be_invisible(new_world: NewWorld) -> None:
    gone = [Fault(call="retrieve", error=NotFound("?", status=404), number=n) for n in range(1, 6)]
    world = ran(new_world(faults=gone, options=Options(validating_s=2_000)))
    assert world.tally() == {"succeeded": 3}


def test_one_404_after_an_outage_does_not_make_a_batch_lost(new_world: NewWorld) -> None:
    out = [
        Fault(call="retrieve", error=Transient("503", status=503), number=n) for n in range(1, 9)
    ]
    miss = Fault(call="retrieve", error=NotFound("?", status=404), number=9)
    world = ran(new_world(faults=[*out, miss]))
    assert world.tally() == {"succeeded": 3}


def test_an_unknown_status_is_waited_for(world: World) -> None:
    world.write(items(3))
    world.submit()
    real = world.wire.edit
    world.wire.edit = lambda b: replace(b, status="pondering", raw={**b.raw, "status": "pondering"})
    for _ in range(5):
        world.clock.advance(700)
        world.tick()
    assert world.batches()[0]["name"] == "created"
    world.wire.edit = real
    world.run()
    assert world.tally() == {"succeeded": 3}


# -- words that are not ours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [None, 2], ids=["of the batch", "of one line"])
def test_a_refusal_in_words_that_no_text_can_hold_fails_the_items_and_stops_nothing(
    world: World, line: int | None
) -> None:
    refuse_all(world, "bad \ud800 thing", line)
    ran(world)
    assert world.failures() == {f"i{n}": "rejected" for n in (range(3) if line is None else [1])}
    for message in messages(world):
        assert "\\ud800" in message


def test_a_refusal_of_a_megabyte_is_kept_short_in_every_item(world: World) -> None:
    refuse_all(world, "x" * 1_000_000, None)
    ran(world, 50)
    assert len(messages(world)) == 50
    assert max(map(len, messages(world))) <= FOREIGN_TEXT_LIMIT
    assert {len(b["reason"]) for b in world.batches()} == {FOREIGN_TEXT_LIMIT}


def test_a_status_that_no_text_can_hold_is_remembered_and_waited_out(world: World) -> None:
    shown = itertools.count()

    def odd(batch: RemoteBatch) -> RemoteBatch:
        return read_batch({**batch.raw, "status": "on\udfffhold"}) if next(shown) < 3 else batch

    world.wire.edit = odd
    ran(world)
    assert world.tally() == {"succeeded": 3}


def refuse_all(world: World, message: str, line: int | None) -> None:
    """The service refuses the first batch in these words, and takes what comes after."""
    first: list[str] = []

    def edit(batch: RemoteBatch) -> RemoteBatch:
        if batch.id != (first or [batch.id])[0]:
            return batch
        if not first:
            first.append(batch.id)
            world.service.cancel_batch(batch.id)
        error = {"code": "weird", "message": message, "line": line}
        raw = {key: batch.raw[key] for key in ("id", "created_at", "input_file_id", "metadata")}
        return read_batch({**raw, "status": "failed", "errors": {"data": [error]}})

    world.wire.edit = edit


def messages(world: World) -> list[str]:
    return [row["message"] for row in world.rows("select message from failures")]


def test_a_result_file_that_is_in_the_spool_is_not_downloaded_again(new_world: NewWorld) -> None:
    cut = Fault(call="download", error=Transient("cut off"), number=2)
    world = new_world(script=[Rule(prompt="text 1", status=400)], faults=[cut])
    world.write(items(3))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 2, "failed": 1}
    # The output file, the error file in vain, and the error file.
    assert world.backend.calls.count("download") == 3
