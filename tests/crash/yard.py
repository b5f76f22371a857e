"""Where a program lives and dies: a user's folder, a service in a process of its own, a clock in a file, and calls of the command line."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from farside import PID, VICTIM, Manners
from killing import Kill, Passed, from_json
from powerloss import lose

from batchrun.ledger.home import Home
from batchrun.testing import FileClock

KEY: Final = "sk-canary-7f3a9d2c51e84b60"
KILLED: Final = -9
# OpenAI's manners, with shorter waits: what counts is that each wait is longer than the lags below it, not how long a night is.
PROFILE: Final = "[profile.openai]\npoll_s = 60\nsettle_s = 120\nsecond_settle_s = 480\n"
SERVED: Final = "served"
SYSCALL: Final = "syscall"
POWER: Final = "power"
REFUSAL: Final = (
    "refusal"  # nobody dies: the system call fails, as on a disk that is full or broken
)
# Of a service that shows nothing by which to know a batch: only a person can say what became of a create without an answer.
MUTE: Final = "listing_echoes = false\n"
# They tell times, batches and hashes of the way; judged by themselves.
_OF_THE_WAY: Final = frozenset({"report.json", "report.md", "manifest.json"})
_HERE: Final = Path(__file__).parent
_ROOTS: Final = (_HERE.parents[1], _HERE, _HERE.parent / "runner")


class Zygote:
    """The process that forks all others; see zygote.py. For one thread."""

    def __init__(self) -> None:
        path = os.pathsep.join(map(str, _ROOTS))
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        )
        self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request; its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it and all that it forked."""
        self._process.communicate(timeout=30)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote died: see its traceback above"
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a process left: `code` is -9 where it was killed."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED


