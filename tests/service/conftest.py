"""A desk for each test: closed at its end, whatever happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from servicekit import Desk, OpenDesk


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[OpenDesk]:
    """Make desks over a folder of this test."""
    desks: list[Desk] = []

    def open_desk(**settings: object) -> Desk:
        desk = Desk(tmp_path / "service", **settings)  # type: ignore[arg-type]  # checked by the dataclass
        desks.append(desk)
        return desk

    yield open_desk
    for desk in desks:
        desk.service.close()


@pytest.fixture
def desk(open_desk: OpenDesk) -> Desk:
    """A service with default options and no script."""
    return open_desk()
