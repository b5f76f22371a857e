"""`batchrun explain`: the life of one item, for people and as JSON."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_json
from batchrun.clock import rfc3339
from batchrun.ledger.states import ItemEvent

if TYPE_CHECKING:
    from batchrun.outputs.explain import Attempt, Call, Explanation, Step

_SHOWN_CHARACTERS: Final = 4_000  # of a request, an answer or a raw line, where people read


@click.command(short_help="Show the life of one item: request, attempts, answers.")
@click.argument("job")
@click.argument("item")
@shared("home", "backend", "json")
@click.pass_obj
def command(
    invocation: Invocation, *, job: str, item: str, home: str | None, backend: str | None
) -> int:
    """Show the life of ITEM of JOB: the request as it was sent, its attempts, batches and raw result lines, its tokens.

    An item without an id of its own is named FILE:LINE, as in results.jsonl.
    """
    from batchrun.cli.opening import open_batchrun
    from batchrun.outputs.escaping import printable

    found = open_batchrun(invocation, home, backend=backend).explain(job, item)
    if invocation.is_json:
        put_json(found.to_json())
    else:
        put("\n".join(printable(line) for line in _lines(found)))
    return 0


def _lines(found: "Explanation") -> Iterator[str]:
    yield f"item {found.id} of {found.job} ({found.profile}): {found.state}"
    if found.is_vanished:
        yield "  gone from the data: it is in no output"
    if found.not_before is not None:
        yield f"  goes again at {rfc3339(found.not_before)} or later"
    if found.waits_for is not None:
        yield f"  waits for the answer of {found.waits_for}, which asks the same"
    if found.answered_with is not None:
        yield f"  answered with the answer of {found.answered_with}, which asked the same"
    if found.cause is not None:
        yield f"  cause: {found.cause}: {found.message}"
    if found.output is not None:
        yield f"  output: {compact(found.output)}"
    for name, value in found.extras.items():
        yield f"  {name}: {compact(value)}"
    if found.request is not None:
        yield f"request: {compact(found.request)}"
    elif found.request_pruned:
        yield "request: pruned from the spool (batchrun prune); what it asked is known by its hash only"
    if found.waiting_request is not None:
        yield f"changed meanwhile; goes next: {compact(found.waiting_request)}"
    for number, attempt in enumerate(found.attempts, 1):
        yield from _attempt_lines(number, attempt)
        yield from (_call_text(call) for call in found.calls if call.send == attempt.send)
    if found.steps:
        yield "batches:"
        yield from (f"  {_step_text(step)}" for step in found.steps)


def _attempt_lines(number: int, attempt: "Attempt") -> Iterator[str]:
    at = "" if attempt.at is None else f", {rfc3339(attempt.at)}"
    yield f"attempt {number}: {attempt.outcome}{at}"
    remote = "" if attempt.remote_id is None else f", {attempt.remote_id}"
    status = "" if attempt.remote_status is None else f" ({attempt.remote_status})"
    if attempt.outcome == "shared":
        yield f"  not asked: an equal request was, in batch {attempt.batch}{remote}"
        return
    yield f"  batch {attempt.batch}{remote}{status}, custom_id {attempt.custom_id or 'unknown'}"
    if attempt.cause is not None:
        yield f"  cause: {attempt.cause}: {attempt.message}"
    if attempt.model is not None:
        from batchrun.outputs.markdown import cached_words

        used = attempt.usage
        cached = cached_words(used.cached_tokens, used.cache_write_tokens)
        yield (
            f"  model {attempt.model}, finish {attempt.finish}; tokens: {used.input_tokens:,} in "
            f"({cached}), {used.output_tokens:,} out ({used.reasoning_tokens:,} reasoning)"
        )
    if attempt.raw is not None:
        yield f"  raw: {clipped(attempt.raw)}"
    elif attempt.raw_pruned:
        yield "  raw: pruned from the spool (batchrun prune)"


def _call_text(call: "Call") -> str:
    end = "waits for its function" if call.output is None else call.output
    return f"  call {call.call_id}: {call.name}({call.arguments}) -> {end}"


def _step_text(step: "Step") -> str:
    before = f"{step.before} -> " if step.before is not None else ""
    text = f"{rfc3339(step.at)} batch {step.batch}: {step.event} ({before}{step.after or '-'})"
    # Events of a batch count the batch, events of items the items.
    text += f", {step.count:,} items" if step.event in set(ItemEvent) else ""
    return text + (f": {step.detail}" if step.detail else "")


def compact(value: Any) -> str:
    """A value of JSON in one line, cut where it is too long for people."""
    import json

    return clipped(json.dumps(value, ensure_ascii=False))


def clipped(text: str) -> str:
    """An image or a vector is megabytes, and a terminal is no place for them."""
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}… ({len(text):,} characters; --json shows all of them)"
