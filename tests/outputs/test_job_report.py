import json
from pathlib import Path

import msgspec
import pytest
from factory import AT, World

from batchrun.ledger.states import BatchState, ItemState
from batchrun.outputs.reporting import job_report, report_markdown

GOLDEN = Path(__file__).with_name("golden") / "report.md"


def _rich(world: World) -> int:
    job = world.job()
    world.batch(job, request_count=5)
    world.batch(job, remote_status="expired", ended_at=AT + 7384)
    world.batch(
        job,
        BatchState.REJECTED,
        remote_id=None,
        remote_status=None,
        created_at=None,
        ended_at=None,
        reason="the service refused the input file: 'token_limit_exceeded'",
    )
    world.answered(job, "a1", at=AT + 7000)
    retried = world.answered(job, "a2", attempts=2, send=2)
    world.result(retried, table="history", outcome=2, cause="server_error", output_tokens=0)
    for number in range(4):
        world.failed(job, f"r{number}", "refusal", message="I cannot help with *that*.\x1b[2J")
    world.failed(job, "`tick`|s", "length")
    world.item(job, "c1", ItemState.CANCELLED)
    world.insert(
        "incidents", at=AT + 7384, job=job, batch=2, kind="unknown_custom_id", message="3 lines"
    )
    return job


def test_the_markdown_report_reads_as_in_the_golden_file(world: World) -> None:
    assert report_markdown(job_report(world.ledger, _rich(world))) == GOLDEN.read_text()


def test_the_report_counts_items_and_every_attempt_ever_paid(world: World) -> None:
    report = job_report(world.ledger, _rich(world))

    assert report["counts"] == {
        "items": 8,
        "pending": 0,
        "in_flight": 0,
        "succeeded": 2,
        "failed": 5,
        "cancelled": 1,
    }
    assert report["attempts"] == 8
    assert report["tokens"] == {
        "input_tokens": 800,
        "cached_tokens": 160,
        "cache_write_tokens": 240,
        "output_tokens": 70,
        "reasoning_tokens": 32,
    }
    assert report["complete"] is True
    assert (report["finished_at"], report["duration_s"]) == ("2026-09-21T16:16:24Z", 7384)


def test_usage_is_kept_apart_by_the_profile_that_is_billed(world: World) -> None:
    job = world.job()
    world.batch(job)
    world.answered(job, "a")
    alone = job_report(world.ledger, job)
    all_of_it = {"attempts": alone["attempts"], **alone["tokens"]}
    assert alone["by_profile"] == {"openai": all_of_it}
    live = world.batch(job, profile="openai:live", token="br-live", remote_id="batch_live")
    retried = world.answered(job, "b", input_tokens=7)
    world.ledger.execute("update result_rows set batch = ? where item = ?", (live, retried))
    world.result(retried, table="history", batch=live, outcome=2, cause="server_error")
    world.recount()
    both = job_report(world.ledger, job)["by_profile"]
    assert both["openai"] == all_of_it
    assert (both["openai:live"]["attempts"], both["openai:live"]["input_tokens"]) == (2, 107)


def test_tokens_of_vanished_items_were_paid_and_stay_counted(world: World) -> None:
    job = world.job()
    world.batch(job)
    world.answered(job, "gone", vanished=1)

    report = job_report(world.ledger, job)

    assert report["counts"]["items"] == 0
    assert report["tokens"]["input_tokens"] == 100


def test_a_job_under_way_has_no_end_and_says_how_much_is_open(world: World) -> None:
    job = world.job()
    world.answered(job, "a")
    world.item(job, "b", ItemState.IN_FLIGHT)
    world.execute("update jobs set paused = 'no credit'")

    report = job_report(world.ledger, job)

    assert (report["complete"], report["finished_at"], report["duration_s"]) == (False, None, None)
    text = report_markdown(report)
    assert "**Not finished:** 1 of 2 items are still open." in text
    assert "**Paused:** no credit" in text


@pytest.mark.parametrize("rest", [ItemState.PENDING, ItemState.CANCELLED])
def test_a_canary_that_failed_is_why_a_job_is_paused_while_something_is_open(
    world: World, rest: ItemState
) -> None:
    job = world.job()
    item = world.item(job, "a", ItemState.FAILED)
    world.item(job, "b", rest)
    world.execute(
        "insert into canaries (job, asking, max_failed, max_truncated) values (?, x'00', 0.1, 0.1)",
        job,
    )
    world.execute("insert into canary_items (job, item) values (?, ?)", job, item)

    report = job_report(world.ledger, job)

    said = "canary: 1 of 1 items failed"
    assert ((report["paused"] or "").startswith(said)) is (rest is ItemState.PENDING)
    assert (f"**Paused:** {said}" in report_markdown(report)) is (rest is ItemState.PENDING)


def test_a_job_submitted_again_unchanged_took_no_time(world: World) -> None:
    job = world.job()
    world.batch(job, ended_at=AT + 60)
    world.answered(job, "a", at=AT + 60)
    world.submit(job, at=AT + 86_400)

    report = job_report(world.ledger, job)

    assert report["finished_at"] == report["submitted_at"]
    assert report["duration_s"] == 0
    assert "**Done:** the one item succeeded." in report_markdown(report)


def test_an_empty_job_can_be_reported(world: World) -> None:
    report = job_report(world.ledger, world.job())

    assert report["counts"]["items"] == 0
    assert report["finished_at"] is None
    assert report_markdown(report).startswith("# reviews (openai)\n")


def test_the_report_is_plain_json(world: World) -> None:
    report = job_report(world.ledger, _rich(world))

    assert json.loads(msgspec.json.encode(report)) == report


def test_the_latest_batches_and_incidents_are_shown_and_all_are_counted(world: World) -> None:
    job = world.job()
    for number in range(25):
        world.batch(job)
        world.insert(
            "incidents", at=AT + number, job=job, kind="duplicate", message=f"no. {number}"
        )

    report = job_report(world.ledger, job)
    text = report_markdown(report)

    assert len(report["batches"]) == report["incident_count"] == 25
    assert "The latest 20 of 25; report.json has all." in text
    assert "- the latest 10 of 25" in text
    assert "no. 24" in text
    assert "no. 14" not in text


def test_foreign_text_in_the_markdown_cannot_break_out_of_its_place(world: World) -> None:
    job = world.job()
    world.failed(job, "```\n# not a heading", message="| a cell |\n\n<script>", cause="refusal")

    lines = report_markdown(job_report(world.ledger, job)).splitlines()

    assert not [line for line in lines if line.startswith(("# not", "```\n", "<"))]
    assert "- message: \\| a cell \\|\\\\n\\\\n\\<script\\>" in lines
    assert "- first: ```` ```\\n# not a heading ````" in lines
