"""Text files as a source: one item a file."""

from collections.abc import Iterator
from pathlib import PurePath

from batchrun.jobfile.lines import BOM, UTF16_MARKS
from batchrun.jobfile.problems import Fault, ProblemSink
from batchrun.jobfile.sources.base import ItemBlock, opened
from batchrun.model import ITEM_LINE_LIMIT_BYTES


def read_text(
    path: str, shown_path: str, fixed_part: str, problems: ProblemSink
) -> Iterator[ItemBlock]:
    """One file as the item {id, path, name, text}: the block has exactly one, on line 1.

    `id` is the path under `fixed_part` with forward slashes, `path` the path as given, `name` the last part of it. The text is the
    file's, without a byte order mark and otherwise unchanged. One that is no UTF-8 or over the limit is a bad item, and goes to `problems`.
    Raises Fault where the file cannot be read.
    """
    with opened(path) as stream:
        data = stream.read(ITEM_LINE_LIMIT_BYTES + 1)
    try:
        text = _decoded(data)
    except Fault as fault:
        problems.add(fault.of_item(shown_path))
        return
    pure = PurePath(path)
    item = {
        "id": pure.relative_to(fixed_part).as_posix(),
        "path": shown_path,
        "name": pure.name,
        "text": text,
    }
    yield ItemBlock(path=shown_path, fields=[item], lines=(1,))


def _decoded(data: bytes) -> str:
    if len(data) > ITEM_LINE_LIMIT_BYTES:
        raise Fault(f"a file of more than {ITEM_LINE_LIMIT_BYTES:,} bytes", "Split it.")
    if data.startswith(UTF16_MARKS):
        raise Fault("the file is UTF-16, not UTF-8", "Save it as UTF-8.")
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise Fault(
            f"invalid UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}",
            "Save the file as UTF-8, or narrow the glob to text files.",
        ) from None
