"""A disk that is full or broken refuses one write after the other, SQLite's own too: each is told, and the command that is given again goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from living import Failing, Way, live
from programs import PROGRAMS
from yard import REFUSAL, Zygote, has_strace

CRONTAB = PROGRAMS[0]
NO_STRACE = has_strace()


@pytest.mark.fault(30, 31)
@pytest.mark.skipif(NO_STRACE is not None, reason=str(NO_STRACE))
@pytest.mark.parametrize(
    ("call", "stride"),
    [
        ("pwrite64:ENOSPC", 5),
        ("fdatasync:EIO", 1),
        ("fsync:EIO", 2),
        ("rename:EIO", 1),
    ],
)
def test_a_disk_that_refuses_is_told_and_survived(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path, call: str, stride: int
) -> None:
    tally = live(CRONTAB, Failing(call, stride=stride), ways("crontab"), tmp_path / "life", zygote)
    assert tally.happened[REFUSAL] >= 3
