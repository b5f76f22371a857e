"""One file per answer, in `files/`, named by the template of the job line; `files.jsonl` says which file is whose."""

import itertools
from array import array
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from batchrun.jobfile.template import Template, TemplateError, Where, compile_template
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.model import Json
from batchrun.outputs.disk import FileEntry
from batchrun.outputs.fields import LISTED_COLUMNS, LISTED_JOIN, FieldReader
from batchrun.outputs.indexed import ITEM_FILES, IndexedFile, index_line, mark
from batchrun.outputs.lines import RESULT_JOIN
from batchrun.outputs.names import distinct_name, safe_name
from batchrun.outputs.rows import JobView
from batchrun.outputs.shown import shown_blocks
from batchrun.outputs.values import file_bytes

_SUCCEEDED: Final = int(ItemState.SUCCEEDED)
_decode_fields: Final = msgspec.json.Decoder(dict[str, Any]).decode


def write_item_files(ledger: Ledger, job: JobView) -> FileEntry:
    """Write every answer's file and then the index; returns the index's entry."""
    return ITEM_FILES.write(job.folder, _files(ledger, job))


def item_file_names(ledger: Ledger, job: JobView) -> Iterator[tuple[str, str, bytes | None]]:
    """(id, file name, answer or None) of every item in output order. Names are settled before the first one is handed out."""
    shared = _shared_names(ledger, job)
    for item_id, name, answer in _rendered(ledger, job, with_answers=True):
        yield item_id, distinct_name(name, item_id) if mark(name) in shared else name, answer


def index_lines(ledger: Ledger, job: JobView) -> Iterator[bytes]:
    """The lines of `files.jsonl` as they would be written now; writes nothing."""
    return map(index_line, _files(ledger, job))


def _files(ledger: Ledger, job: JobView) -> Iterator[IndexedFile]:
    """The file of every answer, in output order."""
    for item_id, name, answer in item_file_names(ledger, job):
        if answer is None:
            continue
        content = file_bytes(answer)
        listed = ITEM_FILES.listed(id=item_id, name=name, content=content)
        yield IndexedFile(listed=listed, content=content)


def _rendered(
    ledger: Ledger, job: JobView, *, with_answers: bool
) -> Iterator[tuple[str, str, bytes | None]]:
    template = _template(job)
    reader = None if template.variables <= {"id"} else FieldReader(ledger, job)
    answer = (
        f"case when i.state = {_SUCCEEDED} then cast(r.output as blob) end"
        if with_answers
        else "null"
    )
    columns = f"{LISTED_COLUMNS}, coalesce(i.key, i.name), {answer}"
    joins = f"{LISTED_JOIN} {RESULT_JOIN if with_answers else ''}"
    for rows in shown_blocks(ledger, job, columns, joins=joins):
        for item, is_listed, item_id, output in rows:
            taken = reader.take(item, is_listed=bool(is_listed)) if reader is not None else None
            fields: dict[str, Json] = {} if taken is None else _decode_fields(taken)
            fields["id"] = item_id
            try:
                name = template.render(fields)
            except TemplateError:
                # The answer is paid for and must land somewhere: the id names it where the template cannot.
                name = item_id
            yield item_id, safe_name(name), output


def _template(job: JobView) -> Template:
    text = job.settings.output.files
    assert text is not None
    where = Where(path=job.settings.path, line=job.settings.line, key="output.files")
    return compile_template(text, where=where)


def _shared_names(ledger: Ledger, job: JobView) -> frozenset[int]:
    """Marks of the names that more than one item would take, upper and lower case being one: 8 bytes an item, not its name."""
    marks = array("Q", (mark(name) for _, name, _ in _rendered(ledger, job, with_answers=False)))
    ordered = sorted(marks)
    return frozenset(a for a, b in itertools.pairwise(ordered) if a == b)
