"""PREPARE: a job's items become request files and item rows, streaming, under one submission.

Nothing is sent from here. Every bad line is reported in one go; a job with an error leaves no trace in the ledger. Bad items up to the
job's `bad_items` are none; what is wrong with a whole source always is.
`check` and `--dry-run` are the same code, followed by `abandon`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from batchrun.attachments.attacher import Attacher, forget_bytes
from batchrun.backends.base import AttachMode
from batchrun.baditems import BadItems
from batchrun.endpoints import endpoint_of
from batchrun.errors import GuardError, JobFileError, Problem
from batchrun.fieldsfile import fields_file
from batchrun.guards import guard
from batchrun.jobfile import Problems, read_items
from batchrun.jobfile.problems import PROBLEMS_KEPT, shown
from batchrun.jobfile.sources import STDIN, source_name
from batchrun.ledger.attachments import keep_content
from batchrun.ledger.connection import Ledger
from batchrun.ledger.equals import shares
from batchrun.ledger.submissions import Submission, Tally, settings_from_json
from batchrun.memory import without_cycle_collection
from batchrun.model import JobSettings, Limits
from batchrun.requests import RequestBuilder
from batchrun.takingitems import SubmitOptions, reporters, take_items

_LOOKED_AT: Final = 100  # items of a job whose line is wrong


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
    in_process: frozenset[str] = frozenset(),
    servers: Collection[str] = (),
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
    `met` is told the numbers of the items that the data bring, new and known ones. `live_twin` is the profile that answers a canary that is to be live; `in_process` are those whose lines run in our own passes. `servers`: the addresses that `profile` stands for. `is_fresh` starts over: all items are new, and the job that had the name is archived, in the moment in which this one is ready.
    """
    keeps = is_kept and not options.is_dry_run
    if not options.dedupe:
        settings = dataclasses.replace(settings, dedupe=False)
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
        in_process=in_process,
        servers=servers,
        is_shared=shares(settings, names_fields=builder.names_fields),
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
            fields_file(ledger, submission, settings, keep_missing=keep_missing) as fields,
        ):
            take_items(
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
        submission.find_equal()
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
        note_bad, _ = reporters(BadItems(builder=builder, problems=problems), block)
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


def _no_items(settings: JobSettings, options: SubmitOptions) -> Problem:
    source = options.items or settings.items
    where = f"in {source_name(source)}" if source else "below its job line"
    return Problem(
        path=shown(settings.path),
        line=settings.line,
        what=f"job {settings.name!r} has no items: nothing was found {where}",
        fix="Add item lines, or point 'items' at a data file.",
    )
