"""Programs over a world, in processes of their own: to be killed, limited and run beside each other."""

import subprocess
import sys
import textwrap
from pathlib import Path

from runnerkit import World


def source(world: World, body: str, before: str = "") -> str:
    """A program over this world; `before` runs when everything is imported, to set limits or traps."""
    start = f"""
        import json, os, resource, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import batchrun.prepare, batchrun.running.runner, sqlite_utils, filelock
        from runnerkit import World
        world = World(Path({str(world.folder)!r}))
        world.clock.sleep_until({world.clock.now()})
        world.service
    """
    return textwrap.dedent(start) + textwrap.dedent(before) + textwrap.dedent(body)


def in_process(world: World, body: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", source(world, body, before)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
