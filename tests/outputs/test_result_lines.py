import json
from collections.abc import Iterator

import msgspec
import pytest
from factory import RETRY, SUPERSEDED, World

from batchrun.errors import UsageError
from batchrun.ledger.states import ItemState
from batchrun.outputs import rows
from batchrun.outputs.lines import failure_lines
from batchrun.outputs.results import stream_results
from batchrun.outputs.rows import job_view


def _lines(blocks: Iterator[bytes]) -> list[dict[str, object]]:
    text = b"".join(blocks)
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def _results(world: World, job: int) -> list[dict[str, object]]:
    return _lines(stream_results(world.ledger, job, format="jsonl"))


def test_a_line_has_exactly_the_documented_keys_in_their_order(world: World) -> None:
    job = world.job()
    world.answered(job, "a1", "positive", attempts=2)

    (line,) = _results(world, job)

    assert list(line) == ["id", "status", "output", "finish", "usage", "attempts", "model"]
    assert line == {
        "id": "a1",
        "status": "succeeded",
        "output": "positive",
        "finish": "stop",
        "usage": {
            "input_tokens": 100,
            "cached_tokens": 20,
            "cache_write_tokens": 30,
            "output_tokens": 10,
            "reasoning_tokens": 4,
        },
        "attempts": 2,
        "model": "gpt-5-mini",
    }


@pytest.mark.parametrize(
    "stored",
    [
        b'"text"',
        '"日本語 \\u00e9 \\ud83d\\ude00"'.encode(),
        b"0.10",
        b"123456789012345678901234567890",
        b"[0.1,-2.50e-3]",
        b'{"b": 1,"a":null}',
        b'"nul \\u0000"',
    ],
)
def test_an_answer_comes_out_byte_for_byte_as_the_ledger_has_it(
    world: World, stored: bytes
) -> None:
    job = world.job()
    world.answered(job, "a1", stored)

    assert b'"output":%b,"finish"' % stored in b"".join(
        stream_results(world.ledger, job, format="jsonl")
    )


def test_an_answer_that_the_model_indented_still_takes_one_line(world: World) -> None:
    job = world.job()
    world.answered(job, "a1", b'{\n  "k": "two\\nlines"\n}')
    world.answered(job, "a2", "next")

    assert [line["output"] for line in _results(world, job)] == [{"k": "two\nlines"}, "next"]


def test_every_item_has_a_line_whatever_became_of_it(world: World) -> None:
    job = world.job()
    world.answered(job, "yes")
    world.failed(job, "no", partial="half an ans")
    waits = world.item(job, "waits", ItemState.PENDING)
    world.result(waits, outcome=RETRY, cause="server_error", finish="none", model=None)
    changed = world.item(job, "changed", ItemState.IN_FLIGHT)
    world.result(changed, outcome=SUPERSEDED, output="an answer to the old question")
    world.item(job, "stopped", ItemState.CANCELLED)
    world.bad(job, "reviews.csv:17", "bad_item", "no text")

    lines = _results(world, job)

    assert [(line["id"], line["status"], line["output"]) for line in lines] == [
        ("yes", "succeeded", "fine"),
        ("no", "failed", None),
        ("waits", "pending", None),
        ("changed", "in_flight", None),
        ("stopped", "cancelled", None),
        ("reviews.csv:17", "failed", None),
    ]
    assert lines[2]["finish"] is None
    assert lines[4] == {
        "id": "stopped",
        "status": "cancelled",
        "output": None,
        "finish": None,
        "usage": {**dict.fromkeys(lines[0]["usage"], 0), "cache_write_tokens": None},  # type: ignore[call-overload]  # decoded JSON
        "attempts": 0,
        "model": None,
    }


def test_items_without_ids_are_named_by_their_line(world: World) -> None:
    job = world.job()
    world.answered(job, None, name="reviews.csv:2")

    assert _results(world, job)[0]["id"] == "reviews.csv:2"


def test_an_id_is_written_as_json_whatever_characters_it_has(world: World) -> None:
    job = world.job()
    keys = [
        "".join(map(chr, range(0x01, 0x500))),
        "日本語 😀 \u2028 \ufeff",
        'quote " backslash \\ slash / percent %s %d',
    ]
    for key in keys:
        world.answered(job, key)

    written = b"".join(stream_results(world.ledger, job, format="jsonl"))

    assert [line["id"] for line in _results(world, job)] == keys
    assert all(b'{"id":' + msgspec.json.encode(key) in written for key in keys)


@pytest.mark.parametrize("block_items", [1, 2, 1000])
def test_items_come_in_input_order_after_a_submission_that_reordered_them(
    world: World, monkeypatch: pytest.MonkeyPatch, block_items: int
) -> None:
    monkeypatch.setattr(rows, "BLOCK_ITEMS", block_items)
    job = world.job()
    a, b, c, d = (world.answered(job, key, key) for key in "abcd")
    world.answered(job, "kept though gone from the data")
    world.order(d, b, a, c)

    assert [line["id"] for line in _results(world, job)] == [
        *"dbac",
        "kept though gone from the data",
    ]


