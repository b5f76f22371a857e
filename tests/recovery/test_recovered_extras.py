"""What came beside an answer comes back from the service with it."""

import json

from exchanges import RESPONSES
from recoverykit import became, lose_home, recover
from runnerkit import NewWorld, items

from batchrun.service.responders.script import Rule


def test_searches_and_citations_are_those_of_the_lost_ledger(new_world: NewWorld) -> None:
    (searched,) = (one for one in RESPONSES if one.name == "web-search")
    world = new_world(script=[Rule(body=searched.answer)])
    world.write(items(2))
    world.submit()
    world.run_until(lambda: [batch["name"] for batch in world.batches()] == ["created"])
    world.serve()
    lose_home(world)
    assert became(recover(world)) == ["collected"]
    world.run()
    lines = [json.loads(line) for line in world.output("results.jsonl").splitlines()]
    assert [line["citations"][0]["title"] for line in lines] == ["Sun", "Sun"]
    assert [line["web_searches"][0]["queries"] for line in lines] == [["news"], ["news"]]
