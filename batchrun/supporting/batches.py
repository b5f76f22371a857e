"""Batches as a service's support knows them: ids, times, counts, errors, usage, what they cost, and the last call about each that failed."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import msgspec

from batchrun.backends.accounts import DIRECT_PREFIX
from batchrun.backends.reading import UnreadableError, read_batch
from batchrun.clock import rfc3339
from batchrun.config import Config
from batchrun.endpoints.tolerant import as_object, as_status, whole
from batchrun.errors import UnknownPrice
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import BatchState
from batchrun.ledger.usage import taken_by
from batchrun.model import JobSettings, JsonObject
from batchrun.money.amounts import DOLLAR
from batchrun.money.billed import Taken, billed_cost, service_usage, usage_of
from batchrun.money.counting import IMAGE_URLS
from batchrun.money.frozen import thawed
from batchrun.money.price import Mode, Price, unplaced
from batchrun.money.prices import PriceBook
from batchrun.outputs.evidence import nth_request
from batchrun.outputs.rows import JobView
from batchrun.supporting.redacting import redacted, texts_in
from batchrun.supporting.resultline import named

_TIMES_END: Final = 253_402_300_800  # the year 10000: a service that says more counts otherwise
_LINE_DIGITS: Final = 9
_REMOTE_TIMES: Final = (
    *("created_at", "in_progress_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at", "expires_at"),
)
_OUR_TIMES: Final = ("planned_at", "intent_at", "ended_at", "collected_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What must not leave: `secrets` nowhere, `ours` (the job's own texts) in no message."""

    secrets: tuple[str, ...]
    ours: tuple[str, ...]


def support_batches(
    ledger: Ledger, config: Config, job: JobView, known: Known
) -> Iterator[JsonObject]:
    """Every batch of a job, in the order in which they were made."""
    for row in ledger.rows("select * from batch_rows where job = ? order by id", (job.id,)):
        yield _batch(ledger, row, known) | _spent(ledger, config, job.settings, row)


def time_of(at: int | None) -> str | None:
    """A time as everywhere in the document; None where there is none, or none that can be one."""
    return rfc3339(at) if at and at < _TIMES_END else None


def _batch(ledger: Ledger, row: sqlite3.Row, known: Known) -> JsonObject:
    remote = _object(row["remote"])
    files = {
        file["kind"]: file["remote_file_id"]
        for file in ledger.rows("select * from result_files where batch = ?", (row["id"],))
    }
    try:
        read = read_batch(remote)
    except UnreadableError:
        read = None
    counts = as_object(remote.get("request_counts"))
    errors = () if read is None else read.errors
    return {
        "batch": row["id"],
        "id": row["remote_id"],
        "profile": row["profile"],
        "input_file_id": row["input_file_id"] or (read and read.input_file_id),
        "output_file_id": files.get(0) or (read and read.output_file_id),
        "error_file_id": files.get(1) or (read and read.error_file_id),
        "status": row["remote_status"],
        "state": BatchState(row["state"]).name.lower(),
        "endpoint": row["endpoint"],
        "model": row["model"],
        "window": row["window"],
        "requests": row["request_count"],
        "request_counts": {
            name: whole(counts.get(name)) for name in ("total", "completed", "failed")
        },
        "times": {
            **{name: time_of(whole(remote.get(name))) for name in _REMOTE_TIMES},
            "uploaded_at": time_of(row["input_file_created_at"]),
        },
        "seen_here": {name: time_of(row[name]) for name in _OUR_TIMES},
        "errors": [_error(ledger, row, error, known) for error in errors],
        "failed_call": _failed_call(row["failed_call"], known),
    }


def _error(ledger: Ledger, row: sqlite3.Row, error: JsonObject, known: Known) -> JsonObject:
    """One error of a batch itself. What it says is held against the request that it names, else against the first."""
    line = error["line"]
    number = int(line) if line and line.isdecimal() and len(line) <= _LINE_DIGITS else None
    request = nth_request(ledger.home.request_file(row["request_file"]), number or 1)
    ours = (*known.ours, *texts_in(request))
    said = error["message"]
    return {
        "code": named(error["code"], known.secrets, ours),
        "line": number,
        "param": named(error["param"], known.secrets, ours),
        "message": redacted(said, secrets=known.secrets, ours=ours) if said and request else None,
        "withheld": bool(said) and not request,
    }


def _failed_call(text: str | None, known: Known) -> JsonObject | None:
    """By what the service finds the last call about the batch that it answered with an error, whether or not a later one went well."""
    said = _object(text)
    if not said:
        return None
    return {
        "at": time_of(whole(said.get("at"))),
        "http_status": as_status(said.get("status")),
        "code": named(said.get("code"), known.secrets),
        "request_id": named(said.get("request_id"), known.secrets),
    }


def _spent(ledger: Ledger, config: Config, settings: JobSettings, row: sqlite3.Row) -> JsonObject:
    """Tokens as the answers add up and as the service says for the batch, and what the larger of both costs, where a price is known."""
    taken = taken_by(ledger, row["id"])
    service = service_usage(row["remote"])
    price = _price(ledger, config, settings, row) if taken else None
    return {
        "usage": asdict(usage_of(taken)) if taken else None,
        "service_usage": None if service is None else asdict(service),
        "cost": None if price is None else _cost(price, taken, row),
    }


def _cost(price: Price, taken: list[Taken], row: sqlite3.Row) -> JsonObject:
    is_of_pictures = row["endpoint"] in IMAGE_URLS
    amount = billed_cost(price, taken, service_usage(row["remote"]), is_of_pictures=is_of_pictures)
    whole_dollars, rest = divmod(amount, DOLLAR)
    usd = f"{whole_dollars}.{rest:012d}".rstrip("0").rstrip(".")
    return {"picodollars": amount, "usd": usd, "prices": unplaced(price.source)}


def _price(ledger: Ledger, config: Config, settings: JobSettings, row: sqlite3.Row) -> Price | None:
    """The price that the batch was reserved at, else the one that the tables have for its end; None on this machine, and where none is known."""
    if row["base_url"] is None:
        return None
    kept = ledger.value("select price from bills where batch = ?", (row["id"],))
    if kept is not None:
        try:
            return thawed(kept)
        except msgspec.MsgspecError:
            return None
    mode = Mode.BATCH
    if row["base_url"].startswith(DIRECT_PREFIX):
        tier = settings.body.get("service_tier")
        mode = Mode(tier) if tier in {Mode.FLEX, Mode.PRIORITY} else Mode.LIVE
    base_url = row["base_url"].removeprefix(DIRECT_PREFIX)
    at = row["ended_at"] or row["planned_at"]
    try:
        return PriceBook(own=config.prices).price(row["model"], mode, base_url=base_url, at=at)
    except UnknownPrice:
        return None


def _object(text: str | None) -> JsonObject:
    try:
        return as_object(json.loads(text or "{}"))
    except ValueError:
        return {}
