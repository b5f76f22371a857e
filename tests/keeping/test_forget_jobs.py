"""`forget JOB`: everything of a job, its name and settings included; counts and batches stay without it."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from keepkit import CANARY, dies, holders, spool
from runnerkit import World, items

from batchrun.backends.reading import read_batch
from batchrun.errors import NotFinished, Transient, UsageError
from batchrun.keeping.forgetting import Forgotten
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

JOB: dict[str, Any] = {
    "job": f"{CANARY}-job",
    "prompt": f"{CANARY}: {{{{ text }}}}",
    "metadata": {"who": CANARY},
    "output": {"csv": True, "files": "{{ id }}.txt"},
}
NAME = JOB["job"]


def everywhere(world: World) -> list[str]:
    return holders(CANARY, world.home.path, world.home.outputs)


def lives(world: World, count: int = 3) -> None:
    """A job with an answer, a failure and an item that was asked twice, beside another job."""
    path = world.write(items(2), world.folder / "other.jsonl", job="other")
    world.submit(path)
    world.script.append(  # type: ignore[union-attr]
        Rule(prompt=f"{CANARY}: text 1", status=400, code="bad", message=CANARY)
    )
    world.submit(world.write(items(count), **JOB))
    world.run()
    world.api().retry(NAME, ("i0",), redo=True)
    world.run()


def forget(world: World, **settings: Any) -> Forgotten:
    return world.api().forget(NAME, **settings)


def test_nothing_of_a_job_is_left_in_any_byte_of_home_and_outputs(world: World) -> None:
    lives(world)
    assert len(everywhere(world)) > 8
    found = forget(world)
    assert (found.is_whole, found.item_count, found.left, found.remote_left) == (True, 3, (), 0)
    assert everywhere(world) == []
    assert sorted(p.name for p in world.home.outputs.iterdir()) == ["other"]


def test_nothing_is_left_of_labels_and_schemas_that_it_had_at_any_time(world: World) -> None:
    properties = {CANARY: {"type": "string"}}
    for answers in (
        {"labels": [CANARY, "other"]},
        {"schema": {"properties": properties}, "strict": False},
        {},
    ):
        world.submit(world.write(items(1), missing="keep", **JOB, **answers))
        world.run()
    assert len(world.rows("select * from criteria")) == 2
    assert forget(world).left == ()
    assert everywhere(world) == []
    assert world.rows("select * from criteria") == []


@pytest.mark.parametrize("token", ["br-of-a-newer-life", None], ids=["unknown", "duplicate"])
def test_nothing_of_it_is_left_in_what_was_told_of_strange_batches_of_it(
    world: World, token: str | None
) -> None:
    """The service shows one more batch that bears the job's name: of a token that this ledger lost, or of one that has a batch already."""
    lives(world)
    (mine,) = (
        r for r in world.remotes() if r["metadata"].get("who") and r["request_counts"]["total"] == 3
    )
    twin = {
        **mine,
        "id": "batch_twin",
        "metadata": {**mine["metadata"], **({"batchrun": token} if token else {})},
    }
    world.wire.page = lambda page: replace(page, batches=(read_batch(twin), *page.batches))
    world.write(items(1), world.folder / "third.jsonl", job="third")
    world.submit(world.folder / "third.jsonl")
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update batch_rows set audit_until = ? where state < 5", (2**40,))
    world.tick()
    assert world.incidents() == ["older_ledger" if token else "duplicate_batch"]
    world.wire.page = lambda page: page
    forget(world)
    assert everywhere(world) == []


def test_nothing_of_it_is_left_in_why_its_profile_was_held_back(world: World) -> None:
    """A service quotes what it refuses, also where it refuses for a while only."""
    error = Transient(f"no quota for {CANARY}", status=429, code="insufficient_quota")
    world.backend.add(Fault(call="create", error=error))
    world.submit(world.write(items(2), **JOB))
    assert [CANARY in row["reason"] for row in world.rows("select reason from holds")] == [True]
    world.api().cancel(NAME)
    world.run()
    forget(world)
    assert everywhere(world) == []
    assert len(world.rows("select until from holds")) == 1, "it still keeps others from sending"


