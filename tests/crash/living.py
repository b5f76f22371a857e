"""One life of a program: its steps, each process dying as planned, each dead command given again; and the choice of the kills."""

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from farside import Manners
from judging import Violation, Yardstick, executions, judge_call, judge_end
from killing import Kill, Passed
from programs import DAY_S, ENOUGH, FILE, JOB, Call, Lose, Pass, Program, Step, Ticks, Until, Write
from yard import POWER, REFUSAL, SERVED, SYSCALL, Called, Yard, Zygote

MOST_IN_A_ROW: Final = 3  # the command, its recovery, and the recovery of that
_DISK: Final = 7  # the exit code of a home or a disk that fails
_DONE: Final = frozenset({0, 3})
_BEGINS: Final = 0.7  # how often a command that follows a living one dies
_ASKED: Final = re.compile(r"`batchrun resolve (\d+) --absent`")
_MOMENTS: Final = ("before", "after", "midway")


class Killer(Protocol):
    """Says where the next process dies."""

    def next(self, words: Sequence[str]) -> Kill | None:
        """None: it lives."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What the processes of a run without trouble passed, by the first word of their command."""

    passed: dict[str, list[tuple[Passed, int]]]
    yardstick: Yardstick


@dataclass(slots=True)
class Tally:
    """Kills by kind; those that happened by command, too; and the lines of the sources at which processes died."""

    planned: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    lines: set[str] = field(default_factory=set)
    processes: int = 0

    def add(self, other: "Tally") -> None:
        """Sum up."""
        self.planned += other.planned
        self.happened += other.happened
        self.commands += other.commands
        self.lines |= other.lines
        self.processes += other.processes


class Unharmed:
    """Nobody dies."""

    def next(self, words: Sequence[str]) -> Kill | None:
        return None


class Planned:
    """These, one after the other (None: that process lives); then nobody."""

    def __init__(self, *kills: Kill | None) -> None:
        self._kills = list(kills)

    def next(self, words: Sequence[str]) -> Kill | None:
        return self._kills.pop(0) if self._kills else None


class Failing:
    """A system call that fails in each process once, later and later, until the command gets through."""

    def __init__(self, call: str, *, stride: int) -> None:
        self._call = call
        self._stride = stride
        self._nth = 1
        self._words: Sequence[str] = ()

    def next(self, words: Sequence[str]) -> Kill | None:
        self._nth = self._nth + self._stride if self._words == words else 1
        self._words = words
        return Kill(kind=REFUSAL, line=self._call, nth=self._nth)


class Chance:
    """Now and then a command dies, and its recovery with it; never more than three in a row."""

    def __init__(self, chance: random.Random, way: Way, *, syscalls: Sequence[str]) -> None:
        self._chance = chance
        self._way = way
        self._in_a_row = 0
        kinds = {"line": 10, "statement": 4, "effect": 4, SERVED: 4, POWER: 3}
        kinds[SYSCALL] = 2 if syscalls else 0
        self._kinds, self._weights = list(kinds), list(kinds.values())
        self._syscalls = list(syscalls)

    def next(self, words: Sequence[str]) -> Kill | None:
        if self._in_a_row == 0 and self._chance.random() < _BEGINS:
            self._in_a_row = self._chance.randint(1, MOST_IN_A_ROW)
        elif self._in_a_row <= 1:
            self._in_a_row = 0
            return None
        else:
            self._in_a_row -= 1
        return self._choose(words[0])

    def _choose(self, command: str) -> Kill:
        chance = self._chance
        passed, calls = chance.choice(self._way.passed[command])
        (kind,) = chance.choices(self._kinds, self._weights)
        if kind == SYSCALL:
            return Kill(kind=kind, line=chance.choice(self._syscalls), nth=chance.randint(1, 8))
        if kind == SERVED and calls:
            return Kill(kind=kind, line=chance.choice(_MOMENTS), nth=chance.randint(1, calls))
        if kind in {"effect", POWER} and passed.effects:
            return Kill(kind=kind, nth=chance.randint(1, len(passed.effects)))
        if kind == "statement" and passed.statements:
            return Kill(kind=kind, nth=chance.randint(1, passed.statements))
        line = chance.choice(sorted(passed.lines))
        return Kill(kind="line", line=line, nth=chance.randint(1, passed.lines[line]))


