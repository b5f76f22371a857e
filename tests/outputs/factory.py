"""Small ledgers for tests of outputs, written with plain SQL: no runner, no backend."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from batchrun.customids import custom_id, line_prefix
from batchrun.ledger.connection import Ledger, open_ledger
from batchrun.ledger.home import Home
from batchrun.ledger.states import BatchState, ItemState
from batchrun.ledger.usage import ATTEMPTS_SQL, FIGURES
from batchrun.model import JobSettings, OutputSettings

AT = 1_790_000_000  # 2026-09-21T14:13:20Z
SUCCEEDED, FAILED, RETRY, RELEASED, CANCELLED, SUPERSEDED = range(6)


class World:
    """One ledger in a temporary home, with helpers that insert what a runner would have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger: Ledger = open_ledger(Home(folder / ".batchrun"), create=True)
        self._next_item = 1

    def insert(self, table: str, **values: object) -> int:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self.ledger.transaction() as connection:
            cursor = connection.execute(
                f"insert into {table} ({names}) values ({marks})", tuple(values.values())
            )
        return int(cursor.lastrowid or 0)

    def execute(self, sql: str, *parameters: object) -> None:
        with self.ledger.transaction() as connection:
            connection.execute(sql, parameters)

    def job(
        self,
        name: str = "reviews",
        *,
        profile: str = "openai",
        output: OutputSettings | None = None,
        **settings: Any,
    ) -> int:
        """A job with one ready submission; items added next belong to it."""
        source = f"/jobs/{name}.jsonl"
        line = JobSettings(
            name=name, path=source, line=1, output=output or OutputSettings(), **settings
        )
        job = self.insert(
            "jobs",
            name=name,
            profile=profile,
            source=source,
            settings=msgspec.json.encode(line).decode(),
            outputs=str(self.folder / "outputs" / name),
            created_at=AT,
        )
        self.submit(job)
        return job

    def submit(self, job: int, *, at: int = AT) -> int:
        submission = self.insert("submissions", job=job, state=1, at=at, first_item=self._next_item)
        self.execute("update jobs set submission = ? where id = ?", submission, job)
        return submission

    def item(
        self,
        job: int,
        key: str | None,
        state: ItemState = ItemState.PENDING,
        *,
        name: str | None = None,
        batch: int | None = None,
        vanished: int = 0,
        file: int | None = 1,
        offset: int | None = None,
        sends: int = 0,
    ) -> int:
        item = self._next_item
        self._next_item += 1
        self.insert(
            "item_rows",
            id=item,
            job=job,
            key=key,
            name=name,
            state=int(state),
            batch=batch,
            vanished=vanished,
            file=file,
            offset=offset,
            sends=sends,
        )
        self.execute(
            "insert into item_counts values (?, ?, ?, 1) on conflict do update set n = n + 1",
            job,
            int(state),
            vanished,
        )
        return item

    def answered(self, job: int, key: str | None, output: object = "fine", **more: Any) -> int:
        """An item with an answer; `output` as a Python value, or bytes of JSON to be stored as they are."""
        names = {"name", "vanished", "batch"}
        item = self.item(
            job, key, ItemState.SUCCEEDED, **{k: v for k, v in more.items() if k in names}
        )
        self.result(item, output=output, **{k: v for k, v in more.items() if k not in names})
        return item

    def failed(self, job: int, key: str | None, cause: str = "refusal", **more: Any) -> int:
        """An item that failed for good; `partial` becomes its stored output."""
        item = self.item(job, key, ItemState.FAILED)
        values = {"message": f"{cause}, said the service", "finish": "none"} | more
        partial = values.pop("partial", None)
        self.result(item, outcome=FAILED, cause=cause, output=partial, **values)
        return item

    def bad(self, job: int, name: str, cause: str, message: str) -> int:
        item = self.item(job, None, ItemState.FAILED, name=name, file=None)
        self.insert("bad_items", item=item, cause=cause, message=message)
        return item

    def result(
        self, item: int, *, output: object = None, table: str = "result_rows", **values: Any
    ) -> None:
        stored = output.decode() if isinstance(output, bytes) else _json(output)
        row: dict[str, Any] = {
            "item": item,
            "batch": 1,
            "send": 1,
            "attempts": 1,
            "at": AT + 3600,
            "outcome": SUCCEEDED,
            "output": stored,
            "finish": "stop",
            "input_tokens": 100,
            "cached_tokens": 20,
            "cache_write_tokens": 30,
            "output_tokens": 10,
            "reasoning_tokens": 4,
            "model": self.model("gpt-5-mini"),
        }
        self.insert(table, **(row | values))
        self.recount()

    def recount(self) -> None:
        """What batches took, as a runner would have counted it when it settled them."""
        self.execute("delete from batch_usage")
        self.execute(
            f"insert into batch_usage (batch, size, {', '.join(FIGURES)}) {ATTEMPTS_SQL} having batch in (select id from batch_rows)"
        )

    def model(self, name: str) -> int:
        known = self.ledger.value("select id from models where name = ?", (name,))
        return int(known) if known is not None else self.insert("models", name=name)

    def batch(self, job: int, state: BatchState = BatchState.COLLECTED, **values: Any) -> int:
        """A batch, with the row of its request file; `request_file` gives that a number."""
        number = int(self.ledger.value("select coalesce(max(id), 0) + 1 from batch_rows"))
        values["request_file"] = self.insert(
            "request_files",
            id=values.get("request_file"),
            job=job,
            kind=0,
            state=2,
            endpoint="/v1/responses",
            model="gpt-5-mini",
        )
        row: dict[str, Any] = {
            "job": job,
            "profile": "openai",
            "state": int(state),
            "endpoint": "/v1/responses",
            "model": "gpt-5-mini",
            "window": "24h",
            "token": f"br-{number:020d}",
            "request_count": 2,
            "input_bytes": 1000,
            "checksum": "0" * 32,
            "first_item": 1,
            "last_item": 2,
            "metadata": "{}",
            "planned_at": AT,
            "remote_id": f"batch_{number}",
            "remote_status": "completed",
            "created_at": AT + 60,
            "ended_at": AT + 3600,
        }
        return self.insert("batch_rows", **(row | values))

    def request_lines(
        self, file: int, lines: Sequence[tuple[int, int, str | None, str]]
    ) -> list[int]:
        """Write a request file of (item, send, key, tail); returns the offset of each tail."""
        path = self.ledger.home.request_file(file)
        places, content = [], b""
        for item, send, key, tail in lines:
            content += line_prefix(custom_id(item, send, key))
            places.append(len(content))
            content += tail.encode() + b"\n"
        path.write_bytes(content)
        return places

    def fields(self, job: int, lines: Sequence[tuple[int, Mapping[str, object]]]) -> None:
        submission = self.ledger.value("select submission from jobs where id = ?", (job,))
        path = self.ledger.home.fields_file(int(submission))
        path.write_text("".join(json.dumps([i, f], ensure_ascii=False) + "\n" for i, f in lines))

    def order(self, *items: int) -> None:
        for position, item in enumerate(items, start=1):
            self.insert("item_order", item=item, position=position)


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
