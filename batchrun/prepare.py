"""PREPARE: a job's items become request files and item rows, streaming, under one submission.

Nothing is sent from here. Every bad line is reported in one go; a job with an error leaves no trace in the ledger. Bad items up to the
job's `bad_items` are none; what is wrong with a whole source always is.
`check` and `--dry-run` are the same code, followed by `abandon`.
"""

import contextlib
import dataclasses
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from batchrun.attachments.attacher import Attacher, forget_bytes
from batchrun.backends.base import AttachMode
from batchrun.baditems import BadItems, from_job_file, in_order
from batchrun.endpoints import endpoint_of
from batchrun.errors import GuardError, JobFileError, Problem
from batchrun.guards import guard
from batchrun.jobfile import Fault, ItemBlock, Problems, Where, compile_template, read_items
from batchrun.jobfile.choosing import Choice, chosen
from batchrun.jobfile.fulltemplate import ITEM
from batchrun.jobfile.problems import PROBLEMS_KEPT, shown
from batchrun.jobfile.sources import STDIN, source_name
from batchrun.ledger.attachments import keep_content
from batchrun.ledger.connection import Ledger
from batchrun.ledger.intake import NO_FORMER, Intake
from batchrun.ledger.keptfields import NO_ORDER_LINE, append_kept
from batchrun.ledger.spool import written
from batchrun.ledger.submissions import Submission, Tally, settings_from_json
from batchrun.memory import without_cycle_collection
from batchrun.model import JobSettings, Json, JsonObject, Limits
from batchrun.requests import BadItem, Request, RequestBuilder

