"""A home with a price list of its own."""

from pathlib import Path

import pytest
from spendkit import Till


@pytest.fixture
def till(tmp_path: Path) -> Till:
    return Till(tmp_path)
