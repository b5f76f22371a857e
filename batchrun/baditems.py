"""Bad items on their way into the ledger: each keeps its place among the others, its fields, and its id where it has one.

What is wrong with an item is met in two places: by the reader of its source, which has no item then or only a part of it, and where its
request is built. Only what the job's `bad_items` allows is numbered: one more ends the submission.
"""

import contextlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchrun.errors import Problem
from batchrun.jobfile import Fault, ItemBlock, Problems
from batchrun.jobfile.sources import STDIN_SHOWN
from batchrun.ledger.publishing import BadRow
from batchrun.model import JobSettings, JsonObject
from batchrun.requests import RequestBuilder


@dataclass(slots=True, kw_only=True)
class BadItems:
    """Those of one submission: what is wrong with each, in `problems`, and the number that it has."""

    builder: RequestBuilder
    problems: Problems
    _numbers: dict[tuple[str, int | None], tuple[int, str | None]] = field(default_factory=dict)

    def key_of(self, fields: JsonObject) -> str | None:
        """The id in these fields, where they have one: it may be what is bad."""
        with contextlib.suppress(Fault):
            return self.builder.id_of(fields)
        return None

    def is_numbered(self, problem: Problem) -> bool:
        """Whether the item that stands there has its number: a row may have two things wrong with it."""
        return (problem.path, problem.line) in self._numbers

    def number(
        self, item: int, path: str, line: int | None, fields: JsonObject | None = None
    ) -> None:
        """The bad item on this line has this number; `fields`, where only its reader had them: its id is in them."""
        key = None if fields is None else self.key_of(fields)
        self._numbers[path, line] = (item, key)

    def rows(self) -> list[BadRow]:
        """All of them, as the ledger keeps them."""
        found: dict[int, BadRow] = {}
        for problem in self.problems.kept:
            item, key = self._numbers[problem.path, problem.line]
            if item not in found:
                found[item] = _row(self.builder.settings, item, problem.key or key, problem)
        return [found[item] for item in sorted(found)]


def in_order(blocks: Iterable[ItemBlock], problems: Problems) -> Iterator[ItemBlock | Problem]:
    """The blocks, and between them what their reader met and reported to `problems`, each where it stands in the data.

    The fields in such a problem are handed on and not kept: the reader may meet any number of them.
    """
    waiting: list[Problem] = []
    reading = iter(blocks)
    while True:
        seen = len(problems.kept)
        block = next(reading, None)
        met = problems.kept[seen:]
        problems.kept[seen:] = [problem._replace(fields=None) for problem in met]
        waiting += [problem for problem in met if problem.is_item]
        if block is None:
            yield from waiting
            return
        if waiting:
            yield from (problem for problem in waiting if problem.path != block.path)
            mine = [problem for problem in waiting if problem.path == block.path]
            mine.sort(key=lambda problem: problem.line or 0)
            waiting.clear()
            start = 0
            for problem in mine:
                end = bisect_left(block.lines, problem.line or 0, start)
                if end == len(block.lines):
                    waiting.append(problem)
                    continue
                if end > start:
                    yield _part(block, start, end)
                    start = end
                yield problem
            block = _part(block, start, len(block.lines))
        yield block


def from_job_file(settings: JobSettings, path: str) -> str:
    """A data file as it names items without id: relative to the job file, whatever the current folder, so that moving both changes nothing."""
    if path == STDIN_SHOWN:
        return path
    return os.path.relpath(Path(path).resolve(), Path(settings.path).parent)


def _part(block: ItemBlock, start: int, end: int) -> ItemBlock:
    return replace(block, fields=block.fields[start:end], lines=block.lines[start:end])


def _row(settings: JobSettings, item: int, key: str | None, problem: Problem) -> BadRow:
    placed = problem._replace(path=from_job_file(settings, problem.path))
    place = placed.path if placed.line is None else f"{placed.path}:{placed.line}"
    return BadRow(item, key, place, "bad_item", str(placed))
