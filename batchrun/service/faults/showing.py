"""What the service shows of its batches when it is not honest: other values, a listing that lags, forgets or is in a strange order. Pure.

The batches themselves are never changed.
"""

from collections.abc import Sequence

from batchrun.model import JsonObject
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.matching import has_metadata
from batchrun.service.faults.words import What
from batchrun.service.files import page_of


def shown(batch: JsonObject, faults: Sequence[Fault]) -> JsonObject:
    """The batch as these faults show it."""
    for fault in faults:
        if fault.what is What.SHOW and has_metadata(fault, batch["metadata"]):
            batch = {**batch, **fault.set, **dict.fromkeys(fault.nulls)}
    return batch


def is_hidden(thing: JsonObject, faults: Sequence[Fault], *, now: int) -> bool:
    """Whether a batch or a file is not to be seen: too young, or gone."""
    return any(
        fault.what is What.VANISH
        or (fault.what is What.LAG and now < thing["created_at"] + (fault.seconds or 0))
        for fault in faults
        if has_metadata(fault, thing.get("metadata"))
    )


def listed(
    batches: Sequence[JsonObject],
    faults: Sequence[Fault],
    *,
    after: str | None,
    limit: int,
    now: int,
) -> JsonObject:
    """One page of all batches (newest first) as these faults show it: hidden ones are missing as if they had never been there."""
    kinds = {fault.what for fault in faults}
    visible = [batch for batch in batches if not is_hidden(batch, faults, now=now)]
    if What.OLDEST_FIRST in kinds:
        visible.reverse()
    if after is not None and What.IGNORE_AFTER not in kinds:
        ids = [batch["id"] for batch in visible]
        visible = visible[ids.index(after) + 1 :] if after in ids else []
    return page_of([shown(batch, faults) for batch in visible[: limit + 1]], limit)
