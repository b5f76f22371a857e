"""`make soak`: a million items through a service that misbehaves, while batchrun is killed a hundred times on its way.

    ITEMS=1000000   items of the job        KILLS=100   processes to kill        SEED=…   of the moments

The service is `batchrun serve --script --faults` in a process of its own; the client is `submit` once and then `tick` after `tick`, each a
fresh process, killed after a random while. Time is a clock in a file: while the service computes, minutes pass; when it is done, the
next thing that is due. Prints what was lost and paid twice, the memory of our processes, and the time it took. The kills are as many as
the night is long: a small job is done before a hundred of them.
"""

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from batchrun.testing import FileClock

_ROOT: Final = Path(__file__).parents[2]
_KEY: Final = "sk-soak-0123456789"
_JOB: Final = "soak"
_BATCHES: Final = 40  # so that a kill falls between, before and into many
_DEATH_RATE: Final = 0.7  # of the processes, while kills are left
_GOOD: Final = frozenset(
    {0, 3, 4, 6}
)  # done; with failures; not finished yet; the service did not answer
_TELL_S: Final = 20  # between two lines of progress
_LOOK_S: Final = 0.5  # between two looks at whether the service has finished
_SETTINGS: Final = "[profile.openai]\npoll_s = 60\nsettle_s = 60\nsecond_settle_s = 120\n[profile.openai.limits]\nrequest_count = {}\n"
_RULES: Final = [
    {"prompt": "77$", "times": 1, "status": 500},
    {"prompt": "99$", "status": 400},
]
# Every way in which an answer gets lost, comes late or is spoiled on the wire; nothing that takes an answer away for good.
_FAULTS: Final = [
    {"at": "POST /batches", "what": "drop", "every": 5},
    {"at": "POST /batches", "what": "late", "seconds": 50, "every": 7},
    {"at": "POST /batches", "what": "status", "status": 500, "every": 9},
    {"at": "POST /files", "what": "drop", "moment": "during", "every": 11},
    {"at": "GET /batches", "what": "lag", "seconds": 30},
    {"at": "GET /files/{id}/content", "what": "truncate", "every": 6},
    {"at": "any call", "what": "status", "status": 503, "probability": 0.02},
]


