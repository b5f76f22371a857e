"""Five jobs and an account whose queue takes two million tokens: how much later than an oracle's are their batches accepted?

The oracle has the very batches that came of the jobs. It knows the limit, their tokens as the service counts them, and how long each will run, and
it sends at the very second in which another ends. It is as fair as batchrun: the job with the fewest tokens in the queue is next, and nobody passes
who is next. Compared are the moments at which the service accepts the first batch, the second, … and so on to the last. A ratio says nothing where
the oracle needs no time at all, so two polls are granted: a service that is asked once a minute tells of a refusal that late.

A second oracle is not fair: it fills what room there is with the largest batch that fits. It is compared in when the last batch is accepted.
"""

import heapq
from collections import Counter
from typing import Final, NamedTuple

import pytest
from runnerkit import NewWorld, World

from batchrun.service.options import Options
from batchrun.service.responders.script import Rule

LIMIT: Final = 2_000_000
LINE_S: Final = 300
REQUESTS: Final = (20, 30, 40, 50, 60)  # of the jobs
WORDS: Final = "the cat sat the dog ran "  # four bytes a token, as the service counts
TOKENS: Final = 20_000  # of a request
POLLS_S: Final = 120
MINUTE: Final = 60
MOST: Final = 1.2


class Accepted(NamedTuple):
    """A batch that the service accepted: when, whose, its tokens, how long it runs."""

    at: int
    batch: int
    job: int
    tokens: int
    runs_s: int


def play(world: World) -> list[Accepted]:
    """Submit the jobs, and let a minute pass after the other until all is answered."""
    for number, count in enumerate(REQUESTS):
        text = WORDS * (TOKENS // 6)
        items = [{"id": f"i{n}", "text": f"{number} {n} {text}"} for n in range(count)]
        path = world.folder / f"job{number}.jsonl"
        world.write(items, path, job=f"job{number}", prompt="{{ text }}")
        world.submit(path, send=False)
    began = world.clock.now()
    next_at: int | None = began
    while next_at is not None:
        if world.clock.now() >= next_at:
            next_at = world.tick().next_at
        world.serve()
        world.clock.advance(MINUTE)
        assert world.clock.now() < began + 7 * 86_400
    rows = {row["remote_id"]: row for row in world.batches()}
    return sorted(
        Accepted(
            at=remote["in_progress_at"] - began,
            batch=row["id"],
            job=row["job"],
            tokens=row["input_bytes"] // 4,
            runs_s=row["request_count"] * LINE_S,
        )
        for remote in world.remotes()
        if remote["in_progress_at"] is not None
        for row in (rows[remote["id"]],)
    )


def oracle(batches: list[Accepted], *, is_fair: bool) -> list[int]:
    """When the same batches are accepted, one after the other."""
    waiting = sorted(batches, key=lambda b: b.batch)
    running: list[tuple[int, int, int]] = []
    taken: Counter[int] = Counter()
    sent: Counter[int] = Counter()
    now = 0
    accepted = []
    while waiting:
        if is_fair:
            one = min(waiting, key=lambda b: (taken[b.job], sent[b.job], b.batch))
        else:
            room = LIMIT - taken.total()
            one = max(waiting, key=lambda b: (b.tokens <= room, b.tokens, -b.batch))
        if taken.total() + one.tokens <= LIMIT:
            waiting.remove(one)
            taken[one.job] += one.tokens
            sent[one.job] = now
            heapq.heappush(running, (now + one.runs_s, one.job, one.tokens))
            accepted.append(now)
        else:
            now, job, tokens = heapq.heappop(running)
            taken[job] -= tokens
    return accepted


@pytest.mark.parametrize("is_configured", [True, False], ids=["configured", "learned"])
@pytest.mark.fault(10)
def test_no_batch_is_accepted_much_later_than_an_oracle_has_it(
    new_world: NewWorld, *, is_configured: bool
) -> None:
    options = Options(queue_tokens=LIMIT, line_s=LINE_S)
    world = new_world(options=options, script=[Rule(reply="yes")])
    if is_configured:
        settings = f"[profile.openai]\nqueue_tokens = {LIMIT}\n"
        (world.folder / "batchrun.toml").write_text(settings)
    batches = play(world)
    attempts = "select attempts, count(*) as n from results group by attempts"
    assert world.rows(attempts) == [{"attempts": 1, "n": sum(REQUESTS)}]
    best = oracle(batches, is_fair=True)
    late = [ours.at / theirs for ours, theirs in zip(batches, best, strict=True) if theirs]
    assert [b.at for b, theirs in zip(batches, best, strict=True) if not theirs][-1] <= POLLS_S
    assert max(late) <= MOST
    assert batches[-1].at <= MOST * oracle(batches, is_fair=False)[-1]
    # What is known beforehand costs no upload; what has to be learned, one for each batch that was sent before anything was known.
    in_vain = world.backend.calls.count("upload") - len(batches)
    assert in_vain == 0 if is_configured else in_vain <= len(REQUESTS)
