"""`make crash N=1000`: kills processes of whole programs until N of them have really died, and judges every one.

    N=1000     kills that must happen            SEED=…   repeats the choices of another campaign
    JOBS=2     programs side by side             KEEP=DIR folder in which a life that broke a promise is kept

Each life has a seed of its own, made of the campaign's and its number, so a life that failed can be lived again alone: `LIFE=17 SEED=…`.
"""

import itertools
import os
import queue
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from judging import Violation
from living import Chance, Tally, Way, live, way_of
from programs import PROGRAMS, Program
from yard import Zygote, has_strace

# What a process calls on its way to disk and wire, hardly ever before its command begins.
SYSCALLS: Final = (
    *("fsync", "fdatasync", "pwrite64", "write", "rename", "unlink", "openat"),
    *("connect", "sendto", "recvfrom", "flock"),
)
DELAYS: Final = (
    0,
    0,
    0,
    20,
    110,
    130,
    590,
    610,
    3_000,
    None,
)  # seconds by which a create may be late
LAGS: Final = (0, 0, 50, 110)  # of a listing; below the first wait of the profile
DELETE_LAGS: Final = (0, 0, 100, 300)  # below the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """One life: what it counted, and how it broke a promise, if it did."""

    number: int
    program: str
    tally: Tally
    violation: str | None = None


class Campaign:
    """Lives of all programs, one seed each."""

    def __init__(self, seed: int, folder: Path, *, jobs: int, keep: Path | None = None) -> None:
        self.seed = seed
        self._folder = folder
        self._keep = keep
        self._jobs = jobs
        self.no_strace = has_strace()
        self._zygotes: queue.Queue[Zygote] = queue.Queue()
        for _ in range(jobs):
            self._zygotes.put(Zygote())
        self._ways: dict[str, Way] = {}

    def close(self) -> None:
        """End all processes."""
        while not self._zygotes.empty():
            self._zygotes.get().close()

    def way(self, program: Program) -> Way:
        """The program unharmed, lived once."""
        if program.name not in self._ways:
            zygote = self._zygotes.get()
            try:
                self._ways[program.name] = way_of(
                    program, self._folder / f"way-{program.name}", zygote
                )
            finally:
                self._zygotes.put(zygote)
        return self._ways[program.name]

    def life(self, number: int) -> Lived:
        """Life `number`: its program, its kills and the manners of its network follow from the seed."""
        chance = random.Random(f"{self.seed}-{number}")
        program = PROGRAMS[number % len(PROGRAMS)]
        way = self._ways[program.name]
        killer = Chance(chance, way, syscalls=() if self.no_strace else SYSCALLS)
        manners = replace(
            program.manners,
            late=tuple(chance.choice(DELAYS) for _ in range(chance.randrange(3)))
            if program.has_late
            else (),
            lag_s=chance.choice(LAGS),
            # A person who says that there is no batch has no second wait behind them.
            delete_lag_s=0 if program.manners.is_mute else chance.choice(DELETE_LAGS),
        )
        folder, tally, violation = self._folder / f"life-{number}", Tally(), None
        zygote = self._zygotes.get()
        try:
            live(program, killer, way, folder, zygote, tally=tally, manners=manners)
        except Violation as found:
            violation = str(found)
            if self._keep is not None:
                shutil.copytree(folder, self._keep / f"life-{number}")
        finally:
            self._zygotes.put(zygote)
            shutil.rmtree(folder, ignore_errors=True)
        return Lived(number=number, program=program.name, tally=tally, violation=violation)

    def lives(self, kills: int, *, first: int = 0) -> Iterator[Lived]:
        """Lives in the order of their numbers, until so many processes were killed."""
        for program in PROGRAMS:
            self.way(program)
        done = 0
        with ThreadPoolExecutor(self._jobs) as pool:
            ahead: list[Future[Lived]] = []
            numbers = itertools.count(first)
            while done < kills:
                while len(ahead) < self._jobs:
                    ahead.append(pool.submit(self.life, next(numbers)))
                lived = ahead.pop(0).result()
                done += sum(lived.tally.happened.values())
                yield lived


def main() -> int:
    """The campaign of the command line's settings; 1 if a promise was broken."""
    kills = int(os.environ.get("N") or 1_000)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    keep = Path(os.environ["KEEP"]) if os.environ.get("KEEP") else None
    began = time.monotonic()
    total, violations, count = Tally(), 0, 0
    print(f"make crash N={kills} SEED={seed} JOBS={jobs}", flush=True)
    with tempfile.TemporaryDirectory(prefix="batchrun-crash-") as folder:
        campaign = Campaign(seed, Path(folder), jobs=jobs, keep=keep)
        if campaign.no_strace:
            print(f"no kills by syscall: {campaign.no_strace}")
        try:
            for lived in _wanted(campaign, kills):
                count += 1
                total.add(lived.tally)
                if lived.violation is not None:
                    violations += 1
                    print(f"life {lived.number} ({lived.program}): {lived.violation}", flush=True)
        finally:
            campaign.close()
    _report(total, count, violations, time.monotonic() - began)
    return 1 if violations else 0


def _wanted(campaign: Campaign, kills: int) -> Iterator[Lived]:
    if os.environ.get("LIFE"):
        number = int(os.environ["LIFE"])
        campaign.way(PROGRAMS[number % len(PROGRAMS)])
        return iter([campaign.life(number)])
    return campaign.lives(kills)


def _report(total: Tally, lives: int, violations: int, seconds: float) -> None:
    print(f"{'kills by':<12}{'planned':>9}{'happened':>10}{'missed':>8}")
    for kind in (*sorted(total.planned), "all"):
        planned = total.planned.total() if kind == "all" else total.planned[kind]
        happened = total.happened.total() if kind == "all" else total.happened[kind]
        print(f"{kind:<12}{planned:>9,}{happened:>10,}{planned - happened:>8,}")
    print("died in", ", ".join(f"{name} {n:,}" for name, n in total.commands.most_common()))
    print(
        f"{lives:,} lives of {len(PROGRAMS)} programs in {total.processes:,} processes; "
        f"{len(total.lines):,} different lines died at; {seconds:.0f} s ({_cpu_s():.0f} s of CPU)"
    )
    print(
        "lost 0, paid twice 0, stray files 0, outputs as without trouble"
        if not violations
        else f"{violations} lives broke a promise: see above"
    )


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
