"""The items' own fields, kept beside the ledger while a job is prepared, for outputs that join them to the answers."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, Final

import msgspec

from batchrun.jobfile import Where, compile_template
from batchrun.ledger.connection import Ledger
from batchrun.ledger.keptfields import NO_ORDER_LINE, append_kept
from batchrun.ledger.spool import written
from batchrun.ledger.submissions import Submission
from batchrun.model import JobSettings, Json

_encode: Final = msgspec.json.Encoder().encode


@contextlib.contextmanager
def fields_file(
    ledger: Ledger, submission: Submission, settings: JobSettings, *, keep_missing: bool
) -> Iterator[BinaryIO | None]:
    """Where the items' own fields are kept, if the outputs join them: the data may move or change before these are written."""
    names = settings.output.files
    if settings.output.has_table or (names is not None and fields_in(settings, names) - {"id"}):
        known = submission.intake.known
        keeps = keep_missing and not known.is_empty
        with written(ledger.home.fields_file(submission.id)) as file:
            if keeps:
                file.write(NO_ORDER_LINE)
            yield file
            if keeps:
                append_kept(ledger, file, job=submission.job, is_brought=known.is_seen)
    else:
        yield None


def write_fields(
    file: BinaryIO | None, items: Iterable[tuple[int | None, Mapping[str, Json]]]
) -> None:
    """Keep the items' own fields, where the outputs want them; None stands for an item that was not added."""
    if file is not None:
        file.write(
            b"".join(
                b"[%d,%b]\n" % (item, _encode(fields)) for item, fields in items if item is not None
            )
        )


def fields_in(settings: JobSettings, template: str) -> frozenset[str]:
    """The variables of a template of `output`. Raises Fault where it is none."""
    where = Where(path=settings.path, line=settings.line, key="output.files")
    return compile_template(template, where=where).variables
