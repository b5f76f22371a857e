"""Criteria: the labels or the schema that requests ask for, and by which their answers are judged.

A job line may change while requests are on their way, and not every item is asked anew then (`--limit`, `--new-only`, `missing: keep`). So
what judges goes with the requests: a request file holds requests of one criteria only, and a batch is judged by those of its request file,
whenever its answers come. What only says how a job is run and written (attempts, outputs) is that of the newest submission for all items.
"""

from dataclasses import replace
from typing import TypeVar

import msgspec

from batchrun.endpoints.schemas import judged_schema
from batchrun.ledger.connection import Ledger
from batchrun.model import JobSettings, JsonObject

_Value = TypeVar("_Value")


def record_criteria(ledger: Ledger, job: int, settings: JobSettings) -> int | None:
    """The number of what judges the answers under these settings, each kept once a job; None where any text will do.

    Inside the caller's transaction.
    """
    schema = judged_schema(settings)
    if schema is None:
        return None
    values = (job, _encoded(settings.labels), _encoded(schema))
    known = ledger.value(
        "select id from criteria where job = ? and labels is ? and schema is ?", values
    )
    if known is not None:
        return int(known)
    cursor = ledger.execute("insert into criteria (job, labels, schema) values (?, ?, ?)", values)
    return int(cursor.lastrowid or 0)


def judging(ledger: Ledger, settings: JobSettings, request_file: int) -> JobSettings:
    """The settings of a job with the labels and schema that the requests of this file ask for."""
    row = ledger.row(
        "select c.labels, c.schema from criteria c join request_files f on f.criteria = c.id where f.id = ?",
        (request_file,),
    )
    if row is None:
        return replace(settings, labels=None, schema=None)
    return replace(
        settings,
        labels=_decoded(row["labels"], tuple[str, ...]),
        schema=_decoded(row["schema"], JsonObject),
    )


def drop_unused(ledger: Ledger, job: int) -> None:
    """Delete the criteria of a job that no request file bears; inside the caller's transaction."""
    ledger.execute(
        "delete from criteria where job = ? and id not in (select criteria from request_files where criteria is not null)",
        (job,),
    )


def _encoded(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: str | None, type_: type[_Value]) -> _Value | None:
    return None if text is None else msgspec.json.decode(text, type=type_)
