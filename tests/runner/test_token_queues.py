"""The queue of tokens: limits apart and shared, shrinking, too small for anything, and used by other homes."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any, Final

from runnerkit import OPENAI, NewWorld, World

from batchrun.ledger.states import BatchState
from batchrun.model import JsonObject, Limits
from batchrun.service.options import Options
from batchrun.service.responders.script import Rule

WORDS: Final = "the cat sat the dog ran "  # four bytes a token, as the service counts
REQUEST: Final = 2_000  # tokens
# A batch that was created once more is looked for no longer than that takes, so that little happens between two polls.
CALM: Final = replace(OPENAI, poll_s=300, settle_s=0, second_settle_s=0)
ANSWERS: Final = [Rule(reply="yes")]


def texts(count: int, name: str = "", tokens: int = REQUEST) -> list[JsonObject]:
    return [{"id": f"i{n}", "text": f"{name} {n} " + WORDS * (tokens // 6)} for n in range(count)]


def settings(world: World, text: str) -> None:
    (world.folder / "batchrun.toml").write_text(text)


def submit(world: World, name: str, count: int, **changes: Any) -> None:
    path = world.folder / f"{name}.jsonl"
    world.write(texts(count, name), path, job=name, prompt="{{ text }}", **changes)
    world.submit(path, send=False)


def minutes(world: World, count: int) -> None:
    """So many minutes pass, each with a pass."""
    for _ in range(count):
        world.tick()
        world.serve()
        world.clock.advance(60)


def hours(world: World, count: int) -> None:
    """So many hours pass, with a pass whenever one is due."""
    end, next_at = world.clock.now() + count * 3_600, world.clock.now()
    while next_at < end:
        world.clock.sleep_until(next_at)
        moment = world.tick().next_at
        assert moment is not None
        world.serve()
        next_at = moment
    world.clock.sleep_until(end)


def mine(world: World) -> int:
    """Tokens of ours at the far end."""
    return in_queue(world).total()


def in_queue(world: World) -> Counter[str]:
    """Tokens of ours at the far end, as it counts them, by model."""
    found: Counter[str] = Counter()
    rows = {row["remote_id"]: row for row in world.batches()}
    for remote in world.remotes():
        if remote["id"] in rows and remote["status"] in ("in_progress", "finalizing"):
            found[rows[remote["id"]]["model"]] += rows[remote["id"]]["input_bytes"] // 4
    return found


def is_answered_once(world: World, count: int) -> bool:
    attempts = "select attempts, count(*) as n from results group by attempts"
    return world.rows(attempts) == [{"attempts": 1, "n": count}]


def waits(world: World, name: str) -> tuple[str, ...]:
    (job,) = world.api().status((name,))
    return job.waiting


def test_status_says_what_a_batch_waits_for(new_world: NewWorld) -> None:
    world = new_world(options=Options(queue_tokens=90_000, line_s=600), script=ANSWERS, traits=CALM)
    settings(world, "[profile.openai]\nqueue_tokens = 90_000\n")
    submit(world, "reviews", 60)
    minutes(world, 1)
    (line,) = waits(world, "reviews")
    assert line.startswith("waits for room in the queue of gpt-4.1-mini: 8")
    assert line.endswith("K of 90K tokens")
    assert world.run().problems == ()
    assert is_answered_once(world, 60)
    assert {b["uploads"] for b in world.batches()} == {1}
    assert {b["reason"] for b in world.batches()} == {None}


def test_limits_of_two_models_are_apart(new_world: NewWorld) -> None:
    world = new_world(options=Options(queue_tokens=90_000, line_s=600), script=ANSWERS, traits=CALM)
    settings(world, '[profile.openai.queue_tokens]\n"small" = 90_000\n"*" = 45_000\n')
    submit(world, "one", 60, model="small")
    submit(world, "two", 60, model="large")
    minutes(world, 2)
    found = in_queue(world)
    assert 75_000 < found["small"] <= 90_000
    assert 35_000 < found["large"] <= 45_000


def test_profiles_that_share_an_account_share_its_queues(new_world: NewWorld) -> None:
    world = new_world(options=Options(queue_tokens=90_000, line_s=600), script=ANSWERS, traits=CALM)
    settings(
        world,
        '[profile.openai]\naccount = "team"\n[profile.other]\naccount = "team"\nqueue_tokens = 90_000\n',
    )
    submit(world, "one", 40)
    submit(world, "two", 40, backend="other")
    minutes(world, 2)
    jobs = Counter(b["profile"] for b in world.batches() if b["remote_status"] == "in_progress")
    assert abs(jobs["openai"] - jobs["other"]) <= 1, "in turns"
    assert 75_000 < in_queue(world)["gpt-4.1-mini"] <= 90_000
    world.run()
    assert is_answered_once(world, 80)
    assert {b["uploads"] for b in world.batches()} == {1}


def test_jobs_take_turns_even_where_only_one_batch_fits(new_world: NewWorld) -> None:
    world = new_world(
        limits=Limits(request_count=4),
        options=Options(queue_tokens=9_000, line_s=600),
        script=ANSWERS,
        traits=CALM,
    )
    settings(world, "[profile.openai]\nqueue_tokens = 9_000\n")
    for name in ("one", "two", "three"):
        submit(world, name, 8)
    world.run()
    created = world.rows("select job from batch_rows order by intent_at")
    assert [row["job"] for row in created] == [1, 2, 3] * 2


def test_a_limit_that_shrinks_is_learned_anew(new_world: NewWorld) -> None:
    world = new_world(
        options=Options(queue_tokens=180_000, line_s=600), script=ANSWERS, traits=CALM
    )
    settings(world, "[profile.openai]\nqueue_tokens = 180_000\n")
    submit(world, "reviews", 120)
    minutes(world, 2)
    assert in_queue(world)["gpt-4.1-mini"] > 150_000
    world.embedded.close()
    world.embedded._options = Options(queue_tokens=60_000, line_s=600)
    world.run()
    assert is_answered_once(world, 120)
    (known,) = world.rows("select * from queue_limits")
    assert known["stated"] == 60_000
    # One is refused; whatever was cut too large for what there is now is cut again.
    assert world.backend.calls.count("upload") <= len(world.remotes()) + 3


def test_a_request_that_fits_no_queue_pauses_its_job_and_keeps_no_other_waiting(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(queue_tokens=6_000, line_s=60), script=ANSWERS, traits=CALM)
    path = world.folder / "large.jsonl"
    world.write(texts(1, tokens=9_000), path, job="large", prompt="{{ text }}")
    world.submit(path, send=False)
    submit(world, "small", 6)
    world.run()
    assert is_answered_once(world, 6)
    (large,) = world.rows("select paused from jobs where name = 'large'")
    assert "Enqueued token limit reached for gpt-4.1-mini" in large["paused"]
    assert world.rows("select count(*) as n from items where state = 'pending'") == [{"n": 1}]


def fill(world: World, tokens: int) -> str:
    """Another home's batch of 20 lines, which takes so many tokens of the queue; its id."""
    lines = [
        {
            "custom_id": f"n{n}",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "gpt-4.1-mini", "input": "x" * (tokens * 4 // 20 - 106)},
        }
        for n in range(20)
    ]
    path = world.folder / "others.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = world.embedded.upload(path, name="others.jsonl", expires_after_s=None)
    remote = world.embedded.create(
        input_file_id=file.id, endpoint="/v1/responses", window="24h", metadata={}
    )
    world.serve()
    return remote.id


def test_a_queue_that_another_home_fills_is_tried_rarely_and_used_again_when_it_is_free(
    new_world: NewWorld,
) -> None:
    world = new_world(
        options=Options(queue_tokens=90_000, line_s=1_000), script=ANSWERS, traits=CALM
    )
    settings(world, "[profile.openai]\nqueue_tokens = 90_000\n")
    fill(world, 60_000)
    submit(world, "reviews", 120)
    hours(world, 2)
    assert 20_000 < mine(world) <= 30_000, "what the other one leaves"
    before = len(world.remotes())
    hours(world, 2)
    assert sum(r["status"] == "failed" for r in world.remotes()[before:]) <= 3
    hours(world, 4)  # the other one ends, and one batch after the other is tried
    assert 75_000 < mine(world) <= 90_000, "all of it again"
    world.run()
    assert is_answered_once(world, 120)


def test_an_account_whose_queue_others_fill_wholly_is_waited_for(new_world: NewWorld) -> None:
    world = new_world(
        options=Options(queue_tokens=90_000, line_s=1_000), script=ANSWERS, traits=CALM
    )
    fill(world, 89_000)
    submit(world, "reviews", 6)
    hours(world, 5)
    assert mine(world) == 0
    assert "Enqueued token limit reached" in waits(world, "reviews")[0], "the service's own words"
    world.run()
    assert is_answered_once(world, 6)
    assert len(world.batches()) == 1, "nothing was cut smaller"


def test_what_a_batch_had_reserved_is_free_when_it_is_cut_to_fit(new_world: NewWorld) -> None:
    world = new_world(options=Options(queue_tokens=30_000, line_s=60), script=ANSWERS, traits=CALM)
    settings(world, "[budget]\nday = 5\n")
    submit(world, "one", 10)
    submit(world, "two", 14)
    world.run()
    assert is_answered_once(world, 24)
    bills = "select b.state, l.reserved > 0 as had, l.booked_at is not null as booked, l.cost, l.presumed from bills l join batch_rows b on b.id = l.batch"
    cut = [row for row in world.rows(bills) if row["state"] == BatchState.REJECTED]
    assert cut, "sent before the limit was known, and too large for it"
    assert all((row["cost"], row["presumed"]) == (0, 0) for row in cut)
    assert all(row["had"] and row["booked"] for row in world.rows(bills))