def test_blocks_of_rows_join_without_a_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_ITEMS", 3)
    job = world.job()
    for number in range(7):
        world.answered(job, f"i{number}", number)

    assert [line["output"] for line in _results(world, job)] == list(range(7))


def test_vanished_items_leave_the_outputs(world: World) -> None:
    job = world.job()
    world.answered(job, "here")
    world.answered(job, "gone", vanished=1)

    assert [line["id"] for line in _results(world, job)] == ["here"]


def test_another_jobs_items_stay_out_even_between_ones_own(world: World) -> None:
    one, other = world.job("one"), world.job("other")
    world.answered(other, "o1")
    world.submit(one)
    world.answered(one, "a1")
    world.submit(other)
    world.answered(other, "o2")

    assert [line["id"] for line in _results(world, one)] == ["a1"]
    assert [line["id"] for line in _results(world, other)] == ["o1", "o2"]


def test_a_reader_sees_one_state_of_the_job_while_a_pass_goes_on(world: World) -> None:
    job = world.job()
    world.answered(job, "a1", "old")
    stream = stream_results(world.ledger, job, format="csv")
    header = next(stream)

    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(world.ledger.home.database)) as pass_:
        pass_.execute("update result_rows set output = '{\"new\": 1}'")
        pass_.commit()

    assert b"output" in header
    assert b"old" in b"".join(stream)


def test_an_abandoned_stream_leaves_the_connection_free(world: World) -> None:
    job = world.job()
    world.answered(job, "a1")
    stream = stream_results(world.ledger, job, format="jsonl")
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator

    with world.ledger.transaction() as connection:
        connection.execute("delete from result_rows")


def test_results_of_no_such_job_is_a_usage_error(world: World) -> None:
    with pytest.raises(UsageError, match="no job with number 9"):
        list(stream_results(world.ledger, 9, format="jsonl"))


def test_a_failure_has_its_cause_message_fix_command_and_what_there_was_of_an_answer(
    world: World,
) -> None:
    job = world.job()
    world.answered(job, "fine")
    world.failed(job, "cut", "length", message="cut at 16", partial="It was\na", attempts=3)
    world.failed(job, "later", "server_error")
    world.bad(job, "reviews.csv:17", "template_error", "field 'text' is missing")

    cut, later, bad = _lines(failure_lines(world.ledger, job_view(world.ledger, job)))

    assert list(cut) == ["id", "cause", "message", "attempts", "fix", "partial"]
    assert (cut["id"], cut["cause"], cut["message"]) == ("cut", "length", "cut at 16")
    assert (cut["attempts"], cut["partial"]) == (3, "It was\na")
    assert str(cut["fix"]).endswith("Run: batchrun submit /jobs/reviews.jsonl --new-only")
    assert str(later["fix"]).endswith("Run: batchrun retry reviews --cause server_error")
    assert bad["cause"] == "template_error"
    assert (bad["attempts"], bad["partial"]) == (0, None)


def test_the_command_of_a_trial_names_its_profile(world: World) -> None:
    job = world.job(profile="local")
    world.failed(job, "x", "server_error")

    (line,) = _lines(failure_lines(world.ledger, job_view(world.ledger, job)))

    assert str(line["fix"]).endswith("batchrun retry reviews --cause server_error --backend local")


def test_an_item_asked_again_and_rejected_does_not_show_its_old_answer_as_a_failure(
    world: World,
) -> None:
    job = world.job()
    batch = world.batch(job, reason="the service refused the batch: no such model")
    item = world.item(job, "redone", ItemState.FAILED, batch=batch)
    world.result(item, output="the old answer")

    (line,) = _lines(failure_lines(world.ledger, job_view(world.ledger, job)))

    assert (line["cause"], line["partial"]) == ("rejected", None)
    assert line["message"] == "the service refused the batch: no such model"


def test_a_read_only_connection_can_stream_everything(world: World) -> None:
    from batchrun.ledger.connection import open_for_reading

    job = world.job()
    world.answered(job, "b")
    world.answered(job, "a")
    world.order(2, 1)
    with open_for_reading(world.ledger.home) as ledger:
        assert [line["id"] for line in _lines(stream_results(ledger, job, format="jsonl"))] == [
            "a",
            "b",
        ]
        assert b"".join(stream_results(ledger, job, format="csv")).startswith(b"id,status,output")


@pytest.mark.fault(42)
def test_an_answer_with_a_nul_is_whole(world: World) -> None:
    job = world.job()
    world.answered(job, "a1", "before\x00after")

    (raw,) = b"".join(stream_results(world.ledger, job, format="jsonl")).splitlines()
    assert json.loads(raw)["output"] == "before\x00after"
    assert b"before\\u0000after" in raw