_encode: Final = msgspec.json.Encoder().encode
_SPLIT: Final = "Split the item, or raise [limits] of this profile if the service allows more."
_index: Final = operator.itemgetter(0)
_LOOKED_AT: Final = 100  # items of a job whose line is wrong
_PORTION_BYTES: Final = 4_000_000  # of requests with attachments, held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """What the user allowed on the command line; see docs/command-line.md. Items beyond a `limit` or a `choice` stay as they are.

    Not `is_guarded`: into a ledger that knows nothing, where everything is new.
    """

    items: str | None = None
    limit: int | None = None
    choice: Choice | None = None
    reask: bool = False
    new_only: bool = False
    allow_missing: bool = False
    is_guarded: bool = True
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attaching:
    """Where a job may attach from, beside its own folder, and how attachments will travel."""

    folders: tuple[Path, ...] = ()
    mode: AttachMode = AttachMode.AUTO


_NOWHERE_ELSE: Final = Attaching()


def prepare(
    ledger: Ledger,
    settings: JobSettings,
    *,
    profile: str,
    outputs: str,
    limits: Limits,
    at: int,
    options: SubmitOptions,
    attaching: Attaching = _NOWHERE_ELSE,
    stdin: BinaryIO | None = None,
    agree: Callable[[Tally], bool] = lambda _: True,
    warn: Callable[[Problem], None] = lambda _: None,
    is_kept: bool = True,
    is_fresh: bool = False,
    live_twin: str | None = None,
    met: Callable[[Iterable[int | None]], object] = lambda _: None,
    inspect: Callable[[Submission], object] = lambda _: None,
    problems: Problems | None = None,
    reads_items: bool = True,
) -> Tally:
    """Read, check, render, hash and store one job; returns what it found. Under the home's lock.

    `inspect` is shown the whole submission first, which it may read and not change. `agree` is asked with the tally before anything becomes visible; a no is a GuardError. `warn` is told what is sound in the job line, and
    may disappoint. Raises JobFileError with every problem (exit 5),
    GuardError (exit 8), LedgerError; then nothing of it stays. Nothing stays of a dry run either, nor where `is_kept` is false.
    `problems` of the job line that are known already are told with all others that can be found, those of the first items among them if `reads_items`.
    `met` is told the numbers of the items that the data bring, new and known ones. `live_twin` is the profile that answers a canary that is to be live. `is_fresh` starts over: all items are new, and the job that had the name is archived, in the moment in which this one is ready.
    """
    keeps = is_kept and not options.is_dry_run
    problems = Problems() if problems is None else problems
    attacher = Attacher(
        settings,
        folders=attaching.folders,
        keep=partial(keep_content, ledger.home) if keeps else forget_bytes,
    )
    builder = _checked_builder(settings, attacher, attaching, problems, warn)
    if problems.count:
        if reads_items:
            _look_at_items(settings, attaching, problems, options)
        raise problems.error()
    former = None
    if options.new_only:
        former = _former_builder(ledger, settings, profile, attaching)
    submission = Submission(
        ledger,
        settings,
        profile=profile,
        outputs=outputs,
        limits=limits,
        at=at,
        is_fresh=is_fresh,
        live_twin=live_twin,
    )
    submission.begin(items_from=options.items)
    is_part = options.limit is not None or options.choice is not None
    keep_missing = is_part or settings.missing == "keep"
    try:
        bad = Problems(most=max(settings.bad_items, PROBLEMS_KEPT))
        bad_items = BadItems(builder=builder, problems=bad)
        with (
            ledger.translated(),
            without_cycle_collection(),
            _fields_file(ledger, submission, settings, keep_missing=keep_missing) as fields,
        ):
            _take_items(
                submission.intake,
                builder,
                bad_items,
                options,
                former=former,
                stdin=stdin,
                fields=fields,
                warn=warn,
                met=met,
            )
        submission.intake.count_files()
        if bad.source_count or bad.item_count > settings.bad_items:
            raise bad.error()
        submission.add_bad(bad_items.rows())
        if not submission.intake.tally.items and not bad.count:
            raise JobFileError((_no_items(settings, options),))
        submission.find_vanished()
        submission.foresee_canary()
        if keep_missing:
            submission.intake.tally.vanished = 0
        if options.is_guarded:
            guard(
                settings,
                submission.intake.tally,
                reask=options.reask,
                allow_missing=options.allow_missing,
            )
        inspect(submission)
        if options.is_dry_run or not is_kept:
            submission.abandon()
        elif not agree(submission.intake.tally):
            raise GuardError(f"{settings.name}: not confirmed; nothing was sent.")
        else:
            submission.ready(keep_missing=keep_missing)
    except BaseException:
        submission.abandon()
        raise
    return submission.intake.tally


def _checked_builder(
    settings: JobSettings,
    attacher: Attacher,
    attaching: Attaching,
    problems: Problems,
    warn: Callable[[Problem], None],
) -> RequestBuilder:
    """The builder of a job's requests; what is wrong with the job line goes to `problems`. Raises JobFileError where there can be no builder."""
    place = Problem(path=shown(settings.path), line=settings.line, what="")
    try:
        builder = RequestBuilder(settings, attacher, attaching.mode)
    except JobFileError as error:
        problems.add_all(error.problems)
        raise problems.error() from None
    for what in builder.check():
        problems.add(place._replace(what=what))
    for what in builder.warnings:
        warn(place._replace(what=what))
    return builder


def _look_at_items(
    settings: JobSettings, attaching: Attaching, problems: Problems, options: SubmitOptions
) -> None:
    """What is wrong with the first items of a job whose line is wrong already, so that all of it can be mended at once. Nothing is kept."""
    if options.items == STDIN:
        return
    asked = endpoint_of(settings.endpoint).prompt_key
    body = {key: value for key, value in settings.body.items() if key != asked}
    settings = dataclasses.replace(settings, body=body)
    builder = RequestBuilder(
        settings, Attacher(settings, folders=attaching.folders), attaching.mode
    )
    builder.told = frozenset(builder.check())
    blocks = read_items(settings, problems, items=options.items, block_count=_LOOKED_AT)
    for block in itertools.islice(blocks, 1):
        note_bad, _ = _reporters(BadItems(builder=builder, problems=problems), block)
        for _request in builder.build_all(block.fields, note_bad):
            pass


def _former_builder(
    ledger: Ledger, settings: JobSettings, profile: str, attaching: Attaching
) -> RequestBuilder | None:
    """Builds requests as the job line of the submission before did: so a changed job line can be told from changed data."""
    stored = ledger.value(
        "select settings from jobs where name = ? and profile = ?", (settings.name, profile)
    )
    if stored is None:
        return None
    before = settings_from_json(stored)
    return RequestBuilder(before, Attacher(before, folders=attaching.folders), attaching.mode)


def _former_hashes(former: RequestBuilder | None, block: ItemBlock) -> Mapping[int, bytes]:
    if former is None:
        return NO_FORMER
    return {
        index: request.hash
        for index, request in former.build_all(block.fields, lambda _index, _fault: None)
    }


