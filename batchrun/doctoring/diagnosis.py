"""One answer of the doctor: what was looked at, how it is, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batchrun.errors import BackendError, LedgerError


class Level(StrEnum):
    """How something is."""

    OK = "ok"
    WARN = "warn"  # it works, and may not always
    FAIL = "fail"  # something of batchrun does not work
    UNKNOWN = "unknown"  # it cannot be told here, or was not looked at


class Area(StrEnum):
    """What it is about; failures of the service end with 6, the others with 7."""

    MACHINE = "machine"
    HOME = "home"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`name` is kebab-case and stable; `what` is one sentence; `fix` a command or what to do, "" where nothing is; `profile` of a service."""

    area: Area
    name: str
    level: Level
    what: str
    fix: str = ""
    profile: str | None = None

    @property
    def exit_code(self) -> int:
        """0, or the class of what failed."""
        if self.level is not Level.FAIL:
            return 0
        return _EXIT_CODES[self.area]


_EXIT_CODES: Final = {
    Area.MACHINE: LedgerError.exit_code,
    Area.HOME: LedgerError.exit_code,
    Area.SERVICE: BackendError.exit_code,
}