@dataclass
class Soak:
    """One night."""

    folder: Path
    items: int
    kills_left: int
    chance: random.Random
    killed: int = 0
    processes: int = 0
    peak_kib: int = 0
    last_s: float = 1.0
    told_at: float = 0.0
    clock: FileClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = FileClock(self.folder / "clock")
        self.work = self.folder / "work"
        self.work.mkdir()
        (self.folder / "rules.json").write_text(json.dumps({"rules": _RULES}))
        (self.folder / "faults.json").write_text(json.dumps({"seed": 1, "fault": _FAULTS}))
        (self.work / "batchrun.toml").write_text(
            _SETTINGS.format(max(100, -(-self.items // _BATCHES)))
        )
        head = {
            "job": _JOB,
            "model": "gpt-5-mini",
            "prompt": "Classify: {{ text }}",
            "max_output_tokens": 99,
        }
        with (self.work / "soak.jsonl").open("w") as file:
            file.write(json.dumps(head) + "\n")
            # One by one: a child's high-water mark of memory begins with what its parent held.
            for n in range(self.items):
                file.write(json.dumps({"id": f"i{n}", "text": f"text {n}"}) + "\n")

    def run(self) -> None:
        """From the first submit until nothing is left to do."""
        with self._far() as far:
            base_url = far.stdout.readline().strip()  # type: ignore[union-attr]
            env = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": _KEY}
            while self._call(env, "submit", "soak.jsonl", "--yes", "--json") is None:
                pass
            while True:
                told = self._call(env, "tick", "--json")
                if told is None:
                    continue
                if told["next_at"] is None:
                    break
                self._tell_progress()
                self._let_time_pass(told["next_at"])
            far.terminate()

    def _tell_progress(self) -> None:
        if time.monotonic() - self.told_at >= _TELL_S:
            self.told_at = time.monotonic()
            executed = self.far("select total(completed + failed) from batches")[0][0]
            print(
                f"  {executed:,.0f} requests executed, {self.killed} of {self.processes} processes killed",
                flush=True,
            )

    def _let_time_pass(self, next_at: str) -> None:
        if self._far_is_busy():
            time.sleep(_LOOK_S)
            self.clock.advance(20)
        else:
            self.clock.sleep_until(int(datetime.fromisoformat(next_at).timestamp()))

    def _far_is_busy(self) -> bool:
        states = "'validating', 'in_progress', 'finalizing', 'cancelling'"
        return bool(self.far(f"select 1 from batches where status in ({states}) limit 1"))

    def far(self, sql: str) -> list[Any]:
        """Rows of the service's own books."""
        database = self.folder / "far" / "service.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def _far(self) -> "subprocess.Popen[str]":
        words = (
            "serve",
            "--port",
            "0",
            "--data",
            "far",
            "--script",
            "rules.json",
            "--faults",
            "faults.json",
        )
        return self._start(words, self.folder, {"BATCHRUN_SERVE_KEY": _KEY})

    def _start(
        self, words: tuple[str, ...], cwd: Path, env: dict[str, str]
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "batchrun.testing", str(self.folder / "clock"), *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _call(self, env: dict[str, str], *words: str) -> dict[str, Any] | None:
        """One command; what it told, or None where it was killed."""
        self.processes += 1
        began = time.monotonic()
        process = self._start(words, self.work, env)
        if self.kills_left and self.chance.random() < _DEATH_RATE:
            _kill_after(process.pid, self.chance.uniform(0.3, 0.3 + self.last_s))
        assert process.stdout is not None
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        self.peak_kib = max(self.peak_kib, used.ru_maxrss)
        if code == -signal.SIGKILL:
            self.killed += 1
            self.kills_left -= 1
            return None
        assert code in _GOOD, f"{words} ended with {code}: {told}"
        self.last_s = time.monotonic() - began
        answer: dict[str, Any] = json.loads(told)
        return answer

    # -- afterwards --------------------------------------------------------------------------------------------------------------

    def twice(self) -> int:
        """Requests that were executed more than once."""
        sql = "select count(*) from (select 1 from finished group by custom_id having count(*) > 1)"
        return int(self.far(sql)[0][0])

    def lost(self) -> int:
        """Good answers in the service's books that are not in results.jsonl, each at its place and with its own text."""
        answered = {
            int(custom_id.partition("-")[0])
            for (custom_id,) in self.far("select custom_id from finished where is_success")
        }
        with (self.work / "outputs" / _JOB / "results.jsonl").open("rb") as file:
            for number, line in enumerate(file):
                row = json.loads(line)
                if row["id"] == f"i{number}" and row["output"] == f"Classify: text {number}":
                    answered.discard(number + 1)
        return len(answered)

    def unsettled(self) -> int:
        """Items that are neither answered nor failed."""
        with closing(sqlite3.connect(self.work / ".batchrun" / "batchrun.db")) as connection:
            sql = "select count(*) from items where state not in ('succeeded', 'failed')"
            return int(connection.execute(sql).fetchone()[0])


def _kill_after(pid: int, seconds: float) -> None:
    """SIGKILL, unless it ends before."""
    descriptor = os.pidfd_open(pid)
    ended, _, _ = select.select([descriptor], [], [], seconds)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.close(descriptor)


def main() -> int:
    """The night of the command line's settings; 1 if anything was lost or paid twice."""
    items = int(os.environ.get("ITEMS") or 1_000_000)
    kills = int(os.environ.get("KILLS") or 100)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    print(f"make soak ITEMS={items} KILLS={kills} SEED={seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="batchrun-soak-") as folder:
        soak = Soak(Path(folder), items, kills, random.Random(seed))
        soak.run()
        lost, twice, unsettled = soak.lost(), soak.twice(), soak.unsettled()
        executed = soak.far("select count(*) from finished")[0][0]
        batches = soak.far("select count(*) from batches")[0][0]
    print(f"lost                {lost:,}")
    print(f"paid twice          {twice:,}")
    print(f"never settled       {unsettled:,}")
    print(f"killed              {soak.killed:,} of {soak.processes:,} processes")
    print(f"executed            {executed:,} requests in {batches:,} batches")
    print(f"peak memory         {soak.peak_kib / 1024:,.0f} MiB")
    print(f"time                {time.monotonic() - began:,.0f} s")
    return 1 if lost or twice or unsettled else 0


if __name__ == "__main__":
    sys.exit(main())
