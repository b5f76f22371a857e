"""What the input files of batches ask that are to be adopted: all of them are read, and held against each other and the job, before anything is taken.

It is in a temporary table, on disk where it is large: memory does not grow with the batches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchrun.backends.base import TERMINAL_STATUSES, RemoteBatch
from batchrun.errors import JobFileError, Problem, UsageError
from batchrun.jobfile import Fault, Problems, id_of, load, read_items
from batchrun.ledger.connection import Ledger
from batchrun.ledger.states import ItemState
from batchrun.model import JobSettings
from batchrun.requests import BadItem, RequestBuilder

_TABLE: Final = """
create temp table if not exists brought (key text, n integer, hash blob, primary key (key, n)) without rowid;
delete from brought;
"""
_ITEMS: Final = "brought b join item_rows i on i.job = ? and i.key = b.key"
_ELSEWHERE: Final = "Nothing was adopted. Adopt it into a job of its own: --job NAME."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringing:
    """One batch that is to be adopted. `input`: its input file on this disk; `place`: how messages name that; `is_given`: a person named it."""

    n: int
    remote: RemoteBatch
    input: Path
    place: str
    is_given: bool

    @property
    def runs(self) -> bool:
        """Whether its answers are still to come."""
        return self.remote.status not in TERMINAL_STATUSES


class Brought:
    """The requests of all batches of one adoption, by custom_id."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        ledger.connection.executescript(_TABLE)

    def read(self, one: Bringing) -> JobSettings:
        """Take the requests of a batch; the settings are those of its input file as a ready Batch file. Raises JobFileError, UsageError."""
        found = load(one.input)
        entry = found.jobs[0] if found.jobs else None
        settings = None if entry is None else entry.settings
        if settings is None or not settings.is_raw or settings.name is None:
            raise _placed(found.problems or (entry.problems if entry else ()), one)
        problems, count = Problems(), 0
        builder = RequestBuilder(settings)
        for block in read_items(settings, problems):

            def note_bad(index: int, exc: BadItem, lines: Sequence[int] = block.lines) -> None:
                problems.add(Fault(exc.message, exc.fix).of_item(one.place, lines[index]))

            rows = [(r.key, one.n, r.hash) for _, r in builder.build_all(block.fields, note_bad)]
            if not self._add(rows):
                raise _repeated(settings, one)
            count += len(rows)
            if problems.count > problems.most:
                break
        if problems.count:
            raise _placed(tuple(problems), one)
        self._check_against_batch(one, settings, count)
        return settings

    def _add(self, rows: list[tuple[str | None, int, bytes]]) -> bool:
        """Whether none of these custom_ids was there before."""
        with self._ledger.transaction():
            added = self._ledger.executemany("insert or ignore into brought values (?, ?, ?)", rows)
        return added.rowcount == len(rows)

    def _check_against_batch(self, one: Bringing, settings: JobSettings, count: int) -> None:
        remote = one.remote
        if remote.endpoint not in (None, settings.endpoint):
            raise UsageError(
                f"batch {remote.id} is of {remote.endpoint}, and {one.place} asks {settings.endpoint}. Nothing was adopted. "
                "Name the file that the batch was made of with --input."
            )
        if one.is_given and remote.total_count not in (0, count):
            raise UsageError(
                f"batch {remote.id} has {remote.total_count:,} requests, and {one.place} has {count:,}. Nothing was adopted. "
                "Name the file that the batch was made of with --input."
            )

    def check_answers(self, one: Bringing, custom_ids: Iterable[str]) -> None:
        """That the answers of a batch are to what its input file asks. Raises UsageError."""
        for name in custom_ids:
            known = "select 1 from brought where key = ? and n = ?"
            if not self._ledger.value(known, (name, one.n)):
                raise UsageError(
                    f"batch {one.remote.id} has answered {name!r}, which {one.place} does not ask. Nothing was adopted. "
                    "Name the file that the batch was made of with --input."
                )

    def check_together(self, batches: Sequence[Bringing], job: int | None) -> None:
        """That each custom_id asks one thing, and is asked in one place at a time. Raises JobFileError, UsageError."""
        pair = "from brought a join brought b on b.key = a.key and b.n > a.n"
        found = self._ledger.row(f"select a.key, a.n as n, b.n as m {pair} where a.hash <> b.hash")
        if found is not None:
            what = f"{found['key']!r} asks something else in the batches {batches[found['n']].remote.id} and {batches[found['m']].remote.id}"
            raise _failed(batches[found["m"]].place, what, _ELSEWHERE)
        running = ", ".join(str(one.n) for one in batches if one.runs)
        both = f"where a.n in ({running}) and b.n in ({running}) limit 1"
        found = self._ledger.row(f"select a.key, a.n as n, b.n as m {pair} {both}")
        if found is not None:
            first, second = batches[found["n"]].remote.id, batches[found["m"]].remote.id
            raise UsageError(
                f"the batches {first} and {second} both run, and both ask {found['key']!r}. Nothing was adopted. "
                f"Adopt {first} now, and {second} when {first} has ended."
            )
        if job is not None:
            self._check_against_job(batches, job)

    def _check_against_job(self, batches: Sequence[Bringing], job: int) -> None:
        found = self._ledger.row(
            f"select b.key, b.n from {_ITEMS} where i.hash is not b.hash limit 1", (job,)
        )
        if found is not None:
            one = batches[found["n"]]
            held = self._ledger.value(
                "select b.remote_id from item_rows i join batch_rows b on b.id = coalesce(i.batch, "
                "(select max(batch) from result_rows where item = i.id)) where i.job = ? and i.key = ?",
                (job, found["key"]),
            )
            what = f"{found['key']!r} asks something else in batch {one.remote.id} than the item of that id does"
            raise _failed(one.place, f"{what} (batch {held})" if held else what, _ELSEWHERE)
        found = self._ledger.row(
            f"select b.key, b.n, r.remote_id, r.id from {_ITEMS} join batch_rows r on r.id = i.batch where i.state = ? limit 1",
            (job, ItemState.IN_FLIGHT),
        )
        if found is not None:
            raise UsageError(
                f"{found['key']!r} of batch {batches[found['n']].remote.id} is on its way in batch {found['id']} ({found['remote_id'] or 'not sent yet'}). "
                "Nothing was adopted. Adopt this batch when that one has been collected."
            )

    def open_count(self, one: Bringing, job: int | None) -> int:
        """How many of a batch's requests have no answer in the job yet."""
        return int(
            self._ledger.value(
                "select count(*) from brought b where b.n = ? and not exists "
                "(select 1 from item_rows i where i.job is ? and i.key = b.key and i.state = ?)",
                (one.n, job, ItemState.SUCCEEDED),
            )
        )