def test_other_jobs_are_what_they_were(world: World) -> None:
    lives(world)
    before = [path for path in spool(world) if path.startswith("1")]
    forget(world)
    assert spool(world) == before
    assert [job.name for job in world.api().status()] == ["other"]
    assert len(list(world.api().results("other"))) > 0
    assert world.tick_moment() is None


def test_files_of_the_job_at_the_service_are_deleted_and_no_others(world: World) -> None:
    lives(world)
    (other,) = (b for b in world.remotes() if b["metadata"]["batchrun_job"] == "other")
    forget(world)
    left = {f["id"] for f in world.service.list_files(limit=100)["data"]}
    assert left == {other["input_file_id"], other["output_file_id"]}


def test_counts_batches_and_tokens_stay(world: World) -> None:
    lives(world)
    sums = "select count(*) as n, sum(input_tokens) as tokens from result_rows where item > 2"
    (last,) = world.rows(sums)
    (history,) = world.rows(sums.replace("result_rows", "history"))
    batches = len(world.batches())
    forget(world)
    (kept,) = world.rows(
        "select sum(attempts) as n, sum(u.input_tokens) as tokens from batch_usage u "
        "join batch_rows b on b.id = u.batch join jobs j on j.id = b.job where j.name like 'forgotten~%'"
    )
    assert kept["n"] == last["n"] + history["n"] == 4
    assert kept["tokens"] == last["tokens"] + history["tokens"]
    assert len(world.batches()) == batches
    (moved,) = world.rows("select sum(n) as n from events where event = 'removed'")
    assert moved["n"] == 3


def test_a_later_submit_starts_anew(world: World) -> None:
    lives(world)
    forget(world)
    world.script.clear()  # type: ignore[union-attr]
    tally = world.submit().tally
    assert tally is not None
    assert (tally.new, tally.unchanged) == (3, 0)
    world.run()
    (job,) = (job for job in world.api().status() if job.name == NAME)
    assert job.counts["succeeded"] == 3
    assert max(world.executions()) == 8, "numbers of forgotten items are not given again"


def test_a_job_with_items_in_flight_is_refused(world: World) -> None:
    world.submit(world.write(items(2), **JOB))
    with pytest.raises(NotFinished, match=f"batchrun cancel {NAME}@openai"):
        forget(world)
    world.api().cancel(NAME)
    world.run()
    forget(world)
    assert everywhere(world) == []


def test_a_job_that_was_never_sent_is_forgotten(world: World) -> None:
    world.submit(world.write(items(2), **JOB), send=False)
    forget(world)
    assert everywhere(world) == []
    world.run()
    assert world.executions() == {}


def test_what_somebody_put_into_the_outputs_stays_and_is_named(world: World) -> None:
    lives(world)
    mine = world.home.outputs / NAME / "notes.txt"
    mine.write_text("mine")
    found = forget(world)
    assert "notes.txt" in found.left[0]
    assert [p.name for p in mine.parent.iterdir()] == ["notes.txt"]


def test_a_forgotten_job_is_unknown_to_every_command(world: World) -> None:
    lives(world)
    forget(world)
    with pytest.raises(UsageError, match="There are: other@openai"):
        forget(world)
    with pytest.raises(UsageError, match="no job 'forgotten~2'"):
        world.api().status(("forgotten~2",))


def test_a_job_submitted_before_the_forget_is_finished_keeps_its_new_outputs(world: World) -> None:
    """Killed after its first phase; the same name is submitted again and answered; then the forget goes on."""
    lives(world)
    kill = 1
    while any(job.name == NAME for job in world.api().status()):
        assert dies(world, lambda: forget(world), kill)
        kill += 1
    world.script.clear()  # type: ignore[union-attr]
    world.submit()
    world.run()
    world.api().forget()
    lines = (world.home.outputs / NAME / "results.jsonl").read_bytes().splitlines()
    assert len(lines) == 3
    assert world.api().forget().left == ()


def test_killed_at_any_effect_it_is_finished_by_running_it_again(world: World) -> None:
    kill, finished = 1, False
    while not finished:
        world.submit(world.write(items(2), **JOB))
        world.run()
        finished = not dies(world, lambda: forget(world), kill)
        if not finished:
            with contextlib.suppress(UsageError):  # killed after the last step: it is unknown
                forget(world)
        assert everywhere(world) == [], f"killed at effect {kill}"
        kill += 1
    assert kill > 12
