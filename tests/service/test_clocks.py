"""The clocks that tests move."""

import subprocess
import sys
import threading
from pathlib import Path

from batchrun.testing import START, FileClock, ManualClock


def test_a_manual_clock_moves_only_when_told_and_sleeps_at_once() -> None:
    clock = ManualClock()
    assert clock.now() == clock.now() == START
    clock.sleep_until(START + 86_400)
    assert clock.now() == START + 86_400
    clock.sleep_until(START)
    assert clock.now() == START + 86_400
    clock.advance(-10)
    assert clock.now() == START + 86_390


def test_threads_can_share_a_manual_clock() -> None:
    clock = ManualClock(0)

    def tick() -> None:
        for _ in range(1_000):
            clock.advance(1)

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now() == 4_000


def test_a_file_clock_goes_on_in_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    first = FileClock(path, start=100)
    first.advance(50)
    second = FileClock(path)
    assert second.now() == 150
    second.sleep_until(200)
    second.sleep_until(10)
    assert first.now() == 200
    assert [entry.name for entry in tmp_path.iterdir()] == ["clock"]


def test_processes_that_sleep_at_the_same_time_never_see_their_clock_go_back(
    tmp_path: Path,
) -> None:
    path = tmp_path / "clock"
    FileClock(path, start=0)
    program = """
import sys
from pathlib import Path
from batchrun.testing import FileClock

clock, seen = FileClock(Path(sys.argv[1])), 0
for at in range(int(sys.argv[2]), 4_000, 2):
    clock.sleep_until(at)
    assert clock.now() >= max(at, seen), (clock.now(), at, seen)
    seen = clock.now()
"""
    sleepers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(first)])
        for first in (0, 1, 0, 1)
    ]
    assert [sleeper.wait(timeout=60) for sleeper in sleepers] == [0, 0, 0, 0]
    assert FileClock(path).now() == 3_999
