"""The report's sum is the service's own, to the token: with retries and failures, over a socket, after forgetting, and from a recovered ledger."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parents[1] / "recovery"))
sys.path.insert(1, str(Path(__file__).parents[1] / "runner"))

from recoverykit import finish, lose_home, recover
from runnerkit import FAR_S, NewWorld, World, items
from worlds import new_world

from batchrun.api import Batchrun
from batchrun.config import load_config
from batchrun.ledger.home import Home
from batchrun.model import JsonObject, Limits
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.running import running
from batchrun.service.service import BatchService
from batchrun.spending.report import By, Spending
from batchrun.testing import ManualClock

__all__ = ["new_world"]

KEY = "sk-canary-0123456789abcdef"
RULES = [
    Rule(prompt="text 1", times=2, status=500),
    Rule(prompt="text 2", status=400),
    Rule(prompt="text 3", reply="cut", finish="length", times=1),  # type: ignore[arg-type]  # as in a script
]


def of_service(batches: list[JsonObject]) -> Mapping[str, int]:
    """What the service says that all batches took."""
    sums: Counter[str] = Counter()
    for batch in batches:
        usage = batch["usage"]
        sums["prompt"] += usage["input_tokens"]
        sums["cached"] += usage["input_tokens_details"]["cached_tokens"]
        sums["completion"] += usage["output_tokens"]
        sums["reasoning"] += usage["output_tokens_details"]["reasoning_tokens"]
    return sums


def reported(spent: Spending) -> Mapping[str, int]:
    usage = spent.total.usage
    return {
        "prompt": usage.input_tokens,
        "cached": usage.cached_tokens,
        "completion": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }


def test_retries_failures_and_cut_answers_are_all_counted(new_world: NewWorld) -> None:
    world = new_world(script=RULES, limits=Limits(request_count=3))
    world.write(items(7), model="gpt-5-mini")
    world.submit()
    world.run()
    spent = world.api().spend()
    assert reported(spent) == of_service(world.remotes())
    assert spent.total.requests == sum(world.charges().values()) - 3, "errors are no answers"
    assert spent.total.batches == len(spent.batches) == 4
    assert world.incidents() == []
    (row,) = spent.rows(By.MODEL)
    assert (row.name, row.usage) == ("gpt-5-mini", spent.total.usage)


@pytest.mark.parametrize("names", [(), ("i0", "i1")])
def test_what_is_forgotten_was_spent_all_the_same(
    new_world: NewWorld, names: tuple[str, ...]
) -> None:
    world = new_world(script=RULES)
    world.write(items(5))
    world.submit()
    world.run()
    before = world.api().spend().total
    world.api().forget("reviews", names)
    after = world.api().spend()
    assert after.total == before
    assert reported(after) == of_service(world.remotes())


def test_a_recovered_ledger_says_what_the_lost_one_did(new_world: NewWorld) -> None:
    world: World = new_world(script=RULES)
    world.write(items(5))
    world.submit()
    world.run()
    before = world.api().spend().total
    lose_home(world)
    recover(world)
    finish(world)
    after = world.api().spend()
    assert reported(after) == of_service(world.remotes())
    assert after.total.cost == before.cost > 0


def test_over_a_socket_the_sums_are_the_same(tmp_path: Path) -> None:
    class Distant(ManualClock):
        def sleep_until(self, at: int) -> None:
            super().sleep_until(at)
            service.work(FAR_S)

    clock = Distant()
    service = BatchService(tmp_path / "far", ScriptedResponder(RULES, clock=clock), clock)
    home = Home(tmp_path / ".batchrun")
    path = tmp_path / "reviews.jsonl"
    job = {"job": "reviews", "model": "gpt-5-mini", "prompt": "{{ text }}", "tags": ["shop"]}
    path.write_text("".join(json.dumps(line) + "\n" for line in (job, *items(6))))
    with running(service, api_key=KEY, works=False) as base_url:
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url}
        api = Batchrun(home=home, config=load_config(tmp_path, home.path, environ), clock=clock)
        api.submit([path])
        _, is_done = api.wait()
        spent = api.spend()
    batches = service.list_batches(limit=100)["data"]
    service.close()
    assert is_done
    assert reported(spent) == of_service(batches)
    assert spent.total.cost > 0
    (row,) = spent.rows(By.TAG)
    assert (row.name, row.cost, row.saved) == ("shop", spent.total.cost, spent.total.cost)


def test_what_a_limit_counts_is_what_the_report_says(new_world: NewWorld) -> None:
    world = new_world(script=RULES, limits=Limits(request_count=3))
    (world.folder / "batchrun.toml").write_text(
        "[budget]\nmonth = 1\n[budget.job.reviews]\nday = 1\n"
    )
    world.write(items(7), model="gpt-5-mini", max_output_tokens=100, tags=["shop"])
    world.submit()
    running = world.api().spend()
    assert running.underway.reserved == running.limits[0].standing.reserved > 0
    world.run()
    spent = world.api().spend()
    assert [limit.standing.spent for limit in spent.limits] == [spent.total.cost] * 2
    assert spent.total.cost > 0
    assert spent.underway.batches == 0
    assert all(price.is_frozen for price in spent.prices)
    (world.folder / "batchrun.toml").unlink()
    assert world.api().spend().total == spent.total
