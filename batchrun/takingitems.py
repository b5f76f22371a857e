"""The items of one job, block by block: built, added to the submission, their own fields kept; what is wrong with one is noted with its place."""

import contextlib
import dataclasses
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final

from batchrun.baditems import BadItems, from_job_file, in_order
from batchrun.errors import Problem
from batchrun.fieldsfile import fields_in, write_fields
from batchrun.jobfile import Fault, ItemBlock, Problems, read_items
from batchrun.jobfile.choosing import Choice, chosen
from batchrun.jobfile.fulltemplate import ITEM
from batchrun.jobfile.problems import PROBLEMS_KEPT, shown
from batchrun.jobfile.sources import STDIN
from batchrun.ledger.intake import NO_FORMER, Intake
from batchrun.model import JsonObject
from batchrun.requests import BadItem, Request, RequestBuilder

_SPLIT: Final = "Split the item, or raise [limits] of this profile if the service allows more."
_PORTION_BYTES: Final = 4_000_000  # of requests with attachments, held at a time
_index: Final = operator.itemgetter(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """What the user allowed on the command line; see docs/command-line.md. Items beyond a `limit` or a `choice` stay as they are.

    Without `dedupe` equal requests are all asked, whatever the job line says. Not `is_guarded`: into a ledger that knows nothing, where everything is new.
    """

    items: str | None = None
    limit: int | None = None
    choice: Choice | None = None
    reask: bool = False
    new_only: bool = False
    allow_missing: bool = False
    is_guarded: bool = True
    is_dry_run: bool = False
    dedupe: bool = True


def take_items(
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
    """Read, choose, build and add the items of a job, as `prepare.prepare` says; bad ones and repeated ids go to `bad_items`."""
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
        unmet |= fields_in(settings, settings.output.files) - {"id", ITEM}
    for block in in_order(blocks, bad):
        if isinstance(block, Problem):
            if not bad_items.is_numbered(block) and (item := intake.add_bad()) is not None:
                bad_items.number(item, block.path, block.line, block.fields)
                write_fields(fields, [(item, block.fields or {})])
            continue
        note_bad, name_of = reporters(bad_items, block)
        if may_mislead and (misled := _attach_problem(block)) is not None:
            may_mislead = False
            warn(misled)
        if unmet:
            unmet.difference_update(*block.fields)
        plain = builder.build_plain(block.fields)
        if plain is not None and (taken := intake.add_plain(plain)) is not None:
            write_fields(fields, zip(taken, block.fields, strict=True))
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
            write_fields(fields, zip(items, mine, strict=True))
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


def _former_hashes(former: RequestBuilder | None, block: ItemBlock) -> Mapping[int, bytes]:
    if former is None:
        return NO_FORMER
    return {
        index: request.hash
        for index, request in former.build_all(block.fields, lambda _index, _fault: None)
    }


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


def reporters(
    bad_items: BadItems, block: ItemBlock
) -> tuple[Callable[[int, BadItem], None], Callable[[int], str]]:
    """What notes a bad item of the block by its index, and what names one that has no id."""
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
