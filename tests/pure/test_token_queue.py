"""What refusals teach of a queue of tokens, and who goes into what room there is."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ledger.states import BatchState
from batchrun.planning.facts import BatchFacts, Snapshot
from batchrun.planning.queue import accepted, going, refused, stated_limit, to_count, why_waiting
from batchrun.planning.queuefacts import Learned, QueueFacts, QueueKey

NOW = 1_000_000
KEY = QueueKey("account", "m")


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            "Enqueued token limit reached for gpt-4o in organization org-12. Limit: 90,000 enqueued tokens. Please try again later.",
            90_000,
        ),
        ("token_limit_exceeded: Limit: 2000000 enqueued tokens.", 2_000_000),
        ("the limit is 5_000_000 tokens", 5_000_000),
        ("a limit of 300 tokens", 300),
        ("Enqueued token limit reached for gpt-4", None),
        ("limit: 0", None),
        ("limit: " + "9" * 40, None),
        ("", None),
    ],
)
def test_the_number_that_a_refusal_names(message: str, limit: int | None) -> None:
    assert stated_limit(message) == limit


def learn(before: Learned | None = None, **changes: Any) -> Learned:
    facts = {"configured": None, "stated": None, "held": 0, "proven": 0, "tokens": 10, "now": NOW}
    return refused(before, **{**facts, **changes})


@pytest.mark.parametrize(
    ("before", "changes", "fits"),
    [
        (None, {"held": 95, "stated": 100}, 100),  # too much was sent: that is the limit
        (None, {"held": 95, "proven": 90}, 90),  # nobody says how much: what is there fits
        (None, {"held": 50, "proven": 50, "stated": 100}, 50),  # others use the queue
        (100, {"held": 95, "proven": 95}, 100),  # it was tried although it might not fit
        (100, {"held": 80, "proven": 70}, 70),
        (100, {"held": 95, "stated": 60}, 60),  # it shrank
        (200, {"configured": 100, "held": 95}, 100),
        (None, {"configured": 100, "held": 20, "proven": 20}, 20),
        (None, {"configured": 100, "tokens": 150}, 100),
    ],
)
def test_what_counts_as_fitting_after_a_refusal(
    before: int | None, changes: dict[str, int], fits: int
) -> None:
    known = None if before is None else Learned(tokens=before, at=NOW - 900)
    assert learn(known, **changes).tokens == fits


def test_refusals_in_a_row_make_the_waits_longer_and_those_sent_together_are_one() -> None:
    first = learn(held=95, stated=100)
    assert (first.refusals, first.until) == (1, NOW + 60)
    assert learn(first, held=95, stated=100) == first
    later = learn(first, held=95, now=first.until)
    assert (later.refusals, later.until, later.stated) == (2, NOW + 60 + 180, 100)


def test_what_is_accepted_counts_as_fitting_from_then_on() -> None:
    before = Learned(tokens=50, at=NOW, refusals=3, until=NOW + 420)
    assert accepted(before, 40) == before
    assert accepted(before, 60) == replace(before, tokens=60, refusals=0, until=0)


def batch(number: int, **changes: Any) -> BatchFacts:
    facts = {"job": 1, "profile": "p", "model": "m", "state": BatchState.PLANNED, "tokens": 10}
    return BatchFacts(**{"id": number, "queue": KEY, **facts, **changes})


def created(number: int, **changes: Any) -> BatchFacts:
    return batch(number, **{"state": BatchState.CREATED, "is_admitted": True, **changes})


def gone(
    queue: QueueFacts, batches: Iterable[BatchFacts], now: int = NOW
) -> tuple[set[int], tuple[int, ...]]:
    found = Snapshot(batches=tuple(batches), queues=(queue,))
    ready = [b for b in found.batches if b.state <= BatchState.UPLOADED]
    chosen, moments = going(found, ready, now)
    return set(chosen), moments


LIMITED = QueueFacts(key=KEY, configured=30)


def test_as_many_go_as_fit_and_the_job_with_the_fewest_tokens_is_next() -> None:
    waiting = [batch(n, job=1) for n in (2, 3, 4)] + [batch(n, job=2) for n in (5, 6, 7)]
    assert gone(LIMITED, [created(1), *waiting]) == ({5, 2}, ())
    assert gone(LIMITED, waiting) == ({2, 5, 3}, ())


def test_of_equals_the_job_that_was_not_sent_from_for_the_longest_is_next() -> None:
    queue = replace(LIMITED, configured=10, sent=((1, NOW - 5), (2, NOW - 9)))
    assert gone(queue, [batch(1, job=1), batch(2, job=2)]) == ({2}, ())


def test_who_is_next_is_passed_by_nobody_who_is_smaller() -> None:
    waiting = [batch(2, job=2, tokens=25), batch(3, job=1, tokens=5)]
    assert gone(LIMITED, [created(1, tokens=20), *waiting]) == (set(), ())


def test_but_what_fits_into_no_queue_keeps_nobody_waiting() -> None:
    waiting = [batch(2, job=2, tokens=31), batch(3, job=1)]
    assert gone(LIMITED, [created(1), *waiting]) == ({3}, ())
    assert gone(LIMITED, waiting[:1]) == ({2}, ()), "no count of ours is a verdict"


def test_what_may_not_fit_is_tried_alone_in_time_and_below_the_known_limit() -> None:
    learned = Learned(tokens=10, at=NOW - 60, stated=30, refusals=1, until=NOW)
    queue = QueueFacts(key=KEY, learned=learned)
    waiting = [batch(2), batch(3)]
    assert gone(queue, [created(1), *waiting]) == ({2}, ())
    assert gone(queue, [created(1), *waiting], NOW - 1) == (set(), (NOW,))
    assert gone(queue, [created(1), created(4, is_admitted=False), *waiting]) == (set(), ())
    assert gone(queue, [created(1, tokens=21), *waiting]) == (set(), ())
    # A day later the service may allow more.
    assert gone(queue, [created(1, tokens=21), *waiting], NOW + 86_400) == ({2}, ())


def test_a_refusal_that_nobody_has_looked_into_makes_no_room() -> None:
    ended = created(1, state=BatchState.ENDED, tokens=30)
    assert gone(LIMITED, [ended, batch(2)]) == ({2}, ())
    assert gone(LIMITED, [replace(ended, is_admitted=False), batch(2)]) == (set(), ())


def test_nothing_goes_before_it_and_all_in_its_queue_are_counted() -> None:
    uncounted = [created(1, tokens=None), batch(2), batch(3, tokens=None, queue=None)]
    assert gone(LIMITED, uncounted) == ({3}, ())
    found = Snapshot(batches=tuple(uncounted), queues=(LIMITED,))
    assert [b.id for b in to_count(found, uncounted[1:])] == [1]
    assert to_count(found, uncounted[2:]) == []


@pytest.mark.parametrize(
    ("limit", "tokens", "requests", "is_cut"),
    [
        (2_000_000, 300_000, 9, False),
        (2_000_000, 340_000, 9, True),
        (2_000_000, 3_000_000, 1, False),
        (20_000, 13_000, 9, False),
        (20_000, 14_000, 9, True),
        (5_000, 5_000, 9, False),
        (5_000, 5_001, 9, True),
        (None, 10**9, 9, False),
    ],
)
def test_what_is_cut_before_it_is_sent(
    limit: int | None, tokens: int, requests: int, *, is_cut: bool
) -> None:
    queue = QueueFacts(key=KEY, configured=limit, learned=Learned(tokens=1, at=NOW))
    assert queue.is_too_large(tokens, requests) == is_cut


def test_why_a_batch_waits() -> None:
    queue = replace(LIMITED, configured=2_000_000)
    found = Snapshot(batches=(created(1, tokens=1_960_000), batch(2)), queues=(queue,))
    assert why_waiting(found, KEY) == "waits for room in the queue of m: 1.9M of 2M tokens"
    assert why_waiting(replace(found, batches=found.batches[1:]), KEY) is None


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 60),
    st.data(),
)
def test_every_job_is_sent_from_in_the_end(
    sizes: list[int], limit: int, data: st.DataObject
) -> None:
    """Whatever ends when, as long as something does: nobody starves, and no more than the limit is in the queue, but for what is larger alone."""
    queue = QueueFacts(key=KEY, configured=limit)
    waiting = {n: batch(n, job=n % 3, tokens=size) for n, size in enumerate(sizes)}
    running: dict[int, BatchFacts] = {}
    for now in range(NOW, NOW + 3 * len(sizes)):
        chosen, _ = gone(queue, [*waiting.values(), *running.values()], now)
        for n in chosen:
            one = waiting.pop(n)
            running[n] = replace(one, state=BatchState.CREATED, is_admitted=True)
            queue = replace(queue, sent=tuple(sorted({**dict(queue.sent), one.job: now}.items())))
        used = sum(b.tokens or 0 for b in running.values())
        assert used <= limit or len(running) == 1
        if not waiting:
            return
        assert running, "something runs, or something goes"
        running.pop(data.draw(st.sampled_from(sorted(running))))
    raise AssertionError("not all went")
