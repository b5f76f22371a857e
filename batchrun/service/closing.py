"""The end of a batch: its result files are written, then one transaction makes them and the final status exist.

The ids of the result files follow from the batch's own, so that a process that dies half-way leaves nothing that the next one does not
overwrite with the same.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from batchrun.clock import Clock
from batchrun.service.batches import Batch, move
from batchrun.service.bodies import ident_of
from batchrun.service.course import Course
from batchrun.service.files import insert_file
from batchrun.service.inputs import read_custom_ids
from batchrun.service.lifecycle import Status
from batchrun.service.lines import Lines
from batchrun.service.options import Options
from batchrun.service.results import expired_line
from batchrun.service.store import Store, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    file_id: str
    name: str
    size: int


class Closer:
    """Ends batches. Only the holder of the work lock may call it, with no line of the batch in flight."""

    def __init__(
        self, store: Store, lines: Lines, clock: Clock, options: Options, course: Course
    ) -> None:
        self._store = store
        self._lines = lines
        self._clock = clock
        self._options = options
        self._course = course

    def close(self, batch: Batch, status: Status) -> bool:
        """Write both files (none for a kind without lines) and enter the final status; False if the batch has moved on meanwhile."""
        output = self._write(batch, "output", self._outputs(batch))
        error = self._write(
            batch, "error", self._errors(batch, is_expired=status is Status.EXPIRED)
        )
        with self._store.transaction() as connection:
            now = self._clock.now()
            file_ids = {
                "output_file_id": None if output is None else output.file_id,
                "error_file_id": None if error is None else error.file_id,
            }
            if not move(connection, batch, status, now=now, **file_ids):
                return False
            for written in (output, error):
                if written is not None:
                    insert_file(
                        connection,
                        file_id=written.file_id,
                        filename=written.name,
                        purpose="batch_output",
                        size=written.size,
                        now=now,
                        life_s=batch.output_life_s,
                    )
            connection.execute("UPDATE finished SET answer = NULL WHERE batch = ?", (batch.seq,))
        return True

    def _write(self, batch: Batch, kind: str, lines: Iterator[bytes]) -> _Written | None:
        lines = self._course.lines(batch, kind, lines)
        first = next(lines, None)
        if first is None:
            return None
        file_id = f"file-{ident_of(batch.id, kind)}"
        size = len(first)
        with self._store.writing(file_id) as target:
            target.write(first)
            for line in lines:
                target.write(line)
                size += len(line)
        return _Written(file_id=file_id, name=f"{batch.id}_{kind}.jsonl", size=size)

    def _outputs(self, batch: Batch) -> Iterator[bytes]:
        keys = self._lines.answers(batch.seq, is_success=True)
        if self._options.shuffle_seed is not None:
            random.Random(self._options.shuffle_seed).shuffle(keys)  # noqa: S311 - an order, no secret
        return map(self._lines.answer, keys)

    def _errors(self, batch: Batch, *, is_expired: bool) -> Iterator[bytes]:
        yield from map(self._lines.answer, self._lines.answers(batch.seq, is_success=False))
        if is_expired:
            is_finished = self._lines.finished_of(batch.seq)
            with self._store.open_file(batch.input_file_id) as source:
                for number, custom_id in read_custom_ids(source):
                    if not is_finished(number):
                        yield expired_line(custom_id, line_id=new_id("batch_req_"))
