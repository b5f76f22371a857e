import json

import msgspec
import pytest
from factory import AT, FAILED, RETRY, World

from batchrun.customids import custom_id
from batchrun.errors import UsageError
from batchrun.ledger.states import BatchState, ItemState
from batchrun.outputs.explain import explain

TAIL = '"method":"POST","url":"/v1/responses","body":{"model":"gpt-5-mini","input":"%s"}}'


def test_the_whole_life_of_an_item_is_told(world: World) -> None:
    job = world.job()
    first, second = world.batch(job), world.batch(job)
    item = world.item(job, "a1", ItemState.SUCCEEDED, batch=second)
    _, offset = world.request_lines(
        1, [(item + 1, 1, "a2", TAIL % "another"), (item, 1, "a1", TAIL % ("hello" * 2_000))]
    )
    world.execute("update item_rows set offset = ? where id = ?", offset, item)
    raw = b'{"custom_id":"x","response":{"status_code":500}}\n'
    world.ledger.home.result_file(first, 1).write_bytes(b"another line\n" + raw)
    world.result(
        item,
        table="history",
        batch=first,
        outcome=RETRY,
        cause="server_error",
        message="HTTP 500",
        finish="none",
        kind=1,
        offset=13,
        length=len(raw),
    )
    world.result(
        item, batch=second, send=2, attempts=2, output="positive", kind=0, offset=0, length=9
    )
    for batch, event, before, after in (
        (first, "planned", None, BatchState.PLANNED),
        (first, "retry", ItemState.IN_FLIGHT, ItemState.PENDING),
        (second, "created", BatchState.CREATING, BatchState.CREATED),
    ):
        world.insert("events", at=AT, job=job, batch=batch, event=event, before=before, after=after)

    told = explain(world.ledger, job, "a1")

    assert (told.job, told.id, told.state, told.output) == (
        "reviews",
        "a1",
        "succeeded",
        "positive",
    )
    assert told.request == {
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "gpt-5-mini", "input": "hello" * 2_000},
    }
    one, two = told.attempts
    assert (one.batch, one.remote_id, one.send, one.outcome) == (first, "batch_1", 1, "retry")
    assert (one.cause, one.message, one.finish) == ("server_error", "HTTP 500", None)
    assert one.raw == raw.decode().strip()
    assert one.custom_id == custom_id(item, 1, "a1")
    assert (two.send, two.outcome, two.usage.input_tokens) == (2, "succeeded", 100)
    assert two.raw is None  # its file was never there
    assert told.cause is None
    assert [(s.batch, s.event, s.before, s.after) for s in told.steps] == [
        (first, "planned", None, "planned"),
        (first, "retry", "in_flight", "pending"),
        (second, "created", "creating", "created"),
    ]


def test_an_open_attempt_is_found_in_the_file_that_was_sent(world: World) -> None:
    job = world.job()
    batch = world.batch(job, BatchState.CREATED, request_file=7, remote_status="in_progress")
    item = world.item(job, "a1", ItemState.IN_FLIGHT, batch=batch, sends=2)
    fake = TAIL % '\\"custom_id\\"'
    world.request_lines(7, [(99, 1, "x", fake), (item, 3, "a1", TAIL % "hi")])

    (attempt,) = explain(world.ledger, job, "a1").attempts

    assert (attempt.outcome, attempt.send, attempt.at) == ("open", 3, None)
    assert attempt.custom_id == custom_id(item, 3, "a1")
    assert attempt.remote_status == "in_progress"


def test_a_body_that_quotes_a_request_line_is_not_mistaken_for_one(world: World) -> None:
    job = world.job()
    batch = world.batch(job, BatchState.CREATED, request_file=7)
    item = world.item(job, "a1", ItemState.IN_FLIGHT, batch=batch)
    inside = f'"method":"POST","body":{{"metadata":{{"custom_id":"{item}-9-bad"}}}}}}'
    world.request_lines(7, [(50, 1, "x", inside), (item, 1, "a1", TAIL % "hi")])

    assert explain(world.ledger, job, "a1").attempts[0].send == 1


def test_what_was_pruned_is_left_out_and_the_rest_is_told(world: World) -> None:
    job = world.job()
    batch = world.batch(job, BatchState.CREATED, request_file=7)
    item = world.item(job, "a1", ItemState.IN_FLIGHT, batch=batch, offset=0)
    assert item

    told = explain(world.ledger, job, "a1")

    assert told.request is None
    assert (told.attempts[0].send, told.attempts[0].custom_id) == (None, None)


