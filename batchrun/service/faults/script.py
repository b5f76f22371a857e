"""A fault script: read from a TOML or JSON file, checked whole, with the line and key of whatever is wrong.

    seed = 7                      # of the probabilities; another seed is another night

    [[fault]]
    at = "POST /batches"
    what = "drop"                 # the batch exists, and nobody learns it
    calls = 1

The same in JSON: `{"seed": 7, "fault": [{"at": "POST /batches", "what": "drop", "calls": 1}]}`.
"""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from batchrun.errors import UsageError
from batchrun.model import Json
from batchrun.service.complaints import read_complaint
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.positions import line_in_json, line_in_toml
from batchrun.service.faults.words import Moment, What

_ENUMS: Final[dict[str, type[StrEnum]]] = {"what": What, "moment": Moment}


class FaultScript:
    """Faults that were checked, each under a name of its own that follows from its wording: a fault that is changed starts anew.

    Raises UsageError with the number of the first fault that is no good.
    """

    def __init__(self, faults: Sequence[Fault] = (), *, seed: int = 0) -> None:
        self.seed = seed
        self.named: dict[str, Fault] = {}
        seen: Counter[bytes] = Counter()
        for number, fault in enumerate(faults, 1):
            if (wrong := fault.problem()) is not None:
                raise UsageError(f"fault {number}: '{wrong[0]}': {wrong[1]}.")
            wording = msgspec.json.encode(fault, order="sorted")
            seen[wording] += 1
            digest = hashlib.sha256(wording + b"%d" % seen[wording]).hexdigest()[:16]
            self.named[digest] = fault

    @property
    def keys(self) -> frozenset[str]:
        """The API keys that faults are about, which the server accepts besides its own."""
        return frozenset(fault.key for fault in self.named.values() if fault.key is not None)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    fault: list[Fault]
    seed: int = 0


def read_faults(path: Path) -> FaultScript:
    """The script in a file; its name decides: `.json` is JSON, anything else TOML. Raises UsageError with line and key."""
    is_json = path.suffix == ".json"
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Name an existing fault script.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    try:
        tree: Json = json.loads(text) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what, _, line = str(error).partition(" (at line ")
        where = f"{path}:{line.partition(',')[0]}" if line else str(path)
        raise UsageError(f"{where}: not TOML: {what}.") from error

    def complain(number: int | None, key: str | None, what: str) -> UsageError:
        line = None
        if number is not None:
            line = (line_in_json if is_json else line_in_toml)(text, number, key)
        where = f"{path}:{line}" if line is not None else str(path)
        which = "" if number is None else f"fault {number + 1}: "
        return UsageError(f"{where}: {which}{what}.")

    try:
        file = msgspec.convert(tree, _File, strict=True)
    except msgspec.ValidationError as error:
        found = read_complaint(str(error), each=Fault, top=_File, words=_ENUMS)
        raise complain(*found) from error
    for number, fault in enumerate(file.fault):
        if (wrong := fault.problem()) is not None:
            raise complain(number, wrong[0], f"{wrong[0]!r}: {wrong[1]}")
    return FaultScript(file.fault, seed=file.seed)
