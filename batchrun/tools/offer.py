"""What the command line says of functions: which file has them, and how long one call may take."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from batchrun.tools.worker import CALL_TIMEOUT_S, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsFile:
    """A Python file whose public functions a model may call. It is named by a person, never by a job file: it is run.

    `timeout_s` is for one call.
    """

    path: Path
    timeout_s: float = CALL_TIMEOUT_S

    def open(self, *, hidden: Collection[str] = ()) -> Worker:
        """What runs them; it starts nothing before it is asked, and the caller closes it. `hidden`: variables that the file must not see."""
        return Worker(self.path, timeout_s=self.timeout_s, hidden=hidden)