@dataclass
class Life:
    """A program in a yard, under a killer. `run` returns when it is over; every process is judged."""

    yard: Yard
    program: Program
    killer: Killer
    tally: Tally = field(default_factory=Tally)
    passed: dict[str, list[tuple[Passed, int]]] | None = None  # counted into, where it is wanted

    def run(self) -> None:
        """All steps, then what was still on its way, then a last look."""
        for step in self.program.steps:
            self._take(step)
        self.killer = Unharmed()
        for _ in range(2):
            self._call("wait", "--json")
            self.yard.clock.advance(2 * DAY_S)
            self.yard.look()
        self._call("tick", "--json")

    def _take(self, step: Step) -> None:
        match step:
            case Write(lines):
                self.yard.write(FILE, lines)
            case Pass(seconds):
                self.yard.clock.advance(seconds)
            case Lose():
                shutil.rmtree(self.yard.home.path)
            case Call(words, told):
                self._call(*words, told=told)
            case Until(words):
                self._wait_for(*words)
            case Ticks():
                self._tick_on()

    def _wait_for(self, *words: str) -> None:
        for _ in range(ENOUGH):
            if self._call(*words).code in _DONE:
                return
            self.yard.clock.advance(60)
        raise Violation(f"no end after {ENOUGH} times {words}")

    def _tick_on(self) -> None:
        for _ in range(ENOUGH):
            out = self._call("tick", "--json").out
            if asked := _ASKED.findall(out):
                self._look_there(dict.fromkeys(map(int, asked)))
                continue
            next_at = json.loads(out)["next_at"]
            if next_at is None:
                return
            self.yard.clock.sleep_until(int(datetime.fromisoformat(next_at).timestamp()))
        raise Violation(f"no end after {ENOUGH} ticks")

    def _look_there(self, batches: Iterable[int]) -> None:
        """The person whom batchrun asks looks at the service a minute later, and says of each batch what is to be seen."""
        self.yard.clock.advance(60)
        self.yard.look()
        for batch in batches:
            remote_id = self.yard.remote_of(batch)
            found = ("--absent",) if remote_id is None else ("--is", remote_id)
            # Who says it again is told that there is nothing to resolve any more.
            self._call("resolve", str(batch), *found, "--json", told=2)

    def _call(self, *words: str, told: int = 0) -> Called:
        """The command, as often as it takes until one lives. `told`: what the one after a dead one may end with, too."""
        good = {0, *({_DISK} if isinstance(self.killer, Failing) else ())}
        while True:
            self.tally.processes += 1
            kill = self.killer.next(words)
            if self.passed is not None:
                called, passed, calls = self.yard.count(*words)
                self.passed.setdefault(words[0], []).append((passed, calls))
            else:
                called = self.yard.call(*words, kill=kill)
            judge_call(self.yard, called, good=good)
            good |= {told}
            if kill is not None:
                self.tally.planned[kill.kind] += 1
            if kill is not None and kill.kind == REFUSAL and called.code == _DISK:
                self.tally.happened[kill.kind] += 1
                continue
            if not called.was_killed:
                return called
            if kill is None:
                raise Violation(f"{called.words} was killed, and not by us")
            self.tally.happened[kill.kind] += 1
            self.tally.commands[words[0]] += 1
            if kill.kind == "line":
                self.tally.lines.add(kill.line)


def way_of(program: Program, folder: Path, zygote: Zygote) -> Way:
    """The program, unharmed: what it passes, and what it comes to."""
    yard = Yard(folder, zygote, manners=program.manners, rules=program.rules)
    try:
        life = Life(yard, program, Unharmed(), passed={})
        life.run()
        yardstick = Yardstick(outputs=yard.outputs(JOB), executions=executions(yard))
        assert "results.jsonl" in yardstick.outputs, (
            "a program that comes to nothing proves nothing"
        )
        judge_end(yard, yardstick, is_exact=True, forgets=program.forgets)
        assert life.passed is not None
        return Way(passed=life.passed, yardstick=yardstick)
    finally:
        yard.close()


def live(
    program: Program,
    killer: Killer,
    way: Way,
    folder: Path,
    zygote: Zygote,
    *,
    tally: Tally | None = None,
    manners: Manners | None = None,
    broken: str | None = None,
) -> Tally:
    """The program under a killer, judged to the end; counted into `tally`. Raises Violation."""
    yard = Yard(
        folder, zygote, manners=manners or program.manners, rules=program.rules, broken=broken
    )
    try:
        life = Life(yard, program, killer, tally or Tally())
        life.run()
        judge_end(yard, way.yardstick, is_exact=program.is_exact, forgets=program.forgets)
    finally:
        yard.close()
    return life.tally
