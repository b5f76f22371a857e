"""One call of the command line: its words, its clock, and how much it tells. Imported by `--help`, hence imports next to nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

    from batchrun.clock import Clock

_ONCE = frozenset({"--fresh"})  # repeated, it would start over once more


class Invocation:
    """`arguments` are the words after `batchrun`; `clock` is another one than the machine's in tests only.

    `goes_on`: the command that goes on where this one was stopped, where repeating it does not.
    """

    def __init__(self, arguments: Sequence[str] = (), clock: "Clock | None" = None) -> None:
        self.arguments = tuple(arguments)
        self.verbosity = 0
        self.goes_on: str | None = None
        self._handler: logging.Handler | None = None
        self._clock = clock

    @property
    def clock(self) -> "Clock":
        """The clock that every command uses."""
        from batchrun.clock import SystemClock

        return self._clock or SystemClock()

    @property
    def is_json(self) -> bool:
        """Known before anything is parsed, so that usage errors are JSON too."""
        return "--json" in self.arguments

    @property
    def command_line(self) -> str:
        """The command that goes on where this one was stopped, ready to paste."""
        if self.goes_on is not None:
            return self.goes_on
        import shlex

        return shlex.join(["batchrun", *(word for word in self.arguments if word not in _ONCE)])

    def log(self, verbosity: int) -> None:
        """Send batchrun's own log lines to stderr: 1 each transition, 2 details. Libraries' logs may hold headers and stay silent."""
        import logging
        import sys
        import time

        self.verbosity = verbosity
        self._handler = handler = logging.StreamHandler(sys.stderr)
        formatter = _safe_formatter()("%(asctime)sZ %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        logger = logging.getLogger("batchrun")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)

    def close(self) -> None:
        """End the logging that this call began."""
        if self._handler is not None:
            import logging

            logging.getLogger("batchrun").removeHandler(self._handler)


def _safe_formatter() -> "type[logging.Formatter]":
    """A service has a say in log lines, too: ids, statuses, reasons."""
    import logging

    from batchrun.cli.printing import safe

    class SafeFormatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return safe(super().format(record))

    return SafeFormatter
