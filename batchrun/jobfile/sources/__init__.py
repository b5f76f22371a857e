"""Where items come from: item lines, JSON Lines, tables and text files, chosen by the file's ending; or a query over a database.

One file here for each kind of source. Every reader streams, yields `ItemBlock`s, and reports bad lines as
problems of one item instead of stopping at them; a Fault that it raises is of its file or query as a whole.
"""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

from batchrun.jobfile.problems import Fault, ProblemSink, shown
from batchrun.jobfile.sources.base import BLOCK_COUNT, ItemBlock, opened
from batchrun.jobfile.sources.jsonl import NoItems, read_item_lines, read_jsonl
from batchrun.jobfile.sources.parquet import ENDING as PARQUET
from batchrun.jobfile.sources.parquet import parquet_fault, read_parquet
from batchrun.jobfile.sources.sqlite import ENDINGS as DATABASES
from batchrun.jobfile.sources.sqlite import read_query
from batchrun.jobfile.sources.tables import DELIMITERS, read_table
from batchrun.jobfile.sources.texts import read_text
from batchrun.model import JobSettings, SqliteQuery

__all__ = ["BLOCK_COUNT", "ItemBlock", "read_items", "source_name", "unsupported_source"]

STDIN = "-"  # as `items` names it
STDIN_SHOWN = "<stdin>"  # as messages show it
_ESCAPED = re.compile(r"\[([*?\[])\]")  # what glob.escape makes of the three characters
_JSONL_ENDINGS = frozenset({".jsonl", ".ndjson"})
_NOT_YET = {
    ".gz": Fault("compressed data is not in this version", "Unpack it first."),
    ".zst": Fault("compressed data is not in this version", "Unpack it first."),
}
_NO_QUERY = Fault(
    "a database, and no query that says what of it",
    'Write it into the job line: "items": {"sqlite": path, "query": "select …"}.',
)
_ONE_DOCUMENT = Fault(
    "a .json file is one document, and items come one a line",
    "Convert it: jq -c '.[]' data.json > data.jsonl",
)


def read_items(
    settings: JobSettings,
    problems: ProblemSink,
    *,
    items: str | None = None,
    stdin: BinaryIO | None = None,
    block_count: int = BLOCK_COUNT,
) -> Iterator[ItemBlock]:
    """All items of a job, in order: files of a glob by name, lines as they stand.

    `items` overrides the job's own source: a path or glob relative to the current folder, or "-" for JSON Lines on `stdin`; where the job's
    own is a query and this is a database, the query is asked of it. Lazy; holds about one block. What cannot be read is added to `problems` with its path and line, and reading goes on behind it.
    """
    source = _source(settings.items, items)
    if source is None:
        yield from _read_own_lines(settings, problems, block_count)
    elif isinstance(source, SqliteQuery):
        try:
            path = shown(source.sqlite)
            yield from read_query(source.sqlite, source.query, path, problems, block_count)
        except Fault as fault:
            problems.add(fault.at(path))
    elif source == STDIN and stdin is not None:
        try:
            yield from read_jsonl(stdin, STDIN_SHOWN, problems, block_count)
        except Fault as fault:
            problems.add(fault.at(STDIN_SHOWN))
    else:
        yield from _read_files(os.path.abspath(source), problems, block_count)  # noqa: PTH100 - resolve() would follow links


def unsupported_source(path: str) -> Fault | None:
    """Why data at this path or glob cannot be read by this version; None if it can (or that is not to be told from the name)."""
    ending = PurePath(path).suffix.lower()
    if ending == ".json" and not glob.has_magic(path):
        return _ONE_DOCUMENT
    if ending == PARQUET:
        return parquet_fault()
    if ending in DATABASES:
        return _NO_QUERY
    return _NOT_YET.get(ending)


def source_name(source: str | SqliteQuery) -> str:
    """A source as messages show it."""
    return source if isinstance(source, str) else f"{source.sqlite} by the query"


def _source(own: str | SqliteQuery | None, items: str | None) -> str | SqliteQuery | None:
    if items is None:
        return own
    if isinstance(own, SqliteQuery) and PurePath(items).suffix.lower() in DATABASES:
        return SqliteQuery(sqlite=os.path.abspath(items), query=own.query)  # noqa: PTH100 - as below
    return items


def _read_own_lines(
    settings: JobSettings, problems: ProblemSink, block_count: int
) -> Iterator[ItemBlock]:
    path = shown(settings.path)
    try:
        with opened(settings.path) as stream:
            if settings.is_raw:
                yield from read_jsonl(stream, path, problems, block_count)
            else:
                yield from read_item_lines(stream, path, settings.line, problems, block_count)
    except NoItems:
        no_items = Fault(
            f"job {settings.name!r} has no items",
            'Put item lines under the job line, or give it "items": the path or glob of its data.',
        )
        problems.add(no_items.at(path, settings.line or None))
    except Fault as fault:
        problems.add(fault.at(path))


def _read_files(source: str, problems: ProblemSink, block_count: int) -> Iterator[ItemBlock]:
    """Every file that `source`, an absolute path or glob, stands for. A file that is named exactly so is no glob."""
    if glob.has_magic(source) and not os.path.lexists(source):
        fixed_part = _fixed_part(source)
        paths = sorted(filter(os.path.isfile, glob.glob(source, recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not paths:
            no_match = Fault("no file matches", "Check the glob; it is relative to the job file.")
            problems.add(no_match.at(shown(source)))
    else:
        fixed_part = os.path.dirname(source)  # noqa: PTH120
        paths = [source]
    for path in paths:
        try:
            yield from _read_file(path, fixed_part, problems, block_count)
        except Fault as fault:
            problems.add(fault.at(shown(path)))


def _read_file(
    path: str, fixed_part: str, problems: ProblemSink, block_count: int
) -> Iterator[ItemBlock]:
    ending = PurePath(path).suffix.lower()
    path_shown = shown(path)
    if ending in _NOT_YET:
        raise _NOT_YET[ending]
    if ending in DATABASES:
        raise _NO_QUERY
    if ending in _JSONL_ENDINGS:
        with opened(path) as stream:
            yield from read_jsonl(stream, path_shown, problems, block_count)
    elif ending in DELIMITERS:
        with opened(path) as stream:
            yield from read_table(stream, path_shown, DELIMITERS[ending], problems, block_count)
    elif ending == PARQUET:
        yield from read_parquet(path, path_shown, problems, block_count)
    else:
        yield from read_text(path, path_shown, fixed_part, problems)


def _fixed_part(pattern: str) -> str:
    """The folder above the first part of a glob that is one: `/a/b/*/c.md` -> `/a/b`; `[[]` and the like are no magic."""
    parts = PurePath(pattern).parts
    magic = (index for index, part in enumerate(parts) if glob.has_magic(_ESCAPED.sub("", part)))
    fixed = next(magic, len(parts) - 1)
    return str(PurePath(*(_ESCAPED.sub(r"\1", part) for part in parts[:fixed])))
