"""What `try` shows: answers on stdout, as they come where somebody watches, and all else on stderr."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from batchrun.api import Batchrun, Prepared, worst_exit_code
from batchrun.cli.errors import error_json, show_error, show_warnings
from batchrun.cli.explain import compact
from batchrun.cli.finishing import goes_on, show_problems
from batchrun.cli.invocation import Invocation
from batchrun.cli.opening import home_option
from batchrun.cli.printing import counted, put, put_part, tell
from batchrun.cli.signals import is_stopping
from batchrun.cli.submitting import job_json, job_line, show_errors
from batchrun.clock import rfc3339
from batchrun.errors import BatchrunError
from batchrun.outputs.explain import Explanation
from batchrun.service.responders.base import Unanswered
from batchrun.trying import TriedItem, TriedJob, Whole


class Screen:
    """Watcher, observer and reader of deltas in one: whatever is shown while it happens.

    Where it `is_watched`, an answer is printed as it comes, below its item's name; else when its item has come to its end.
    """

    def __init__(self, invocation: Invocation, *, is_watched: bool, is_kept: bool) -> None:
        self._invocation = invocation
        self._is_watched = is_watched
        self._is_kept = is_kept
        self._printing = ""  # the custom_id of which the last delta was
        self._is_line_open = False
        self.begun: list[str] = []  # jobs of which something was about to be asked

    def __call__(self, event: str, **facts: object) -> None:
        """A server that wants a pause is no reason to believe that nothing happens."""
        if event == "sleeping" and not self._invocation.is_json:
            tell(f"the server wants nothing before {rfc3339(int(str(facts['until'])))}; waiting")

    def begin(self, prepared: Prepared, live: str, count: int) -> None:
        """Say of which job how many items go where, and what is doubtful about it, before anything is paid."""
        show_warnings(prepared.warnings, self._invocation)
        self.begun.append(_label(prepared))
        if self._invocation.is_json:
            return
        what = counted(count, "item")
        if self._is_kept:
            tell(f"{job_line(prepared)}. Asked live, as {live}:")
        else:
            tell(
                f"{prepared.job} ({prepared.profile}): {what}, asked live as {live}; nothing is kept:"
            )

    def ask(self, life: Explanation) -> None:
        """Its name stands above what is about to come."""
        if self._is_watched:
            put(life.id)
            self._show_request(life)

    def delta(self, custom_id: str, text: str) -> None:
        """What an answer goes on with. After Ctrl-C it goes on no more."""
        if is_stopping():
            if self._is_line_open:
                put("")
            self._is_line_open = False
            raise Unanswered("the answer was stopped half-way.")
        if self._is_line_open and custom_id != self._printing:
            put("")  # the item is asked again
        self._printing = custom_id
        put_part(text)
        self._is_line_open = True

    def show(self, item: TriedItem) -> None:
        """The answer, where it has not been seen; and what is to be said of it."""
        if self._invocation.is_json:
            return
        was_streamed, self._is_line_open = self._is_line_open, False
        if not self._is_watched:
            put(item.life.id)
            self._show_request(item.life)
        if was_streamed:
            put("")
        elif item.is_answered:
            output = item.life.output
            put(output if isinstance(output, str) else compact(output))
        if not item.is_answered:  # whoever reads stdout alone takes nothing for an empty answer
            put(f"[{_failure(item)}]")
        tell("\n".join(f"  {line}" for line in _verdict(item)))
        put("")

    def _show_request(self, life: Explanation) -> None:
        if self._invocation.verbosity:
            tell(f"  request: {compact(life.request)}")


def _failure(item: TriedItem) -> str:
    """Why an item has no answer, in a few words."""
    life = item.life
    if item.is_elsewhere:
        return "in flight in an earlier batch; not asked here"
    if life.cause is not None:
        return f"{'failed' if life.state == 'failed' else 'failed for now'}: {life.cause}"
    if any(call.output is None for call in life.calls):
        return "calls functions: name their file with --tools"
    if item.is_unsent or (life.state == "pending" and not item.is_asked):
        return "not asked"
    return "not answered yet" if life.state == "in_flight" else f"not answered: {life.state}"


def _verdict(item: TriedItem) -> Iterator[str]:
    """What became of an item, in a line or a few."""
    life = item.life
    if item.is_answered:
        yield "ok" if item.is_asked else "answered before; not asked again"
    elif life.cause is None or item.is_elsewhere:
        yield _failure(item)
    else:
        is_over = life.state == "failed"
        yield f"{_failure(item)}: {life.message}"
        yield f"{item.fix}" if is_over else "A run asks it again by itself."
        if item.command is not None and is_over:
            yield item.command
    tokens_in = sum(attempt.usage.input_tokens for attempt in life.attempts)
    tokens_out = sum(attempt.usage.output_tokens for attempt in life.attempts)
    if tokens_in or tokens_out:
        last = life.attempts[-1]
        parts = [f"model {last.model}"] if last.model else []
        parts += [f"finish {last.finish}"] if last.finish else []
        parts.append(f"{counted(tokens_in, 'token')} in, {tokens_out:,} out")
        parts += [f"{len(life.attempts)} requests"] if len(life.attempts) > 1 else []
        yield ", ".join(parts)


def _whole_line(job: TriedJob, whole: Whole) -> str:
    """What all of it would take, as far as anybody can tell."""
    line = f"{job.prepared.job} ({job.prepared.profile}): {'its one item' if whole.items == 1 else f'all {whole.items:,} items'} would take "
    if job.live == job.prepared.profile:  # it sends no batches to anybody
        line += f"{counted(whole.items, 'request')} with {_size(whole.bytes)}"
    else:
        batches = "1 batch" if whole.batches == 1 else f"{whole.batches:,} batches"
        line += f"{batches} with {_size(whole.bytes)} of requests"
    if whole.input_tokens is None:
        return f"{line}; no tokens were counted."
    return (
        f"{line}; about {_rounded(whole.input_tokens)} input and {_rounded(whole.output_tokens or 0)} output tokens, "
        "if the others are like the tried ones."
    )


def _rounded(count: int) -> str:
    """Two digits of it: a guess has no more."""
    return f"{round(count, min(0, 2 - len(str(count)))):,}"


def _size(size: int) -> str:
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:,.1f} {unit}"
    return f"{size:,} bytes"


def _run_line(batchrun: Batchrun, path: str) -> str:
    """The command that asks the rest of a file of the same service, into the same home, with the same functions."""
    words = ["batchrun", "run", path]
    words += ["--backend", batchrun.backend] if batchrun.backend is not None else []
    words += ["--tools", str(batchrun.tools.path)] if batchrun.tools is not None else []
    return shlex.join(words) + home_option(batchrun.home)


def go_on_line(batchrun: Batchrun, labels: Sequence[str]) -> str | None:
    """What brings home the items of these jobs that are in flight; None where none is. A trial never touches an earlier batch."""
    found = [job for job in batchrun.status(labels) if job.counts["in_flight"]] if labels else []
    return "; ".join(goes_on(job, home_option(batchrun.home)) for job in found) or None


def _label(prepared: Prepared) -> str:
    return f"{prepared.job}@{prepared.profile}"


def exit_code(
    batchrun: Batchrun,
    jobs: Sequence[TriedJob],
    problems: Sequence[BatchrunError],
    invocation: Invocation,
    *,
    is_kept: bool,
) -> int:
    """Show what ends the trial, and choose the exit code: 3 where an item has no answer, 4 where an earlier batch still has it."""
    codes = []
    for job in jobs:
        if job.prepared.error is not None:
            codes.append(show_errors([job.prepared], invocation))
            continue
        if job.error is not None:
            codes.append(show_error(job.error, invocation))
        if job.whole is not None and not invocation.is_json:
            tell(_whole_line(job, job.whole))
            if is_kept and job.whole.items > len(job.items):
                tell(f"The others: {_run_line(batchrun, job.prepared.path)}")
        if is_kept and not invocation.is_json:
            under_way = any(item.life.state == "in_flight" for item in job.items)
            line = go_on_line(batchrun, [_label(job.prepared)]) if under_way else None
            if line is not None:
                tell(f"What is in flight: {line}")
        codes += [4 if item.is_elsewhere else 3 for item in job.items if not item.is_answered]
    codes += show_problems(problems, invocation)
    return worst_exit_code(codes)


def mark_ends_told(batchrun: Batchrun, jobs: Sequence[TriedJob]) -> None:
    """Whoever has seen the last answers of a job need not be told by `tick` that it ended."""
    labels = [_label(job.prepared) for job in jobs if job.items]
    if labels:
        batchrun.mark_told([job.id for job in batchrun.status(labels) if not job.is_open])


def told_json(
    batchrun: Batchrun,
    jobs: Sequence[TriedJob],
    problems: Sequence[BatchrunError],
    *,
    is_kept: bool,
    seed: int | None,
) -> dict[str, Any]:
    """The document of `try --json`."""
    return {
        "home": str(batchrun.home.path) if is_kept else None,
        "sample": seed,
        "jobs": [
            {
                **job_json(job.prepared),
                "error": None if job.error is None else error_json(job.error),
                "live": job.live or None,
                "tried": [
                    {
                        **item.life.to_json(),
                        "is_asked": item.is_asked,
                        "fix": item.fix,
                        "command": item.command,
                    }
                    for item in job.items
                ],
                "whole": None if job.whole is None else _whole_json(job.whole),
            }
            for job in jobs
        ],
        "problems": [error_json(problem) for problem in problems],
    }


def _whole_json(whole: Whole) -> dict[str, int | None]:
    return {
        "items": whole.items,
        "batches": whole.batches,
        "bytes": whole.bytes,
        "input_tokens": whole.input_tokens,
        "output_tokens": whole.output_tokens,
    }
