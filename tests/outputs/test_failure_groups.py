import pytest
from factory import AT, RETRY, World

from batchrun.errors import UsageError
from batchrun.ledger.states import ItemState
from batchrun.outputs.failures import failure_groups
from batchrun.outputs.waiting import WaitKind, waiting


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


def test_items_before_their_next_attempt_are_listed_by_cause_with_the_earliest_time(
    world: World,
) -> None:
    job = world.job()
    for number, cause in enumerate(["server_error", "server_error", "rate_limited"]):
        item = world.item(job, f"w{number}", ItemState.PENDING)
        world.result(item, outcome=RETRY, cause=cause)
        world.insert("queue", item=item, job=job, not_before=AT + 600 - number)
    never_tried = world.item(job, "new", ItemState.PENDING)
    world.insert("queue", item=never_tried, job=job, not_before=0)

    found = waiting(world.ledger, job)

    assert [(w.kind, w.cause, w.count, w.until) for w in found] == [
        (WaitKind.RETRY, "server_error", 2, AT + 599),
        (WaitKind.RETRY, "rate_limited", 1, AT + 598),
    ]
    assert found[0].reason == "the service failed inside"


def test_paused_jobs_and_held_profiles_say_why(world: World) -> None:
    job, other = world.job("held"), world.job("other", profile="local")
    world.item(job, "a")
    world.execute("update jobs set paused = 'five releases in a row' where id = ?", job)
    world.insert("holds", profile="openai", model="gpt-5-mini", until=AT + 60, reason="token limit")
    world.insert("holds", profile="openai", model="", until=AT + 90, reason="quota")

    found = waiting(world.ledger, None)

    assert [(w.kind, w.job, w.model, w.reason, w.count, w.until) for w in found] == [
        (WaitKind.PAUSED, "held", None, "five releases in a row", 1, None),
        (WaitKind.HOLD, None, None, "quota", 0, AT + 90),
        (WaitKind.HOLD, None, "gpt-5-mini", "token limit", 0, AT + 60),
    ]
    assert waiting(world.ledger, job) == found
    assert waiting(world.ledger, other) == ()
