"""Requests with attachments after a loss: what was sent is proven by the hash of all, since it is not what is stored."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from recoverykit import back_up, became, finish, lose_database, lose_home, recover, restore
from runnerkit import OPENAI, NewWorld, World

from batchrun.backends.base import AttachMode
from batchrun.errors import Transient
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault

PNG = b"\x89PNG\r\n\x1a\n"
MODES = (AttachMode.INLINE, AttachMode.UPLOAD)


def asked(world: World, **changes: Any) -> World:
    for n in range(3):
        (world.folder / f"{n}.png").write_bytes(PNG + bytes([n]))
    rows = [{"id": f"i{n}", "text": f"text {n}"} for n in range(3)]
    world.write(rows, attach="{{ id[1:] }}.png", **changes)
    return world


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lose", [lose_home, lose_database])
@pytest.mark.parametrize("has_ended", [True, False])
def test_nothing_is_asked_again(
    new_world: NewWorld, mode: AttachMode, lose: Callable[[World], None], has_ended: bool
) -> None:
    world = asked(new_world(traits=replace(OPENAI, attach=mode)))
    world.submit()
    if has_ended:
        world.run()
    lose(world)
    recovered = recover(world)
    assert became(recovered) == ["collected" if has_ended else "in_flight"]
    finish(world)
    assert world.tally() == {"succeeded": 3}
    assert sum(world.charges().values()) == 3


@pytest.mark.parametrize("mode", MODES)
def test_an_older_ledger_does_not_send_what_was_sent_since(
    new_world: NewWorld, mode: AttachMode
) -> None:
    fault = Fault(call="upload", error=Transient("502"), number=2 if mode == MODES[0] else 5)
    world = asked(new_world(traits=replace(OPENAI, attach=mode), faults=[fault]))
    world.backend.add(replace(fault, number=1 if mode == MODES[0] else 4))
    world.submit()
    assert [batch["name"] for batch in world.batches()] == ["planned"]
    backup = back_up(world)
    world.run()
    restore(world, backup)
    recover(world)
    finish(world)
    assert world.tally() == {"succeeded": 3}
    assert sum(world.charges().values()) == 3


def test_another_content_than_was_sent_is_no_proof(world: World) -> None:
    asked(world).submit()
    world.run()
    (world.folder / "0.png").write_bytes(PNG + b"other")
    lose_home(world)
    (batch,) = recover(world).batches
    assert batch.became == "unclaimed"
    assert "not proven" in (batch.note or "")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lose", [lose_home, lose_database])
def test_a_repair_of_an_item_with_a_file_is_not_bought_again(
    new_world: NewWorld, mode: AttachMode, lose: Callable[[World], None]
) -> None:
    script = [
        Rule(prompt="cannot be used", reply='{"label": "a"}'),
        Rule(prompt="text 1", reply='{"label": "c"}'),
        Rule(reply='{"label": "b"}'),
    ]
    world = new_world(script=script, traits=replace(OPENAI, attach=mode))
    asked(world, labels=["a", "b"], repair={"attempts": 1})
    world.submit()
    world.run()
    assert world.executions() == {1: 1, 2: 2, 3: 1}
    lose(world)
    assert became(recover(world)) == ["collected", "collected"]
    finish(world)
    assert world.answers() == {"i0": "b", "i1": "a", "i2": "b"}
    assert world.executions() == {1: 1, 2: 2, 3: 1}
