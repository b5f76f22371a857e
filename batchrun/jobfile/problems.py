"""How reading speaks of what is wrong: a `Fault` knows what, the code around it knows where, a `ProblemSink` collects both.

Reading never stops at the first mistake. Everything below the file level raises `Fault`; the loops that know path and line turn it into
a `Problem` and go on. A fault is of its whole source (`at`: there may be more behind it that nobody can see) unless the code that met it
knows that it is of one item (`of_item`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from batchrun.errors import JobFileError, Problem
from batchrun.model import JsonObject

PROBLEMS_KEPT = 1_000  # enough to repair a file by, little enough to hold; the rest is only counted


class Fault(Exception):
    """One thing wrong with a line, a value or a whole source; `what` and `fix` as in `Problem`, without the place."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def at(self, path: str, line: int | None = None) -> Problem:
        """The same with its place, as a problem of the whole source or job."""
        return Problem(path=path, line=line, what=self.what, fix=self.fix)

    def of_item(
        self,
        path: str,
        line: int | None = None,
        key: str | None = None,
        *,
        fields: JsonObject | None = None,
    ) -> Problem:
        """The same with its place, as a problem of the one item there: everything around it was read. `key` and `fields` as in `Problem`."""
        return self.at(path, line)._replace(is_item=True, key=key, fields=fields)


class ProblemSink(Protocol):
    """Takes every problem that reading meets; what it keeps is its own affair."""

    def add(self, problem: Problem) -> None:
        """Count it, and perhaps keep it."""
        ...


@dataclass(slots=True)
class Problems:
    """The sink that counts every problem and keeps the first `most` of items and of sources: a wrong file of a million lines must not fill memory."""

    most: int = PROBLEMS_KEPT
    kept: list[Problem] = field(default_factory=list)
    item_count: int = 0
    source_count: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.item_count + self.source_count

    def add(self, problem: Problem) -> None:
        """Take one more."""
        if problem.is_item:
            self.item_count += 1
            has_room = self.item_count <= self.most
        else:
            self.source_count += 1
            has_room = self.source_count <= self.most
        if has_room:
            self.kept.append(problem)

    def add_all(self, problems: Iterable[Problem]) -> None:
        """Take several."""
        for problem in problems:
            self.add(problem)

    def error(self) -> JobFileError:
        """All of them as one error, in the order of the lines."""
        kept = sorted(self.kept, key=lambda p: (p.path, p.line or 0))
        if self.count > len(kept):
            more = Problem(
                path=kept[0].path, what=f"… and {self.count - len(kept):,} more problems like these"
            )
            kept.append(more)
        return JobFileError(tuple(kept))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.kept)


def os_fault(error: OSError, *, is_job_file: bool = False) -> Fault:
    """A file that cannot be opened or read, as a fault; where paths count from depends on whether it is the job file itself."""
    match error:
        case FileNotFoundError():
            start = "current folder" if is_job_file else "job file"
            return Fault("there is no such file", f"Check the path; it is relative to the {start}.")
        case IsADirectoryError() if is_job_file:
            return Fault("a folder, not a file", "Name the job file in it.")
        case IsADirectoryError():
            return Fault("a folder, not a file", "Name a file, or a glob such as 'folder/*.md'.")
        case PermissionError():
            return Fault("not readable: permission denied", "Check the file's permissions.")
        case _:
            return Fault(f"not readable: {error.strerror or error}")


def shown(path: Path | str) -> str:
    """The path as messages show it: relative to the current folder where it lies below it."""
    given = Path(path)
    try:
        return str(given.relative_to(Path.cwd()))
    except ValueError:
        return str(given)
