"""The request files that a submission is writing: one a model and kind, and a new one where a line does not fit any more."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from batchrun.customids import custom_id, line_prefix
from batchrun.ledger.attachments import record_attached
from batchrun.ledger.connection import Ledger
from batchrun.ledger.criteria import record_criteria
from batchrun.ledger.requestfiles import FileKind, RequestFileWriter
from batchrun.ledger.states import FileState
from batchrun.model import JobSettings, Limits
from batchrun.requests import Request

_OPEN_MOST: Final = 64  # one per model; a job with more models than this gets smaller files


class OpenFiles:
    """Hands out the writer that a line goes to. Not usable any more after `close` or `abandon`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        job: int,
        submission: int,
        settings: JobSettings,
        limits: Limits,
        canary_items: int | None = None,
    ) -> None:
        """`canary_items`: close the first file of each model when it holds so many requests; `first` are these files."""
        self._ledger, self._job, self._submission = ledger, job, submission
        self._settings, self._limits = settings, limits
        self._open: dict[tuple[str, FileKind], RequestFileWriter] = {}
        self._closed: list[tuple[FileKind, RequestFileWriter]] = []
        self._canary_items = canary_items
        self.first: dict[str, RequestFileWriter] = {}

    def writer(self, model: str, kind: FileKind, *, size: int, inputs: int) -> RequestFileWriter:
        """The file for one more line of `size` bytes and `inputs`. Call inside a transaction; it may be committed and another begun."""
        writer = self._open.get((model, kind))
        # An empty file is never closed for a larger one: what does not fit in it fits nowhere.
        if writer is not None and (
            not writer.request_count or writer.has_room(size=size, inputs=inputs)
        ):
            return writer
        if writer is not None:
            self._close(model, kind)
        elif len(self._open) >= _OPEN_MOST:
            self._close(*next(iter(self._open)))
        is_first = kind == FileKind.RENDERED and model not in self.first
        limits = self._limits
        if self._canary_items is not None and is_first:
            limits = replace(limits, request_count=min(self._canary_items, limits.request_count))
        writer = self._open[model, kind] = RequestFileWriter(
            self._ledger,
            job=self._job,
            submission=self._submission,
            criteria=record_criteria(self._ledger, self._job, self._settings),
            kind=kind,
            endpoint=self._settings.endpoint,
            model=model,
            limits=limits,
        )
        if self._canary_items is not None and is_first:
            self.first[model] = writer
        return writer

    def append(self, request: Request, kind: FileKind, *, item: int, send: int) -> tuple[int, int]:
        """Write one request for attempt `send` of an item; the file, and the offset of what follows the custom_id. In a transaction, as `writer`."""
        line = line_prefix(custom_id(item, send, request.key)) + request.tail + b"\n"
        writer = self.writer(request.model, kind, size=len(line), inputs=request.inputs)
        offset = writer.offset + len(line) - len(request.tail) - 1
        writer.append(line, count=1, inputs=request.inputs, first_item=item, last_item=item)
        if request.attached:
            record_attached(self._ledger, file=writer.id, item=item, contents=request.attached)
        return writer.id, offset

    def rendered(self) -> list[RequestFileWriter]:
        """The files of new and changed items, as far as they are written: each is the input of one batch."""
        return [w for kind, w in self._every() if kind == FileKind.RENDERED and w.request_count]

    def readable(self) -> dict[int, Path]:
        """Where each file can be read, as far as it is written, by its number."""
        return {writer.id: writer.readable() for _, writer in self._every()}

    def _every(self) -> list[tuple[FileKind, RequestFileWriter]]:
        return [*self._closed, *((kind, writer) for (_, kind), writer in self._open.items())]

    def close(self) -> None:
        """Make every file durable under its name; the rows still say `writing`."""
        for model, kind in list(self._open):
            self._close(model, kind)

    @property
    def extent(self) -> tuple[int, int]:
        """How many files there are, and the bytes of all of them."""
        writers = [*self._open.values(), *(writer for _, writer in self._closed)]
        return len(writers), sum(writer.offset for writer in writers)

    def finish(self) -> None:
        """Record what the files hold, inside the caller's transaction: those with something to send are fresh."""
        for kind, writer in self._closed:
            is_fresh = kind == FileKind.RENDERED and writer.request_count > 0
            writer.finish(FileState.FRESH if is_fresh else FileState.USED)

    def abandon(self) -> None:
        """Drop every file."""
        for writer in (*self._open.values(), *(writer for _, writer in self._closed)):
            writer.abandon()

    def _close(self, model: str, kind: FileKind) -> None:
        writer = self._open.pop((model, kind))
        connection = self._ledger.connection
        if connection.in_transaction:
            # Its row first: a name in the spool without a row is another ledger's (aside.py). Nothing of a submission is seen until it is ready.
            connection.execute("commit")
            connection.execute("begin immediate")
        writer.close()
        self._closed.append((kind, writer))
