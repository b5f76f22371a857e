"""Killed while functions are run: a call whose result is committed is never run again, the others are, and the answer arrives."""

from collections import Counter
from pathlib import Path

from callingkit import Model, call, calling, write_tools
from crashkit import in_child
from runnerkit import NewWorld, World, items

from batchrun.tools.offer import ToolsFile

RAN = """
import pathlib

def note(word: str) -> str:
    with open(pathlib.Path(__file__).with_name("ran.txt"), "a") as ran:
        ran.write(word + "\\n")
    return word.upper()
"""
CALLS = [call("note", {"word": word}, f"call_{word}") for word in ("a", "b")]


def runs(world: World) -> Counter[str]:
    path = Path(world.folder) / "ran.txt"
    return Counter(path.read_text("utf-8").split() if path.exists() else ())


def committed(world: World) -> set[str]:
    rows = world.rows("select output from tool_calls where output is not null")
    return {row["output"].lower() for row in rows}


def test_no_committed_call_is_run_again_wherever_a_pass_is_killed(new_world: NewWorld) -> None:
    model = Model(calling(*CALLS), "done")
    world = new_world(script=model)
    world.write(items(1), rounds=1)
    world.lent = {"tools": ToolsFile(path=write_tools(world.folder, RAN))}
    world.submit()
    world.lent, lent = {}, world.lent
    world.run()
    world.lent = lent
    kill = 0
    while len(known := committed(world)) < len(CALLS):
        kill += 1
        before = runs(world)
        assert not in_child(world, world.tick, kill), "it lived: no point is left"
        again = {word for word, n in runs(world).items() if n > before[word]}
        assert not again & known
        assert not world.api().verify().broken
    world.run()
    assert world.answers() == {"i0": "done"}
    # The first died between the call and the commit of its result: it ran once more, and nothing else did.
    assert runs(world) == {"a": 2, "b": 1}
