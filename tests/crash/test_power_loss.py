"""The power fails at any moment of a submit and of a tick: what was not synced is gone, and the next command goes on all the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from judging import Violation
from killing import Kill
from living import Planned, Way, live
from programs import PROGRAMS
from yard import POWER, Zygote

CRONTAB = PROGRAMS[0]


@pytest.mark.fault(37)
@pytest.mark.parametrize("command", ["submit", "tick"])
def test_the_power_may_fail_at_any_moment(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path, command: str
) -> None:
    way = ways("crontab")
    before = [None] * (0 if command == "submit" else 2)
    passed, _ = way.passed[command][-1]
    for nth in range(1, len(passed.effects) + 1, 15):
        kills = Planned(*before, Kill(kind=POWER, nth=nth))
        live(CRONTAB, kills, way, tmp_path / str(nth), zygote)


def test_without_the_syncs_of_folders_a_loss_of_power_is_caught(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    way = ways("crontab")
    last = len(way.passed["submit"][0][0].effects)
    for nth in range(last // 2, last, 5):
        kill = Kill(kind=POWER, nth=nth)
        try:
            live(CRONTAB, Planned(kill), way, tmp_path / str(nth), zygote, broken="no_folder_syncs")
        except Violation:
            return
    pytest.fail("nobody noticed")
