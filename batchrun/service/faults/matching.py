"""Whether a fault is about a call, and whether its turn has come. Pure: the same script, seed and calls are the same night."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from batchrun.service.faults.fault import Fault
from batchrun.service.faults.words import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is happening. None is what is not known at that place; then a condition about it does not hold.

    `metadata` are those of the batch in question; in a listing there are many, so that conditions on them are left for later.
    """

    place: Place
    metadata: Mapping[str, str] | None = None
    filename: str | None = None
    custom_id: str | None = None
    key: str | None = None


def fits(fault: Fault, call: Call, *, elapsed_s: int) -> bool:
    """Whether the place and all conditions but the number of the call hold; `elapsed_s` since the script began."""
    return (
        call.place in fault.places
        and fault.from_s <= elapsed_s
        and (fault.until_s is None or elapsed_s < fault.until_s)
        and (call.place is Place.LIST or has_metadata(fault, call.metadata))
        and (fault.key is None or fault.key == call.key)
        and _found(fault.filename, call.filename)
        and _found(fault.custom_id, call.custom_id)
    )


def has_metadata(fault: Fault, metadata: Mapping[str, str] | None) -> bool:
    """Whether a batch has all pairs that the fault asks for."""
    wanted = fault.metadata
    return not wanted or (metadata is not None and wanted.items() <= metadata.items())


def is_due(fault: Fault, *, number: int, fired: int, chance: float) -> bool:
    """Whether the `number`-th call that fits (from 1) is one to fail, after `fired` that were; `chance` is from 0 to 1."""
    return (
        (not fault.numbers or number in fault.numbers)
        and (fault.every is None or number % fault.every == 0)
        and (fault.times is None or fired < fault.times)
        and (fault.probability is None or chance < fault.probability)
    )


def chance_of(seed: int, *parts: object) -> float:
    """A number from 0 to 1 that follows from the parts: no generator, so that it does not matter who asks when."""
    words = "\x1f".join(map(str, (seed, *parts)))
    return (
        int.from_bytes(hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64
    )


def _found(pattern: str | None, text: str | None) -> bool:
    return pattern is None or (text is not None and re.search(pattern, text) is not None)
