"""What a job waits for, in the ledger's words: items before their next attempt, a profile that must not send yet, a job that was paused."""

from factory import AT, RETRY, World

from batchrun.clock import rfc3339
from batchrun.ledger.backoff import backoffs
from batchrun.ledger.states import ItemState
from batchrun.looking import job_statuses
from batchrun.planning.policy import FOREVER


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

    (status,) = job_statuses(world.ledger)

    assert backoffs(world.ledger, job) == (
        ("server_error", 2, AT + 599),
        ("rate_limited", 1, AT + 598),
    )
    assert status.retries == status.waiting
    assert status.retries[0] == (
        f"2 items go again: server_error (the service failed inside), from {rfc3339(AT + 599)} on"
    )
    assert status.retry_at == status.next_at == AT + 598


def test_the_retries_of_one_job_are_not_those_of_another(world: World) -> None:
    job, other = world.job(), world.job("other")
    item = world.item(job, "a", ItemState.PENDING)
    world.result(item, outcome=RETRY, cause="server_error")
    world.insert("queue", item=item, job=job, not_before=AT)
    world.item(other, "b", ItemState.PENDING)

    mine, others = job_statuses(world.ledger)

    assert (len(mine.retries), others.retries, others.retry_at) == (1, (), None)


def test_paused_jobs_and_held_profiles_say_why(world: World) -> None:
    job, other = world.job("held"), world.job("other", profile="local")
    item = world.item(job, "a")
    world.item(other, "b")
    world.result(item, outcome=RETRY, cause="server_error")
    world.insert("queue", item=item, job=job, not_before=AT)
    world.execute("update jobs set paused = 'five releases in a row' where id = ?", job)
    world.insert("holds", profile="openai", model="gpt-5-mini", until=AT + 60, reason="token limit")
    world.insert("holds", profile="openai", model="", until=AT + 90, reason="quota")
    world.insert("holds", profile="openai", model="gpt-5", until=0, reason="over")

    held, free = job_statuses(world.ledger)

    assert (held.name, held.paused) == ("held", "five releases in a row")
    assert held.waiting == ("five releases in a row", "quota", "token limit")
    assert (held.counts["pending"], held.is_held) == (1, False)
    assert (held.retries, held.next_at) == ((), None), "nothing of a paused job goes by itself"
    assert (free.name, free.waiting, free.is_held) == ("other", (), False)


def test_a_hold_that_only_a_person_ends_is_told_from_one_that_time_ends(world: World) -> None:
    world.item(world.job(), "a")
    world.insert("holds", profile="openai", model="", until=FOREVER, reason="recover first")

    (status,) = job_statuses(world.ledger)

    assert (status.waiting, status.is_held) == (("recover first",), True)
