"""One warmed-up process for all tests of a run, and the programs as they go without trouble."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "runner"))

from living import Way, way_of
from programs import PROGRAMS
from yard import Zygote

Ways = Callable[[str], Way]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """It forks every process that dies here."""
    opened = Zygote()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def ways(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Ways:
    """A program by its name, lived once without trouble."""
    known: dict[str, Way] = {}

    def way(name: str) -> Way:
        if name not in known:
            program = next(program for program in PROGRAMS if program.name == name)
            known[name] = way_of(program, tmp_path_factory.mktemp("way") / name, zygote)
        return known[name]

    return way
