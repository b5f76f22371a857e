"""A desk as the command line's tests have it, the services at its far end, worlds of the core, and servers that misbehave."""

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("cli", "backends", "runner"))

from clikit import desk, no_process_is_left
from misbehaving import server
from worlds import new_world, world

__all__ = ["desk", "new_world", "no_process_is_left", "server", "world"]