def _take_items(
    intake: Intake,
    builder: RequestBuilder,
    bad_items: BadItems,
    options: SubmitOptions,
    *,
    former: RequestBuilder | None,
    stdin: BinaryIO | None,
    fields: BinaryIO | None,
    warn: Callable[[Problem], None],
    met: Callable[[Iterable[int | None]], object],
) -> None:
    settings, bad = builder.settings, bad_items.problems
    twice: list[tuple[str, str, int]] = []
    blocks = _first(read_items(settings, bad, items=options.items, stdin=stdin), options.limit)
    if options.choice is not None:
        blocks = chosen(blocks, options.choice, partial(_name_in, bad_items), job=settings.name)
    if options.items == STDIN:
        blocks = _committed(blocks, intake)
    may_mislead = not builder.uses("attach")
    unmet = set[str]()
    if settings.output.files is not None:
        unmet |= _fields_in(settings, settings.output.files) - {"id", ITEM}
    for block in in_order(blocks, bad):
        if isinstance(block, Problem):
            if not bad_items.is_numbered(block) and (item := intake.add_bad()) is not None:
                bad_items.number(item, block.path, block.line, block.fields)
                _write_fields(fields, [(item, block.fields or {})])
            continue
        note_bad, name_of = _reporters(bad_items, block)
        if may_mislead and (misled := _attach_problem(block)) is not None:
            may_mislead = False
            warn(misled)
        if unmet:
            unmet.difference_update(*block.fields)
        plain = builder.build_plain(block.fields)
        if plain is not None and (taken := intake.add_plain(plain)) is not None:
            _write_fields(fields, zip(taken, block.fields, strict=True))
            met(taken)
            continue
        seen, seen_large, seen_bad = (
            len(intake.duplicates),
            len(intake.oversized),
            len(intake.bad),
        )
        hashes = _former_hashes(former, block)
        for requests in _portions(builder, block.fields, note_bad):
            items = intake.add(requests, name_of, hashes)
            mine = (block.fields[index] for index, _ in requests)
            _write_fields(fields, zip(items, mine, strict=True))
            numbered = dict(intake.bad[seen_bad:])
            met(item for item in items if item not in numbered)
            if settings.attach:
                intake.flush()  # the next files take their time, and others must be able to write meanwhile
        twice += [(key, block.path, block.lines[i]) for key, i in intake.duplicates[seen:]]
        for item, i in intake.bad[seen_bad:]:
            bad_items.number(item, block.path, block.lines[i])
        for what, i in intake.oversized[seen_large:]:
            note_bad(i, BadItem("too_large", what, _SPLIT))
        if bad.count + len(twice) > max(settings.bad_items, PROBLEMS_KEPT):
            break  # a thousand problems show what is wrong; the rest would read the same
    for name in sorted(unmet) if intake.tally.items else ():
        fault = Fault(
            f"'output.files' asks for {name!r}, which no item has",
            "Files whose name cannot be made are named by the item's id.",
        )
        warn(fault.at(shown(settings.path), settings.line))
    intake.flush()
    for problem in _duplicate_problems(builder, twice, options):
        bad.add(problem)


def _attach_problem(block: ItemBlock) -> Problem | None:
    """A warning at the first item that has `attach`, as only a job line can: there it is but a field of its data, which nothing uses."""
    index = next((n for n, fields in enumerate(block.fields) if "attach" in fields), None)
    if index is None:
        return None
    fault = Fault(
        "the item has a field 'attach', which attaches nothing",
        'It is data, as any field; "attach": "{{ attach }}" in the job line attaches the file that it names.',
    )
    return fault.at(block.path, block.lines[index])


def _portions(
    builder: RequestBuilder,
    block: list[JsonObject],
    note_bad: Callable[[int, BadItem], None],
) -> Iterator[list[tuple[int, Request | None]]]:
    """The requests of a block in its order, None for the bad items: all at once, but for those with attachments, of which each may be as large
    as a block should be.
    """
    portion: list[tuple[int, Request | None]] = []
    size = 0

    def note(index: int, exc: BadItem) -> None:
        note_bad(index, exc)
        portion.append((index, None))

    if not builder.settings.attach:
        good: list[tuple[int, Request | None]] = list(builder.build_all(block, note))
        yield sorted(good + portion, key=_index) if portion else good
        return
    for index, request in builder.build_all(block, note):
        portion.append((index, request))
        size += len(request.tail)
        if size > _PORTION_BYTES:
            yield portion[:]
            portion.clear()
            size = 0
    yield portion


