import pytest
from factory import World

from batchrun.errors import UsageError
from batchrun.outputs.failures import failure_groups


def test_failures_are_grouped_by_cause_the_largest_first_with_fix_and_command(world: World) -> None:
    job = world.job()
    for number in range(5):
        world.failed(job, f"s{number}", "server_error", message=f"HTTP 500, number {number}")
    world.failed(job, "cut", "length")
    world.bad(job, "reviews.csv:9", "bad_item", "no text")
    world.answered(job, "fine")

    groups = failure_groups(world.ledger, job)

    assert [(group.cause, group.count) for group in groups] == [
        ("server_error", 5),
        ("bad_item", 1),
        ("length", 1),
    ]
    first = groups[0]
    assert (first.job, first.profile) == ("reviews", "openai")
    assert first.command == "batchrun retry reviews --cause server_error"
    assert first.is_retryable
    assert first.examples == ("s0", "s1", "s2")
    assert first.message == "HTTP 500, number 0"
    assert groups[1].command == "batchrun submit /jobs/reviews.jsonl --new-only"
    assert "/jobs/reviews.jsonl" in groups[2].fix


def test_vanished_items_are_no_failures_any_more(world: World) -> None:
    job = world.job()
    item = world.failed(job, "gone")
    world.execute("update item_rows set vanished = 1 where id = ?", item)

    assert failure_groups(world.ledger, job) == ()


def test_a_cause_that_this_version_does_not_know_is_kept_and_explained_as_unknown(
    world: World,
) -> None:
    job = world.job()
    world.failed(job, "x", "moon_phase")

    (group,) = failure_groups(world.ledger, job)

    assert group.cause == "moon_phase"
    assert group.command == "batchrun retry reviews --cause moon_phase"


def test_without_a_job_the_failures_of_all_jobs_are_listed(world: World) -> None:
    for name in ("zeta", "alpha"):
        world.failed(world.job(name), "x")

    assert [group.job for group in failure_groups(world.ledger, None)] == ["alpha", "zeta"]


def test_a_long_message_is_cut_in_the_group(world: World) -> None:
    job = world.job()
    world.failed(job, "x", message="long " * 1000)

    assert len(failure_groups(world.ledger, job)[0].message) == 500


def test_failures_of_no_such_job_is_a_usage_error(world: World) -> None:
    with pytest.raises(UsageError):
        failure_groups(world.ledger, 3)
