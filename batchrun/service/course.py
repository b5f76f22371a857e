"""The course of a batch as it should be, and the places where something may come in between: a fault script overrides them.

What is executed is recorded as executed, whatever comes in between.
"""

from collections.abc import Callable, Iterator

from batchrun.model import JsonObject
from batchrun.service.batches import Batch
from batchrun.service.responders.base import Reply


class Course:
    """Nothing comes in between."""

    def stall_s(self, batch: Batch) -> int:  # noqa: ARG002 - for those who override it
        """Seconds by which the batch stays longer in its status than the options say."""
        return 0

    def refusal(self, batch: Batch) -> list[JsonObject] | None:  # noqa: ARG002
        """Entries of `errors.data` for which validation fails whatever the input file holds (none: without a reason); None: it decides."""
        return None

    def answered(self, batch: Batch, custom_id: str, ask: Callable[[], Reply]) -> Reply:  # noqa: ARG002
        """The answer to a line; `ask` gets it from the responder."""
        return ask()

    def lines(self, batch: Batch, kind: str, lines: Iterator[bytes]) -> Iterator[bytes]:  # noqa: ARG002
        """The lines of the result file of a kind (`output`, `error`) as they are written."""
        return lines