@dataclass
class Yard:
    """One folder, which holds everything: `work/` is the user's, `far/` the service's."""

    folder: Path
    zygote: Zygote
    manners: Manners = field(default_factory=Manners)
    rules: Sequence[Mapping[str, Any]] = ()
    broken: str | None = None

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        self.work.mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        (self.work / "batchrun.toml").write_text(PROFILE + (MUTE if self.manners.is_mute else ""))
        self.home = Home(self.work / ".batchrun")
        self.clock = FileClock(self.folder / "clock")
        self.calls = 0
        far = self.zygote.ask(
            do="serve",
            data=str(self.folder / "far"),
            clock=str(self.folder / "clock"),
            key=KEY,
            manners=asdict(self.manners),
            rules=list(self.rules),
            log=str(self.folder / "far-log"),
        )
        self._far_pid = far["pid"]
        self._env = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder / "tmp"),
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{far['port']}/v1",
            "PYTHONPATH": str(_ROOTS[0]),
        }

    def call(self, *words: str, kill: Kill | None = None) -> Called:
        """`batchrun WORDS` in a process of its own, which dies as planned if it gets that far."""
        called, _ = self._call(words, kill, counts=False)
        return called

    def count(self, *words: str) -> tuple[Called, Passed, int]:
        """As `call`, unharmed: with everything that it passed, and how many calls the service had from it."""
        called, passed = self._call(words, None, counts=True)
        assert passed is not None, called.err
        return called, passed, sum(name == "before call" for name in passed.effects)

    def _call(
        self, words: Sequence[str], kill: Kill | None, *, counts: bool
    ) -> tuple[Called, Passed | None]:
        self.calls += 1
        log = self.folder / f"call-{self.calls}"
        by_service = kill is not None and kill.kind == SERVED
        by_strace = kill is not None and kill.kind in {SYSCALL, REFUSAL}
        victim: dict[str, Any] = {"run": self.calls}
        if kill is not None and by_service:
            moment, _, of = kill.line.partition(" ")
            victim |= {"call": kill.nth, "moment": moment, "of": of or None}
        (self.folder / VICTIM).write_text(json.dumps(victim))
        pid = self.zygote.ask(
            do="call",
            words=list(words),
            cwd=str(self.work),
            env=self._env,
            clock=str(self.folder / "clock"),
            log=str(log),
            kill=None if kill is None or by_service or by_strace else asdict(kill),
            counts=f"{log}.counts" if counts else None,
            broken=self.broken,
            waits=by_strace,
            pid=str(self.folder / PID),
            left=f"{log}.left",
        )["pid"]
        tracer = None
        if kill is not None and by_strace:
            tracer = _trace(pid, kill)
        code = self.zygote.ask(do="wait", pid=pid)["code"]
        if tracer is not None:
            tracer.communicate(timeout=30)
        if code == KILLED and kill is not None and kill.kind == POWER:
            lose(self.work, Path(f"{log}.left"))
        called = Called(
            words=tuple(words),
            code=code,
            out=Path(f"{log}.out").read_text("utf-8", "replace"),
            err=Path(f"{log}.err").read_text("utf-8", "replace"),
        )
        counted = Path(f"{log}.counts")
        return called, from_json(counted.read_text()) if counted.exists() else None

    def look(self) -> None:
        """Let the service notice what time it is: what was on its way arrives, and runs."""
        (self.folder / VICTIM).write_text("{}")  # nobody dies of our own call
        far = urllib.request.Request(
            f"{self._env['OPENAI_BASE_URL']}/batches", headers={"Authorization": f"Bearer {KEY}"}
        )
        with urllib.request.urlopen(far) as answer:
            answer.read()

    # -- the truth of the service ------------------------------------------------------------------------------------------------

    def charges(self) -> dict[str, int]:
        """How often the service executed each custom_id."""
        rows = self._far_rows("select custom_id, count(*) from finished group by custom_id")
        return dict(rows)

    def answered(self) -> set[int]:
        """Items for which the service has at least one good answer."""
        rows = self._far_rows("select custom_id from finished where is_success")
        return {int(custom_id.partition("-")[0]) for (custom_id,) in rows}

    def remotes(self) -> list[dict[str, Any]]:
        """Every batch at the far end, oldest first."""
        rows = self._far_rows(
            "select id, status, completed + failed, metadata, input_file_id from batches order by seq"
        )
        names = ("id", "status", "ran", "metadata", "input_file_id")
        return [
            {**dict(zip(names, row, strict=True)), "metadata": json.loads(row[3])} for row in rows
        ]

    def remote_of(self, batch: int) -> str | None:
        """The batch at the far end that was created as this one of ours and that no other of ours is, or None."""
        with closing(sqlite3.connect(f"file:{self.home.database}?mode=ro", uri=True)) as connection:
            rows = connection.execute("select id, token, remote_id from batch_rows").fetchall()
        token = next(token for number, token, _ in rows if number == batch)
        known = {remote_id for number, _, remote_id in rows if number != batch}
        found = (r["id"] for r in self.remotes() if r["metadata"]["batchrun"] == token)
        return next((remote_id for remote_id in found if remote_id not in known), None)

    def _far_rows(self, sql: str) -> list[Any]:
        database = self.folder / "far" / "service.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    # -- the user's files --------------------------------------------------------------------------------------------------------

    def write(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """A file of JSON lines."""
        (self.work / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def outputs(self, job: str) -> dict[str, bytes]:
        """What must not depend on what happened on the way: answers, failures, the table and the files of items."""
        folder = self.home.outputs / job
        here = str(self.work).encode()
        return {
            str(path.relative_to(folder)): path.read_bytes().replace(here, b"<here>")
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in _OF_THE_WAY
        }

    def close(self) -> None:
        """End the service; the folder stays."""
        self.zygote.ask(do="kill", pid=self._far_pid)


def _trace(pid: int, kill: Kill) -> "subprocess.Popen[bytes]":
    """strace over a process that waits for it: its n-th call of this name kills it, or is refused."""
    call, _, error = kill.line.partition(":")
    effect = f"error={error}" if kill.kind == REFUSAL else "signal=KILL"
    return subprocess.Popen(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={call}"),
            *("-e", f"inject={call}:{effect}:when={kill.nth}"),
        ],
        stderr=subprocess.PIPE,
    )


def has_strace() -> str | None:
    """Why this machine cannot kill by syscall, or None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        [
            *("strace", "-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=KILL:when=1"),
            *(sys.executable, "-c", "import os; os.getppid()"),
        ],
        capture_output=True,
        check=False,
    )
    return None if tried.returncode == KILLED else "strace may not trace here"
