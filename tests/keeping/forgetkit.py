"""One person in a job, with traces wherever there are any: what the tests of `forget JOB ITEM` begin with."""

from typing import Any, Final

from keepkit import CANARY, holders
from runnerkit import World, items

from batchrun.keeping.forgetting import Forgotten
from batchrun.service.responders.script import Rule

SHE: Final = f"{CANARY}@example.com"
OTHERS: Final = items(3)
HERS: Final[dict[str, Any]] = {"id": SHE, "text": f"{CANARY} was here"}
FIELDS: Final[dict[str, Any]] = {"output": {"csv": True, "files": "{{ id }}.txt"}}


def everywhere(world: World) -> list[str]:
    """Files of the home and its outputs that hold her text or id."""
    return holders(CANARY, world.home.path, world.home.outputs)


def lives(world: World, **changes: Any) -> None:
    """A job whose one item leaves traces wherever there are any: failed, redone, changed, named in wishes, joined, in its own file."""
    world.script.extend(  # type: ignore[union-attr]
        [
            Rule(prompt="was here", times=1, status=400, code="bad", message=f"no {CANARY}"),
            Rule(prompt=CANARY, reply=f"I know {CANARY}"),
        ]
    )
    world.write([*OTHERS, HERS], **{**FIELDS, **changes})
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3, "failed": 1}
    world.api().retry("reviews", (SHE,))
    world.run()
    world.api().retry("reviews", (SHE, "i1"), redo=True)
    world.run()
    world.write([*OTHERS, {**HERS, "text": f"{CANARY} changed"}], **{**FIELDS, **changes})
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 4}


def forget(world: World, *names: str, **settings: Any) -> Forgotten:
    return world.api().forget("reviews", names, **settings)
