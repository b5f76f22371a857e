"""A world for each test, or several."""

from worlds import new_world, world

__all__ = ["new_world", "world"]
