"""Reading a job file: its job lines, in one streaming pass that holds no item line.

Items are read later, by `read_items`. This pass proves block by block that the lines between job lines start no job, and looks at the
bytes of item lines only to say where they are in the wrong place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchrun.errors import Problem
from batchrun.jobfile.advice import warnings_of
from batchrun.jobfile.items import RAW_KEYS
from batchrun.jobfile.job import valid_name
from batchrun.jobfile.joblinemodel import ENDPOINTS
from batchrun.jobfile.joblines import is_job_line, may_hold_job_line
from batchrun.jobfile.jsonl import decode_line
from batchrun.jobfile.lines import Block, read_blocks
from batchrun.jobfile.problems import Fault, shown
from batchrun.jobfile.settings import SettingsReader
from batchrun.jobfile.sources.base import opened
from batchrun.jobfile.strict import kind_of
from batchrun.model import JobSettings, JsonObject

# The commonest file that is no JSON Lines: one JSON document over many lines.
_DOCUMENT_STARTS = frozenset({b"{", b"[", b"[{"})
_ONE_DOCUMENT = Fault(
    "JSON over several lines; a job file has one object on each",
    "Rewrite it: jq -c . FILE (for a list, jq -c '.[]' FILE).",
)
# Keys without which nothing can be said of the items, or of what may disappoint.
_STEERING = frozenset({"endpoint", "model", "instructions", "prompt", "id", "attach", "items"})
_WARNED_OF = frozenset({"endpoint", "model", "prompt", "attach", "body", "max_output_tokens"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEntry:
    """One job line. `settings` is None where there are problems; `name` is None where not even that could be read.

    `draft` is then what is left of the line without its problems, to find others in, unless they leave nothing to judge; `reads_items` says
    whether that goes for its items too.
    """

    name: str | None
    settings: JobSettings | None
    draft: JobSettings | None = None
    reads_items: bool = False
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """The jobs of a file in its order; `problems` are those of the file as a whole. With any of them, nothing of the file is sent."""

    path: Path
    jobs: tuple[JobEntry, ...]
    problems: tuple[Problem, ...]


@dataclass(slots=True, kw_only=True)
class _Scan:
    """What one pass over the file saw."""

    first: tuple[int, bytes] | None = None  # the first line that is not blank
    job_lines: list[tuple[int, bytes]] = field(default_factory=list)
    first_items: dict[int, int] = field(default_factory=dict)  # job line -> first line under it


def load(path: Path) -> JobFile:
    """Read the job lines of a file. Raises nothing: whatever is wrong is in the result, all of it, with line numbers."""
    try:
        with opened(str(path), is_job_file=True) as stream:
            scan = _scan(read_blocks(stream))
    except Fault as fault:
        return _broken(path, fault)
    if scan.first is None:
        return _broken(path, Fault("the file is empty", "A job file begins with a job line."))
    first_number, first_line = scan.first
    if first_line.strip() in _DOCUMENT_STARTS:
        return _broken(path, _ONE_DOCUMENT, first_number)
    if not scan.job_lines:
        return _without_job_line(path, first_number, first_line)
    problems = []
    if scan.job_lines[0][0] != first_number:
        homeless = Fault(
            "an item without a job", "Items stand below their job line: move the job line up."
        )
        problems.append(homeless.at(shown(path), first_number))
    return JobFile(path=path, jobs=tuple(_entries(path, scan)), problems=tuple(problems))


def _broken(path: Path, fault: Fault, line: int | None = None) -> JobFile:
    return JobFile(path=path, jobs=(), problems=(fault.at(shown(path), line),))


def _scan(blocks: Iterator[Block]) -> _Scan:
    scan = _Scan()
    for block in blocks:
        if may_hold_job_line(block.data) and not block.is_oversized:
            for number, line in enumerate(block.lines(), block.line):
                if is_job_line(line):
                    scan.first = scan.first or (number, line)
                    scan.job_lines.append((number, line))
                elif line.strip():
                    _note_item(scan, number, line)
        elif scan.first is None or (
            scan.job_lines and scan.job_lines[-1][0] not in scan.first_items
        ):
            for number, line in enumerate(block.lines(), block.line):
                if line.strip():
                    _note_item(scan, number, line)
                    break
    return scan


def _note_item(scan: _Scan, number: int, line: bytes) -> None:
    scan.first = scan.first or (number, line)
    if scan.job_lines:
        scan.first_items.setdefault(scan.job_lines[-1][0], number)


def _entries(path: Path, scan: _Scan) -> Iterator[JobEntry]:
    first_lines: dict[str, int] = {}
    for number, line in scan.job_lines:
        entry = _entry(path, number, line, scan.first_items.get(number))
        if entry.name is not None:
            if entry.name in first_lines:
                fault = Fault(
                    f"duplicate job {entry.name!r} (first on line {first_lines[entry.name]})",
                    "Give each job its own name.",
                )
                entry = replace(
                    entry,
                    settings=None,
                    problems=(*entry.problems, fault.at(shown(path), number)),
                )
            first_lines.setdefault(entry.name or "", number)
        yield entry


def _entry(path: Path, number: int, line: bytes, first_item: int | None) -> JobEntry:
    try:
        decoded = decode_line(line)
    except Fault as fault:
        return JobEntry(name=None, settings=None, problems=(fault.at(shown(path), number),))
    reader = SettingsReader(decoded, path, number)
    settings = reader.read()
    problems = list(reader.problems)
    warnings = warnings_of(settings) if _WARNED_OF.isdisjoint(reader.spoilt) else ()
    is_misplaced = decoded.get("items") is not None and first_item is not None
    if is_misplaced:
        assert first_item is not None
        misplaced = Fault(
            f"an item line under a job that has 'items' (line {number})",
            "Remove the line, or the key 'items'.",
        )
        problems.append(misplaced.at(shown(path), first_item))
    name = decoded["job"]
    return JobEntry(
        name=name if isinstance(name, str) else None,
        settings=None if problems else settings,
        draft=None if "endpoint" in reader.spoilt else settings,
        reads_items=_STEERING.isdisjoint(reader.spoilt) and not is_misplaced,
        problems=tuple(problems),
        warnings=tuple(warning.at(shown(path), number) for warning in warnings),
    )


# --- files without a job line


def _without_job_line(path: Path, number: int, line: bytes) -> JobFile:
    try:
        first = decode_line(line)
    except Fault as fault:
        return _broken(path, fault, number)
    present = [key for key in RAW_KEYS if key in first]
    if len(present) == len(RAW_KEYS):
        return _raw(path, number, first)
    if "custom_id" in present or len(present) > 1:
        missing = ", ".join(repr(key) for key in RAW_KEYS if key not in first)
        return _broken(path, Fault(f"a line of a Batch file without {missing}"), number)
    homeless = Fault(
        "an item without a job",
        'Put a job line above it: {"job": "name", "model": "...", "prompt": "..."}.',
    )
    return _broken(path, homeless, number)


def _raw(path: Path, number: int, first: JsonObject) -> JobFile:
    """A ready Batch file, one job named after the file."""
    endpoint = first["url"]
    if endpoint not in ENDPOINTS:
        what = (
            f"the Batch API has no endpoint {endpoint!r}"
            if isinstance(endpoint, str)
            else f"a 'url' that is {kind_of(endpoint)}"
        )
        return _broken(path, Fault(what, f"It has {', '.join(ENDPOINTS)}."), number)
    name = valid_name(path.stem)
    settings = JobSettings(
        name=name, path=str(path.resolve()), line=0, endpoint=endpoint, is_raw=True
    )
    return JobFile(path=path, jobs=(JobEntry(name=name, settings=settings),), problems=())