def _repeated(settings: JobSettings, one: Bringing) -> JobFileError:
    """The first custom_id that stands twice in an input file, which is read once more: no id is held in memory for the good case."""
    seen: dict[str | None, int] = {}
    key_of = id_of(settings)
    for block in read_items(settings, Problems()):
        for fields, line in zip(block.fields, block.lines, strict=True):
            key = key_of(fields)
            if key in seen:
                fault = Fault(
                    f"{key!r} stands on line {seen[key]} too", "A custom_id must be unique."
                )
                return JobFileError((fault.of_item(one.place, line, key),))
            seen[key] = line
    raise AssertionError("nothing is repeated")


def _failed(place: str, what: str, fix: str) -> JobFileError:
    return JobFileError((Problem(path=place, line=None, what=what, fix=fix),))


def _placed(problems: Sequence[Problem], one: Bringing) -> JobFileError:
    """The problems of an input file, under the name by which people know it."""
    if not problems:
        return _failed(
            one.place, "not the input file of a batch", "Name the file that the batch was made of."
        )
    return JobFileError(tuple(problem._replace(path=one.place) for problem in problems))


def as_settings(settings: JobSettings, one: Bringing) -> JobSettings:
    """The settings with which the items of this batch are read."""
    return replace(settings, path=str(one.input.resolve()), line=0)
