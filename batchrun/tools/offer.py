"""What the command line says of functions: which file has them, and how long one call may take."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from batchrun.errors import UsageError
from batchrun.tools.worker import CALL_TIMEOUT_S, LEAST_TIMEOUT_S, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsFile:
    """A Python file whose public functions a model may call. It is named by a person, never by a job file: it is run.

    `timeout_s` is for one call, 1 at least; loading the file may take as long, or 30 s. Raises UsageError for less.
    """

    path: Path
    timeout_s: float = CALL_TIMEOUT_S

    def __post_init__(self) -> None:
        if self.timeout_s < LEAST_TIMEOUT_S:
            raise UsageError(
                f"--tool-timeout: {self.timeout_s:g} s are too short for any function. Give {LEAST_TIMEOUT_S:g}s or more."
            )

    def open(self, *, hidden: Collection[str] = ()) -> Worker:
        """What runs them; it starts nothing before it is asked, and the caller closes it. `hidden`: variables that the file must not see."""
        return Worker(self.path, timeout_s=self.timeout_s, hidden=hidden)