def _write_fields(
    file: BinaryIO | None, items: Iterable[tuple[int | None, Mapping[str, Json]]]
) -> None:
    """Keep the items' own fields, where the outputs want them; None stands for an item that was not added."""
    if file is not None:
        file.write(
            b"".join(
                b"[%d,%b]\n" % (item, _encode(fields)) for item, fields in items if item is not None
            )
        )


@contextlib.contextmanager
def _fields_file(
    ledger: Ledger, submission: Submission, settings: JobSettings, *, keep_missing: bool
) -> Iterator[BinaryIO | None]:
    """Where the items' own fields are kept, if the outputs join them: the data may move or change before these are written."""
    names = settings.output.files
    if settings.output.has_table or (names is not None and _fields_in(settings, names) - {"id"}):
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


def _fields_in(settings: JobSettings, template: str) -> frozenset[str]:
    where = Where(path=settings.path, line=settings.line, key="output.files")
    return compile_template(template, where=where).variables


def _reporters(
    bad_items: BadItems, block: ItemBlock
) -> tuple[Callable[[int, BadItem], None], Callable[[int], str]]:
    place = from_job_file(bad_items.builder.settings, block.path)

    def note_bad(index: int, exc: BadItem) -> None:
        key = bad_items.key_of(block.fields[index])
        fault = Fault(exc.message, exc.fix)
        bad_items.problems.add(fault.of_item(block.path, block.lines[index], key))

    def name_of(index: int) -> str:
        return f"{place}:{block.lines[index]}"

    return note_bad, name_of


def _name_in(bad_items: BadItems, block: ItemBlock, index: int) -> str:
    """What the outputs call an item of the data."""
    place = from_job_file(bad_items.builder.settings, block.path)
    key = bad_items.key_of(block.fields[index])
    return f"{place}:{block.lines[index]}" if key is None else key


def _committed(blocks: Iterator[ItemBlock], intake: Intake) -> Iterator[ItemBlock]:
    """The blocks of a pipe, whose writer takes its time, each committed before the next is waited for: `cancel` and `retry` must be able to write meanwhile."""
    for block in blocks:
        yield block
        intake.flush()


def _first(blocks: Iterator[ItemBlock], limit: int | None) -> Iterator[ItemBlock]:
    if limit is None:
        yield from blocks
        return
    left = limit
    for block in blocks:
        if left <= 0:
            return
        yield dataclasses.replace(block, fields=block.fields[:left], lines=block.lines[:left])
        left -= len(block.fields)


def _duplicate_problems(
    builder: RequestBuilder, twice: list[tuple[str, str, int]], options: SubmitOptions
) -> Iterator[Problem]:
    """One problem per repeated id. Where it stood first is found by reading once more: no id is held in memory for the good case."""
    wanted = {key for key, _, _ in twice}
    first: dict[str, tuple[str, int]] = {}
    if wanted and options.items != STDIN:
        id_of = builder.id_of
        for block in read_items(builder.settings, Problems(), items=options.items):
            for fields, line in zip(block.fields, block.lines, strict=True):
                with contextlib.suppress(Fault):  # told already
                    if (key := id_of(fields)) in wanted and key is not None:
                        first.setdefault(key, (block.path, line))
            if len(first) == len(wanted):
                break
    for key, path, line in twice:
        where = first.get(key)
        note = ""
        if where is not None:
            note = f" (first on line {where[1]}{'' if where[0] == path else f' of {where[0]}'})"
        yield Fault(f"duplicate id {key!r}{note}", 'Give each item its own "id".').of_item(
            path, line
        )


def _no_items(settings: JobSettings, options: SubmitOptions) -> Problem:
    source = options.items or settings.items
    where = f"in {source_name(source)}" if source else "below its job line"
    return Problem(
        path=shown(settings.path),
        line=settings.line,
        what=f"job {settings.name!r} has no items: nothing was found {where}",
        fix="Add item lines, or point 'items' at a data file.",
    )
