"""What the commands that do something print and return, against a Batch service on loopback."""

import json
from pathlib import Path

import pytest
from clikit import Desk

from batchrun.service.service import BatchService

MIXED = ("one", "two", "refuse me", "too long")


def test_run_goes_the_whole_way(desk: Desk, service: BatchService) -> None:
    called = desk.call("run", desk.job())
    assert called.code == 0
    outputs = desk.folder / "outputs" / "faq"
    assert called.out == f"faq (openai): done, all 2 items succeeded. Outputs: {outputs}\n"
    assert called.err == f"faq (openai): 2 items: 2 new\nhome: {desk.folder}/.batchrun\n"
    assert [(line["id"], line["output"]) for line in desk.outputs()] == [
        ("q1", "Q: one"),
        ("q2", "Q: two"),
    ]
    assert json.loads((outputs / "manifest.json").read_text())["complete"] is True


def test_run_on_a_finished_job_does_nothing_and_ends_the_same(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq", *MIXED)
    first = desk.call("run", path)
    before = dict(service.charges())
    results = (desk.folder / "outputs" / "faq" / "results.jsonl").read_bytes()
    second = desk.call("run", path)
    assert (first.code, second.code) == (3, 3)
    assert second.out == first.out
    assert dict(service.charges()) == before
    assert (desk.folder / "outputs" / "faq" / "results.jsonl").read_bytes() == results


def test_run_says_what_failed_and_where_to_look(desk: Desk, service: BatchService) -> None:
    called = desk.call("run", desk.job("faq", *MIXED))
    lines = called.out.splitlines()
    assert "finished, 2 of 4 items succeeded, 2 failed." in lines[0]
    assert lines[0].endswith("What to do: batchrun failures faq@openai")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["1 x bad_request", "1 x length"]


def test_run_with_a_limit_takes_the_first_items_and_run_takes_the_rest(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("faq", "one", "two", "three")
    assert desk.call("run", "--limit", "1", path).out.count("its one item") == 1
    assert desk.call("run", path).out.count("all 3 items") == 1
    assert set(dict(service.charges()).values()) == {1}
    assert len(dict(service.charges())) == 3


def test_run_takes_items_from_a_file_or_stdin(
    desk: Desk, service: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.write("faq.jsonl", {"job": "faq", "model": "m", "prompt": "{{ text }}"})
    items = desk.write("items.csv", "id,text", "a,apple", "b,pear")
    assert desk.call("run", "--items", items, path).code == 0
    assert [line["id"] for line in desk.outputs()] == ["a", "b"]
    more = Path(desk.write("more.jsonl", *({"id": i, "text": i} for i in "abc")))
    with more.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert desk.call("run", "--items", "-", path).code == 0
    assert [line["id"] for line in desk.outputs()] == ["a", "b", "c"]


def test_run_with_a_time_limit_ends_with_4_and_goes_on(desk: Desk, service: BatchService) -> None:
    called = desk.call("run", "--timeout", "0", desk.job())
    assert (called.code, called.out) == (4, "")
    assert "2 of 2 items open" in called.err
    assert "Go on with: batchrun wait faq@openai" in called.err
    assert desk.call("wait", "--for", "0").code == 4
    assert desk.call("wait").code == 0


def test_submit_queues_sends_and_returns(desk: Desk, service: BatchService) -> None:
    called = desk.call("submit", desk.job())
    assert called.code == 0
    assert called.out.splitlines() == [
        f"faq (openai): 2 items: 2 new. Outputs: {desk.folder}/outputs/faq",
        f"home: {desk.folder}/.batchrun",
    ]
    assert called.err == "Go on with: batchrun wait\n"
    assert len(service.list_batches()["data"]) == 1


def test_submit_again_sends_only_what_is_new_or_changed(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", "one", "two"))
    path = desk.job("faq", "one", "two changed", "three")
    assert desk.call("submit", path).out.startswith(
        "faq (openai): 3 items: 1 new, 1 changed, 1 of them answered before and paid again, 1 unchanged."
    )
    assert desk.call("wait").code == 0
    assert sorted(dict(service.charges()).values()) == [1, 1, 1, 1]


def test_a_dry_run_counts_and_changes_nothing(desk: Desk, service: BatchService) -> None:
    path = desk.job("faq", "one", "two")
    called = desk.call("submit", "--dry-run", path)
    assert called.out == "faq (openai): 2 items: 2 new. Nothing was sent (--dry-run)\n"
    assert not (desk.folder / ".batchrun").exists()
    desk.call("run", path)
    desk.job("faq", "one", "changed")
    assert (
        "1 changed, 1 of them answered before and paid again, 1 unchanged"
        in desk.call("submit", "--dry-run", path).out
    )
    assert len(service.list_batches()["data"]) == 1
    assert desk.call("status", "faq").code == 0


def test_a_dry_run_needs_no_key(desk: Desk) -> None:
    assert desk.call("submit", "--dry-run", desk.job()).code == 0


def test_the_guard_on_asking_again_says_both_ways_out(desk: Desk, service: BatchService) -> None:
    texts = [f"text {n}" for n in range(101)]
    desk.call("run", desk.job("faq", *texts))
    path = desk.job("faq", *texts, "new", prompt="Changed: {{ text }}")
    called = desk.call("submit", path)
    assert (called.code, called.out) == (8, "")
    assert "--reask" in called.err
    assert "--new-only" in called.err
    assert desk.call("run", "--new-only", path).code == 0
    assert [line["output"] for line in desk.outputs()][-2:] == ["Q: text 100", "Changed: new"]
    assert "102 unchanged" in desk.call("submit", path).out  # the choice is remembered
    assert desk.call("retry", "faq", "--redo", "--yes").code == 0
    assert desk.call("wait").code == 0
    assert {line["output"].split(":")[0] for line in desk.outputs()} == {"Changed"}


def test_reask_asks_all_that_the_guard_had_stopped(desk: Desk, service: BatchService) -> None:
    texts = [f"text {n}" for n in range(101)]
    desk.call("run", desk.job("faq", *texts))
    path = desk.job("faq", *texts, prompt="Changed: {{ text }}")
    assert desk.call("submit", "--dry-run", path).code == 8
    assert desk.call("run", "--reask", path).code == 0
    assert {line["output"].split(":")[0] for line in desk.outputs()} == {"Changed"}


def test_a_job_belongs_to_its_file_until_it_is_moved(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq"))
    other = desk.write("other.jsonl", (desk.folder / "faq.jsonl").read_bytes())
    refused = desk.call("run", other)
    assert refused.code == 5
    assert "--replace" in refused.err
    assert desk.call("run", "--replace", other).code == 0


def test_fresh_starts_over_and_keeps_the_old_job(desk: Desk, service: BatchService) -> None:
    path = desk.job()
    desk.call("run", path)
    assert desk.call("run", "--fresh", "--yes", path).code == 0
    jobs = desk.call("status", "--json").json["jobs"]
    assert len(jobs) == 2
    assert sorted(dict(service.charges()).values()) == [1, 1, 1, 1]


def test_tick_speaks_only_when_a_job_has_ended(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job("faq", "one", "refuse me"))
    for _ in range(1_000):
        desk.clock.advance(60)
        called = desk.call("tick")
        if called.out:
            break
        assert (called.code, called.err) == (0, "")
    assert called.code == 3
    assert called.out.startswith("faq (openai): finished, 1 of 2 items succeeded, 1 failed.")
    again = desk.call("tick")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_retry_queues_failed_items_as_they_were_sent(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job("faq", *MIXED))
    assert desk.call("retry", "faq", "q3").out == "1 item queued. Go on with: batchrun wait faq\n"
    assert desk.call("retry", "faq").out.startswith("1 item queued.")
    assert desk.call("wait").code == 3
    assert sorted(dict(service.charges()).values()) == [1] * 6


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("faq", "q1"), "item 'q1': it has an answer. --redo asks again, and pays again."),
        (("faq", "nope"), "item 'nope': there is no such item."),
        (("gone",), "no job 'gone'"),
        (("faq", "--redo"), "--redo without an ITEM asks, and pays for, every item"),
    ],
)
def test_retry_refuses_what_it_would_not_do(
    desk: Desk, service: BatchService, words: tuple[str, ...], told: str
) -> None:
    desk.call("run", desk.job())
    called = desk.call("retry", *words)
    assert called.code == 2
    assert told in called.err
    assert desk.call("retry", "faq").out == "no failed items in faq: nothing to do\n"


def test_redo_asks_an_answered_item_again(desk: Desk, service: BatchService) -> None:
    desk.call("run", desk.job())
    assert desk.call("retry", "--json", "--redo", "faq", "q1").json == {
        "job": "faq",
        "queued": 1,
        "pruned": 0,
        "left_out": {},
    }
    assert desk.call("wait").code == 0
    assert len(dict(service.charges())) == 3


def test_cancel_keeps_what_is_paid_and_stops_the_rest(desk: Desk, service: BatchService) -> None:
    desk.call("submit", desk.job())
    called = desk.call("cancel", "faq")
    assert called.code == 0
    assert called.out.startswith("faq@openai: ")
    code = desk.call("wait").code
    counts = desk.call("status", "--json").json["jobs"][0]["counts"]
    assert counts["pending"] == counts["in_flight"] == 0
    assert counts["succeeded"] + counts["cancelled"] == 2
    assert code == (3 if counts["cancelled"] else 0)  # how far the service was is its own affair


def test_new_writes_a_job_file_that_check_takes(desk: Desk) -> None:
    data = desk.write("data/reviews.csv", "id,text,label", "1,fine,good", "2,poor,bad")
    called = desk.call("new", data, "-o", "jobs.jsonl")
    assert (called.code, called.out) == (0, "")
    assert desk.call("check", "jobs.jsonl").out == "reviews (openai): ok, 2 items\n"
    refused = desk.call("new", data, "-o", "jobs.jsonl")
    assert refused.code == 2
    assert "--yes replaces it" in refused.err
    assert desk.call("new", "--yes", data, "-o", "jobs.jsonl").code == 0
    printed = json.loads(desk.call("new", data).out)
    assert printed["items"] == "data/reviews.csv"
    assert desk.call("new", "gone.csv").code == 5
    assert desk.call("new", data, "-o", "no/such/folder.jsonl").code == 2


def test_check_looks_and_leaves_nothing(desk: Desk) -> None:
    path = desk.job("faq", "one", "two", max_output_tokens=10)
    called = desk.call("check", path)
    assert (called.code, called.out) == (0, "faq (openai): ok, 2 items\n")
    assert "(warning)" in called.err
    assert [entry.name for entry in desk.folder.iterdir()] == ["faq.jsonl"]
    document = desk.call("check", "--json", path).json
    assert document["jobs"][0]["items"]["all"] == 2
    assert document["jobs"][0]["warnings"][0]["line"] == 1


@pytest.mark.model
def test_the_local_backend_needs_no_key(desk: Desk) -> None:
    pytest.importorskip("xllamacpp")
    called = desk.call("run", "--backend", "local", desk.job("faq", "Say yes."))
    assert called.code == 0
    assert (desk.folder / "outputs" / "faq@local").is_dir()


def test_check_is_not_stopped_by_a_guard_on_what_is_new(desk: Desk, service: BatchService) -> None:
    """It cannot know what is: a nightly job with many answered items, and few new ones, is in order."""
    assert desk.call("run", desk.job("faq", "one", "two")).code == 0
    nightly = desk.job("faq", "one", "two", "three", max_new=1)
    assert desk.call("check", nightly).code == 0
    assert desk.call("submit", nightly).code == 0


def test_check_says_where_the_outputs_will_be(desk: Desk) -> None:
    (job,) = desk.call("check", "--json", desk.job()).json["jobs"]
    assert job["outputs"] == str(desk.folder / "outputs" / "faq")
