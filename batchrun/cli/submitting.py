"""What `check`, `submit` and `run` say of the jobs that they read."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from batchrun.affording import Affordable
from batchrun.api import Batchrun, Prepared, worst_exit_code
from batchrun.cli.amounts import amount_json
from batchrun.cli.errors import error_json, problem_json, show_error, show_warnings
from batchrun.cli.invocation import Invocation
from batchrun.cli.printing import ask, can_ask, counted, is_terminal
from batchrun.errors import GuardError, UsageError
from batchrun.ledger.submissions import Tally
from batchrun.running.passresult import PassResult
from batchrun.takingitems import SubmitOptions

ASK_ABOVE: Final = 1_000  # items sent without a question
_WORDS: Final = (
    ("new", "{} new"),
    ("changed", "{} changed"),
    ("reasked", "{} of them answered before and paid again"),
    ("superseded", "{} of them in flight, paid and not used"),
    ("kept", "{} keep their answers"),
    ("requeued", "{} queued again"),
    ("returned", "{} back"),
    ("unchanged", "{} unchanged"),
    ("failed", "{} of them failed"),
    ("vanished", "{} gone from the data"),
    ("bad", "{} bad"),
    ("shared", "{} not asked, since others ask the same"),
    ("reused", "{} answered by earlier jobs"),
    ("saved_tokens", "{} tokens saved"),
    ("canary", "{} go first, as a canary"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `submit` and `run`, by the names that they have there."""

    items: str | None = None
    reask: bool = False
    new_only: bool = False
    allow_missing: bool = False
    no_dedupe: bool = False
    replace: bool = False
    fresh: bool = False


def submit_files(
    batchrun: Batchrun,
    files: Sequence[Path],
    wishes: Wishes,
    *,
    yes: bool,
    limit: int | None = None,
    send: bool = True,
) -> tuple[tuple[Prepared, ...], PassResult | None]:
    """Submit with these options, asking where that is due. Raises UsageError for options that do not go together."""
    if wishes.reask and wishes.new_only:
        raise UsageError("--reask and --new-only contradict each other. Keep one.")
    if wishes.fresh and not yes:
        raise UsageError(
            "--fresh asks, and pays for, every item again. Nothing was changed. Add --yes if that is meant."
        )
    questions = _Questions(is_asking=not yes and can_ask())
    submit = partial(
        batchrun.submit,
        files,
        submit_options(wishes, limit=limit),
        replace=wishes.replace,
        fresh=wishes.fresh,
        confirm=questions.confirm,
        stdin=stdin_for(wishes.items),
        send=send,
    )
    first, result = submit()
    if not questions.ask_all():
        return first, result
    second, later = submit()
    done = {_key(job): job for job in first if job.tally is not None}
    return tuple(done.get(_key(job), job) for job in second), later or result


def submit_options(
    wishes: Wishes, *, limit: int | None = None, is_dry_run: bool = False
) -> SubmitOptions:
    """The options as `api` takes them; a path of items is relative to the current folder."""
    items = wishes.items
    return SubmitOptions(
        items=items if items in {None, "-"} else str(Path(str(items)).absolute()),
        limit=limit,
        reask=wishes.reask,
        new_only=wishes.new_only,
        allow_missing=wishes.allow_missing,
        dedupe=not wishes.no_dedupe,
        is_dry_run=is_dry_run,
    )


def stdin_for(items: str | None) -> BinaryIO | None:
    """Standard input where `--items -` asks for it. Raises UsageError where nothing is connected to it."""
    if items != "-":
        return None
    if sys.stdin is None or is_terminal(sys.stdin):
        raise UsageError(
            "--items - reads items from standard input, which is a terminal. Pipe them in."
        )
    return sys.stdin.buffer


class _Questions:
    """The questions before many items are sent: at a terminal only, where somebody can answer.

    Nobody is asked while the home is locked, since a question may stand overnight and every `tick` would wait for its answer: a job that
    needs one is refused at first, asked about when the lock is free, and submitted again.
    """

    def __init__(self, *, is_asking: bool) -> None:
        self._is_asking = is_asking
        self._open: dict[tuple[str, str, str], int] = {}
        self._agreed: dict[tuple[str, str, str], int] = {}

    def confirm(self, prepared: Prepared) -> bool:
        """Whether so many items may be sent without a question, or after one. Raises GuardError where they became more than agreed."""
        tally, key = prepared.tally, _key(prepared)
        assert tally is not None
        count, agreed = tally.asked, self._agreed.get(key)
        if not self._is_asking or count <= max(ASK_ABOVE, agreed or 0):
            return True
        if agreed is not None:
            raise GuardError(
                f"{prepared.job}: {count:,} items would be sent now, and {agreed:,} were agreed to: the data grew meanwhile. "
                "Nothing was sent. Submit again."
            )
        self._open[key] = count
        return False

    def ask_all(self) -> bool:
        """Ask what is to be asked; whether anything was agreed to."""
        for key, count in self._open.items():
            _, job, profile = key
            if ask(f"{job}: send {count:,} items to {profile!r}?"):
                self._agreed[key] = count
        return bool(self._agreed)


def _key(prepared: Prepared) -> tuple[str, str, str]:
    return prepared.path, prepared.job, prepared.profile


def job_line(prepared: Prepared) -> str:
    """`reviews (openai): 36 items: 30 new, 6 unchanged`."""
    assert prepared.tally is not None
    found = [
        words.format(f"{getattr(prepared.tally, name):,}")
        for name, words in _WORDS
        if getattr(prepared.tally, name)
    ]
    items = counted(prepared.tally.items, "item")
    return f"{prepared.job} ({prepared.profile}): {items}" + (
        f": {', '.join(found)}" if found else ""
    )


def job_json(prepared: Prepared) -> dict[str, object]:
    """One job of the documents of `check` and `submit`."""
    tally = prepared.tally
    return {
        "job": prepared.job,
        "profile": prepared.profile or None,
        "path": prepared.path or None,
        "outputs": prepared.outputs or None,
        "items": None if tally is None else tally_json(tally),
        "budget": None if prepared.affordable is None else _budget_json(prepared.affordable),
        "error": None if prepared.error is None else error_json(prepared.error),
        "warnings": [problem_json(warning) for warning in prepared.warnings],
    }


def budget_line(prepared: Prepared) -> str | None:
    """`  may cost up to $3.10 (genai-prices 0.2.3, 2026-11-09); $10.00 a month leaves $7.10`; None where no hard limit is for what is added."""
    return None if prepared.affordable is None else f"  {prepared.affordable.words}"


def _budget_json(found: Affordable) -> dict[str, object]:
    limit = found.limit
    return {
        "worst": None if found.worst is None else amount_json(found.worst),
        "left": None if found.left is None else amount_json(found.left),
        "scope": str(limit.scope),
        "name": limit.name,
        "period": str(limit.period),
        "amount": amount_json(limit.amount),
        "prices": list(found.prices),
        "why_not": found.why_not or None,
    }


def tally_json(tally: Tally) -> dict[str, int]:
    """Items by what the submission found of them."""
    return {"all": tally.items, **{name: getattr(tally, name) for name, _ in _WORDS}}


def show_errors(prepared: Sequence[Prepared], invocation: Invocation) -> int:
    """Warnings and errors of each job, in the order of the file; returns the exit code of all errors together."""
    codes = []
    for job in prepared:
        show_warnings(job.warnings, invocation)
        if job.error is not None:
            codes.append(show_error(job.error, invocation))
    return worst_exit_code(codes)
