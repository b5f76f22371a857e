"""Homes with batches that were settled, written with plain SQL: what they took is known to the token."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from batchrun.clock import rfc3339
from batchrun.config import Config, load_config
from batchrun.ledger.bills import Bill, insert_bill, settle_bill
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.states import BatchState
from batchrun.ledger.submissions import settings_from_json
from batchrun.model import JobSettings, JsonObject
from batchrun.money.billed import Taken, cost_of
from batchrun.money.frozen import frozen
from batchrun.money.limits import Payer
from batchrun.money.price import Mode, Price
from batchrun.money.prices import OPENAI_URL, PriceBook
from batchrun.spending.report import Spending, spending
from batchrun.spending.spans import span_of

NOON = 1_795_262_400  # 2026-11-21T12:00:00Z
DAY_S = 86_400
# Dollars a million tokens: a picodollar amount is then easily reckoned by hand.
OWN = """
[price."own"]
input = 4
cached_input = 1
output = 10
[price."own".batch]
input = 2
cached_input = 0.5
output = 5
"""


@dataclass
class Till:
    """A home and what is beside it."""

    folder: Path
    toml: str = OWN
    now: int = NOON
    jobs: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = Home(self.folder / ".batchrun")
        open_ledger(self.home, create=True).close()
        self.write(self.toml)

    def write(self, toml: str) -> None:
        """Other settings."""
        (self.folder / "batchrun.toml").write_text(toml)

    @property
    def config(self) -> Config:
        return load_config(self.folder, self.home.path, {})

    def job(self, name: str, *, profile: str = "openai", **settings: Any) -> int:
        """A job; `settings` are those of its line."""
        line = JobSettings(name=name, path=f"/jobs/{name}.jsonl", line=1, **settings)
        self.jobs[name] = self.insert(
            "jobs",
            name=name,
            profile=profile,
            source=line.path,
            settings=msgspec.json.encode(line).decode(),
            outputs=str(self.folder / name),
            created_at=self.now,
        )
        return self.jobs[name]

    def batch(
        self,
        job: str = "faq",
        *,
        took: tuple[int, int, int, int] = (0, 0, 0, 0),
        written: int = 0,
        requests: int = 1,
        size: int = 0,
        said: JsonObject | None = None,
        model: str = "own",
        profile: str = "openai",
        at: int = NOON,
        state: BatchState = BatchState.COLLECTED,
        endpoint: str = "/v1/responses",
    ) -> int:
        """A batch that ended at a moment; `took` input, cached, output and reasoning tokens, of which `written` to the cache. `said`: the usage that the service gives."""
        owner = self.jobs.get(job) or self.job(job)
        file = self.insert(
            "request_files", job=owner, kind=0, state=2, endpoint=endpoint, model=model
        )
        is_open = state < BatchState.COLLECTED
        batch = self.insert(
            "batch_rows",
            job=owner,
            profile=profile,
            state=int(state),
            endpoint=endpoint,
            model=model,
            window="24h",
            token=f"br-{file:020d}",
            request_file=file,
            request_count=requests,
            input_bytes=1,
            checksum="0",
            first_item=1,
            last_item=1,
            metadata="{}",
            planned_at=at - 60,
            created_at=at - 50,
            ended_at=None if is_open else at,
            collected_at=None if is_open else at + 5,
            remote=json.dumps({"usage": said}),
        )
        if not is_open:
            given, cached, made, reasoning = took
            self.insert(
                "batch_usage",
                batch=batch,
                size=size,
                attempts=requests,
                requests=requests if sum(took) else 0,
                input_tokens=given,
                cached_tokens=cached,
                cache_write_tokens=written,
                maybe_written_tokens=0,
                output_tokens=made,
                reasoning_tokens=reasoning,
            )
        return batch

    def bill(
        self,
        batch: int,
        price: Price,
        *,
        reserved: int,
        cost: int | None = None,
        unknown: int = 0,
        fees: int = 0,
        tags: tuple[str, ...] = (),
        job: str = "faq",
        at: int = NOON,
    ) -> None:
        """A bill at a price, settled where it has a cost."""
        payer = Payer(account="default", profile="openai", job=job, tags=tags)
        bill = Bill(
            payer=payer,
            price=frozen(price),
            reserved=reserved,
            largest=reserved,
            fees=fees,
        )
        with self.ledger() as ledger, ledger.transaction():
            insert_bill(ledger, batch=batch, bill=bill, at=at)
            if cost is not None:
                settle_bill(ledger, batch=batch, cost=cost, unknown=unknown, booked_at=at)

    def paid(self, job: str, took: tuple[int, int, int, int], **batch: Any) -> None:
        """A batch that was reserved for and settled at the price of its model."""
        model, at = batch["model"], batch.get("at", NOON)
        price = self.price(model)
        given, cached, *made = took
        cost = cost_of(price, [Taken(0, 1, given, cached, 0, 0, *made)])
        tags = settings_from_json(self.settings_of(job)).tags
        number = self.batch(job, took=took, **batch)
        self.bill(number, price, reserved=2 * cost, cost=cost, job=job, tags=tags, at=at)

    def price(self, model: str) -> Price:
        """Of a batch at OpenAI."""
        book = PriceBook(own=self.config.prices)
        return book.price(model, Mode.BATCH, base_url=OPENAI_URL, at=NOON)

    def settings_of(self, job: str) -> str:
        with self.ledger() as ledger:
            return str(ledger.value("select settings from jobs where name = ?", (job,)))

    def spent(self, *, by_month: bool = False, **span: Any) -> Spending:
        """The report."""
        with self.ledger() as ledger:
            days = span_of(now=self.now, by_month=by_month, **span)
            return spending(ledger, self.config, days, now=self.now)

    def ledger(self) -> Ledger:
        return open_ledger(self.home)

    def insert(self, table: str, **values: object) -> int:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self.ledger() as ledger, ledger.transaction():
            cursor = ledger.execute(
                f"insert into {table} ({names}) values ({marks})", tuple(values.values())
            )
        return int(cursor.lastrowid or 0)

    def execute(self, sql: str, *parameters: object) -> None:
        with self.ledger() as ledger, ledger.transaction():
            ledger.execute(sql, parameters)


def a_busy_month(till: Till) -> None:
    """Three jobs over a month, one of a model that has no price."""
    till.job("reviews", tags=("reports", "shop"))
    till.job("letters", tags=("shop",))
    for n in range(20):
        at = NOON - n * DAY_S
        took = ((n + 3) * 41_000, n * 9_000, (n % 7 + 2) * 11_000, n * 1_000)
        till.batch("reviews", took=took, requests=40 + n, at=at)
        if n % 3 == 0:
            till.batch(
                "letters", took=(90_000, 0, 21_000, 0), requests=12, at=at, model="gpt-5-mini"
            )
    till.batch("scans", took=(1_000, 0, 10, 0), requests=1_204, model="acme-7b")
    till.batch("reviews", state=BatchState.CREATED, requests=30)
    assert rfc3339(NOON) == "2026-11-21T12:00:00Z"
