"""The worlds of tests/runner, for tests that lose their ledgers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runner"))

from worlds import new_world, world

__all__ = ["new_world", "world"]