def test_a_change_that_waits_for_the_open_attempt_is_shown(world: World) -> None:
    job = world.job()
    batch = world.batch(job, BatchState.CREATED)
    item = world.item(job, "a1", ItemState.IN_FLIGHT, batch=batch)
    deferred = world.insert(
        "request_files", job=job, kind=1, state=2, endpoint="/v1/responses", model="gpt-5-mini"
    )
    (offset,) = world.request_lines(deferred, [(item, 2, "a1", TAIL % "changed")])
    world.insert(
        "revisions",
        item=item,
        submission=1,
        hash=b"x",
        file=deferred,
        offset=offset,
        deferred=1,
    )

    assert explain(world.ledger, job, "a1").waiting_request["body"]["input"] == "changed"


def test_an_item_that_could_not_be_rendered_says_why(world: World) -> None:
    job = world.job()
    world.bad(job, "reviews.csv:17", "template_error", "the item has no field 'text'")

    told = explain(world.ledger, job, "reviews.csv:17")

    assert (told.state, told.cause) == ("failed", "template_error")
    assert told.message == "the item has no field 'text'"
    assert (told.request, told.attempts, told.steps) == (None, (), ())


def test_a_failed_item_says_why_and_when_a_waiting_one_goes_again(world: World) -> None:
    job = world.job()
    world.failed(job, "no", "length", message="cut")
    item = world.item(job, "later", ItemState.PENDING)
    world.result(item, outcome=RETRY, cause="timeout")
    world.insert("queue", item=item, job=job, not_before=AT + 60)

    assert (explain(world.ledger, job, "no").cause, explain(world.ledger, job, "no").message) == (
        "length",
        "cut",
    )
    later = explain(world.ledger, job, "later")
    assert (later.cause, later.not_before) == ("timeout", AT + 60)


def test_an_answer_that_cannot_be_read_back_is_still_shown_raw(world: World) -> None:
    job = world.job()
    batch = world.batch(job)
    item = world.item(job, "a1", ItemState.FAILED)
    world.ledger.home.result_file(batch, 0).write_bytes(b'{"half": \xff\n')
    world.result(item, outcome=FAILED, cause="malformed_result", kind=0, offset=0, length=11)

    assert explain(world.ledger, job, "a1").attempts[0].raw == '{"half": \ufffd'


def test_the_json_form_has_the_documented_keys_and_rfc_3339_times(world: World) -> None:
    job = world.job()
    world.batch(job)
    world.answered(job, "a1")
    world.insert("events", at=AT, job=job, batch=1, event="collected", before=4, after=5)

    shown = explain(world.ledger, job, "a1").to_json()

    assert list(shown) == [
        "job",
        "profile",
        "id",
        "state",
        "is_vanished",
        "request",
        "request_pruned",
        "waiting_request",
        "not_before",
        "output",
        "extras",
        "cause",
        "message",
        "attempts",
        "steps",
        "calls",
        "waits_for",
        "answered_with",
    ]
    assert shown["attempts"][0]["at"] == "2026-09-21T15:13:20Z"
    assert shown["attempts"][0]["usage"]["input_tokens"] == 100
    assert shown["steps"][0] | {"detail": None} == {
        "at": "2026-09-21T14:13:20Z",
        "batch": 1,
        "event": "collected",
        "before": "ended",
        "after": "collected",
        "count": 1,
        "detail": None,
    }
    assert json.loads(msgspec.json.encode(shown)) == shown


def test_an_unknown_item_names_the_nearest_ids(world: World) -> None:
    job = world.job()
    for key in ("review-0001", "review-0002", "article-7"):
        world.item(job, key)
    world.item(job, None, name="data.csv:3")

    with pytest.raises(
        UsageError, match=r"no item 'review-001'\. Did you mean 'review-0001', .*\\?"
    ):
        explain(world.ledger, job, "review-001")
    with pytest.raises(UsageError, match=r"'data\.csv:3'"):
        explain(world.ledger, job, "data.csv:33")
    with pytest.raises(
        UsageError, match=r"Its items have ids like .*\. `batchrun results reviews` lists all"
    ):
        explain(world.ledger, job, "§§§")


def test_an_item_of_a_job_without_items_is_said_so(world: World) -> None:
    job = world.job()

    with pytest.raises(UsageError, match="It has no items at all"):
        explain(world.ledger, job, "x")


def test_an_id_wins_over_a_name_and_a_present_item_over_a_vanished_one(world: World) -> None:
    job = world.job()
    world.item(job, None, ItemState.PENDING, name="both:1")
    world.item(job, "both:1", ItemState.CANCELLED)
    world.item(job, None, ItemState.CANCELLED, name="twice:1", vanished=1)
    world.item(job, None, ItemState.PENDING, name="twice:1")

    assert explain(world.ledger, job, "both:1").state == "cancelled"
    assert not explain(world.ledger, job, "twice:1").is_vanished
