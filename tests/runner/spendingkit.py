"""A world in which every answer costs money, and a meter that knows how much, whatever anybody was told.

The meter is on the far side: it writes down each executed request with its tokens before the answer sets out. What limits are held against
here is therefore never our own bookkeeping alone.
"""

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from crashkit import HASTY
from runnerkit import PROFILE, Wire, World

from batchrun.backends.base import Backend, BatchPage, RemoteBatch
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.clock import Clock
from batchrun.errors import NotFound
from batchrun.ledger.bills import standing
from batchrun.ledger.connection import Ledger
from batchrun.model import JsonObject, Limits
from batchrun.money.limits import Limit, Period, Scope
from batchrun.running.arrears import bill_arrears
from batchrun.running.purse import Purse
from batchrun.service.options import Options
from batchrun.service.responders.base import Reply
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing_backend import FaultyBackend

NEAR: Final = "near"  # a direct profile, which spends from the account of PROFILE
TWIN: Final = f"{PROFILE}:live"
MODEL: Final = "gpt-4.1-mini"
# Picodollars of a token: (input, output).
BATCH: Final = (10_000_000, 100_000_000)
LIVE: Final = (20_000_000, 200_000_000)
SETTINGS: Final = f"""
[price."{MODEL}"]
input = 20
output = 200
batch = {{ input = 10, output = 100 }}

[profile.{NEAR}]
backend = "direct"
base_url = "http://127.0.0.1:9/v1"
"""
INPUT_TOKENS: Final = 9  # of each request here; it can be 18 at most
_KILLED: Final = 9
_DAY_S: Final = 86_400


class Meter(ScriptedResponder):
    """Answers, counts the tokens of each answer by its text, and writes down what it cost before anyone hears of it.

    Answers are as long as their cap lets them be, and longer, as those of services are; shorter ones where the text says so. To a "mute" text
    the answer does not say what it took. `dies_after`: executions in this process, after which that ends.
    """

    is_billed = True

    def __init__(self, script: Any, *, clock: Clock, seen: Path, log: Path, profile: str) -> None:
        super().__init__(script, clock=clock, seen=seen)
        self._clock, self._log, self._profile = clock, log, profile

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        reply = super().respond(url, body, custom_id=custom_id)
        if reply.status_code != 200:
            return reply
        text = json.dumps(body)
        cap = int(body.get("max_output_tokens") or body.get("max_completion_tokens") or 0)
        longest = cap + cap * 2 // 100 + 64
        made = (1 if "short" in text else longest) * int(body.get("n") or 1)
        given = 5_000 if "greedy" in text else INPUT_TOKENS
        prices = BATCH if self._profile == PROFILE else LIVE
        line = {
            "at": self._clock.now(),
            "profile": self._profile,
            "custom_id": custom_id,
            "cost": given * prices[0] + made * prices[1],
        }
        with self._log.open("a") as opened:
            opened.write(json.dumps(line) + "\n")
        if self._profile != PROFILE and (dying := Dying.after) is not None:
            Dying.after = dying - 1
            if dying == 1:
                os._exit(_KILLED)
        usage = reply.body["usage"]
        names = ("prompt_tokens", "completion_tokens")
        names = names if "prompt_tokens" in usage else ("input_tokens", "output_tokens")
        usage |= {names[0]: given, names[1]: made, "total_tokens": given + made}
        if "mute" in text:
            del reply.body["usage"]
        return reply


class Dying:
    """After how many executions of a direct profile this process dies; None: it lives."""

    after: int | None = None


@dataclass
class HidingWire(Wire):
    """`hidden`: batches that the service does not show, though they are there and run on."""

    hidden: set[str] = field(default_factory=set)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        if batch_id in self.hidden:
            raise NotFound(f"no batch {batch_id}", status=404)
        return super().retrieve(batch_id)

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        page = super().list_batches(after=after, limit=limit)
        shown = tuple(batch for batch in page.batches if batch.id not in self.hidden)
        return BatchPage(batches=shown, has_more=page.has_more, server_time=page.server_time)


