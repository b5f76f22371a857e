"""Two schemas that no answer fits both of, and a job that is on its way with one of them."""

import json
from typing import Any, Final

from runnerkit import World, items

from batchrun.model import JsonObject


def having(key: str) -> JsonObject:
    """A schema of objects with this one key; a script without a word for it answers {key: "text"}."""
    return {
        "type": "object",
        "properties": {key: {"type": "string", "enum": [f"a {key}"]}},
        "required": [key],
        "additionalProperties": False,
    }


TITLE: Final = having("title")
PRICE: Final = having("price")
A_TITLE: Final = {"title": "a title"}
A_PRICE: Final = {"price": "a price"}


def answers(world: World) -> dict[str, Any]:
    """Output by id, as in the outputs."""
    lines = world.output("results.jsonl").splitlines()
    return {row["id"]: row["output"] for row in map(json.loads, lines)}


def in_flight(world: World, count: int, **changes: Any) -> None:
    """Items on their way, asked by a job line with these keys."""
    world.write(items(count), **changes)
    world.submit()
    world.run_until(lambda: [b["name"] for b in world.batches()] == ["created"])