@dataclass
class MeteredWorld(World):
    """`World` with a far service that counts what it does, and two profiles that our own passes execute at the same rates: the live twin of the
    far one, and NEAR.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log = self.folder / "meter.jsonl"
        self.log.touch()
        self.embedded = self._service(PROFILE, self.folder / "far", self.options)
        self.wire: HidingWire = HidingWire(
            self.embedded, self.clock, self.folder / "wire.json", self.traits
        )
        self.backend = FaultyBackend(self.wire, self.faults)
        self.inside = {
            name: self._service(
                name, self.home.path / name.replace(":", "@"), Options(windows=None)
            )
            for name in (NEAR, TWIN)
        }
        self.direct = {name: FaultyBackend(inner) for name, inner in self.inside.items()}
        self.budget: dict[str, Any] = {}
        self.limits_now: tuple[Limit, ...] = ()
        self._checked: object = None
        self._seen: object = None
        # What each limit may come to: its amount, or what was taken already when it was set.
        self.allowed: dict[Limit, int] = {}
        self.set_budget("")

    def _service(self, profile: str, folder: Path, options: Options) -> EmbeddedBackend:
        return EmbeddedBackend(
            folder,
            lambda: Meter(
                self.script,
                clock=self.clock,
                seen=self.folder / f"seen-{profile.replace(':', '@')}",
                log=self.log,
                profile=profile,
            ),
            self.clock,
            limits=self.limits,
            options=options,
        )

    @property
    def backends(self) -> tuple[FaultyBackend, ...]:
        return (self.backend, *self.direct.values())

    def opened(self, profile: str) -> Backend:
        return self.backend if profile == PROFILE else self.direct[profile]

    def let_go(self) -> None:
        super().let_go()
        for inner in self.inside.values():
            inner.close()

    def close(self) -> None:
        super().close()
        for inner in self.inside.values():
            inner.close()

    # -- limits -----------------------------------------------------------------------------------------------------------------

    def set_budget(self, text: str, own: tuple[Limit, ...] = ()) -> None:
        """From now on these limits hold: `text` is TOML, `own` what job lines say besides."""
        (self.folder / "batchrun.toml").write_text(SETTINGS + text, encoding="utf-8")
        found = (*self.config.budgets.limits, *own)
        self.limits_now = tuple(limit for limit in found if limit.is_hard)
        # What it takes to find that out is no part of the night.
        self.allowed = dict.fromkeys(self.limits_now, sys.maxsize)
        self.allowed = {limit: self._allowed(limit) for limit in self.limits_now}
        self._checked = None

    def _allowed(self, limit: Limit) -> int:
        """A limit that is set too late cannot undo what was taken, or is under way."""
        if not self.home.database.exists():
            return limit.amount
        with self.ledger() as ledger, contextlib.closing(sqlite3.connect(":memory:")) as copy:
            charged = max(self.charged(ledger, limit).values(), default=0)
            ledger.connection.backup(copy)
            copy.isolation_level = None
            billed = Ledger(copy, self.home)
            bill_arrears(billed, Purse(config=self.config), self.clock.now())
            taken = standing(billed, limit, self.clock.now()).taken
        return max(limit.amount, taken, charged)

    # -- what must hold -----------------------------------------------------------------------------------------------------------

    def has_moved(self) -> bool:
        """Whether anything was written since this was asked last: here, or by the meter."""
        paths = (self.home.database, self.home.path / "batchrun.db-wal", self.log)
        found = [path.stat().st_mtime_ns for path in paths if path.exists()]
        self._seen, before = (found, self.limits_now), self._seen
        return self.home.database.exists() and self._seen != before

    def check_books(self, ledger: Ledger) -> None:
        """Every limit by our own books: after each commit."""
        now = self.clock.now()
        rows = ledger.execute(
            "select batch, reserved, cost, presumed, booked_at from bills union all select job_id, amount, 0, 0, 0 from set_aside"
        ).fetchall()
        known = (now // _DAY_S, [tuple(row) for row in rows])
        if known == self._checked:
            return
        self._checked = known
        for limit in self.limits_now:
            found = standing(ledger, limit, now)
            assert found.taken <= self.allowed[limit], (
                f"{limit.words}: {found} is more than {self.allowed[limit]}"
            )

    def check_meter(self) -> None:
        """Every limit by what was really executed: in each of its periods."""
        with self.ledger() as ledger:
            for limit in self.limits_now:
                for since, cost in self.charged(ledger, limit).items():
                    assert cost <= self.allowed[limit], (
                        f"{limit.words}: {cost} was spent in the period from {since}, more than {self.allowed[limit]}"
                    )

    def metered(self) -> list[JsonObject]:
        """Every request that was ever executed."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def charged(self, ledger: Ledger, limit: Limit) -> dict[int, int]:
        """What the requests came to that fall under a limit, by the beginning of its period."""
        jobs = {
            row["id"]: (row["name"], set(json.loads(row["tags"] or "[]")))
            for row in ledger.rows(
                "select i.id, j.name, j.settings ->> '$.tags' as tags from item_rows i join jobs j on j.id = i.job"
            )
        }
        found: dict[int, int] = {}
        for line in self.metered():
            job, tags = jobs[int(line["custom_id"].partition("-")[0])]
            profile = line["profile"].removesuffix(":live")
            is_under = {
                Scope.HOME: True,
                Scope.ACCOUNT: limit.name == "default",
                Scope.PROFILE: limit.name == profile,
                Scope.TAG: limit.name in tags,
                Scope.JOB: limit.name == job,
            }
            if is_under[limit.scope]:
                since = limit.period.since(line["at"])
                found[since] = found.get(since, 0) + line["cost"]
        return found

    def check_settled(self) -> None:
        """Every batch that is settled, by what the service itself counted of it."""
        for bill in self.rows(
            "select l.*, b.profile as at, b.remote_id, b.remote from bills l join batch_rows b on b.id = l.batch where l.cost is not null"
        ):
            if bill["remote_id"] is None or bill["presumed"]:
                continue
            prices = BATCH if bill["at"] == PROFILE else LIVE
            usage = json.loads(bill["remote"])["usage"]
            if usage is not None:
                counted = usage["input_tokens"] * prices[0] + usage["output_tokens"] * prices[1]
                assert bill["cost"] >= counted, f"batch {bill['batch']} cost more than is booked"


def limit_of(scope: Scope, name: str, period: Period, amount: int) -> Limit:
    return Limit(scope=scope, name=name, period=period, amount=amount)


@contextlib.contextmanager
def watched(world: MeteredWorld) -> Iterator[None]:
    """Within, the books are checked after every commit of this process, and of those that it forks."""
    transaction = Ledger.transaction

    @contextlib.contextmanager
    def checked(ledger: Ledger) -> Iterator[Any]:
        with transaction(ledger) as connection:
            yield connection
        if ledger.home.path == world.home.path:
            world.check_books(ledger)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "transaction", checked)
        yield


def metered_world(folder: Path, *, limits: Limits | None = None, **settings: Any) -> MeteredWorld:
    return MeteredWorld(
        folder,
        traits=HASTY,
        limits=limits or Limits(request_count=4),
        options=Options(validating_s=50, line_s=20, cancelling_s=30),
        **settings,
    )
