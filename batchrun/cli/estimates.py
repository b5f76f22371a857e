"""Estimates, as tables for people and as JSON."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from batchrun.cli.amounts import amount_json
from batchrun.cli.printing import counted
from batchrun.cli.submitting import job_json, job_line
from batchrun.estimating.costs import Cost, Spread
from batchrun.estimating.estimate import FREE, Estimate, ModelEstimate, joined
from batchrun.estimating.saving import Saving
from batchrun.money.amounts import dollars
from batchrun.money.price import Mode

_UNKNOWN: Final = "unknown"
_UNBOUNDED: Final = "no bound"


def estimate_text(estimate: Estimate) -> str:
    """One job: what would be asked, its tokens, what that costs in each way, time, and what is not exact."""
    lines = [job_line(estimate.prepared)]
    saved = [*_saved_lines(estimate)]
    if not estimate.requests:
        return "\n".join([*lines, "  nothing would be asked: it costs nothing", *saved])
    models = ", ".join(one.model for one in estimate.models)
    how = counted(estimate.batches, "input file" if estimate.window_s is None else "batch")
    if estimate.window_s is not None and estimate.batches != 1:
        how = f"{estimate.batches:,} batches"
    lines.append(f"  {counted(estimate.requests, 'request')} in {how}, to {models}")
    given = sum(one.input for one in estimate.models)
    most = sum(one.input_most for one in estimate.models)
    encodings = ", ".join(dict.fromkeys(one.counting for one in estimate.models))
    lines.append(f"  input   {given:,} tokens, at most {most:,} ({encodings})")
    if (output := estimate.output) != Spread(0, 0, 0):
        lines.append(
            f"  output  {_tokens(output.low)} low, {_tokens(output.expected)} expected, "
            f"{_tokens(output.worst, _UNBOUNDED)} at worst"
        )
    if estimate.mode is None:
        lines.append(f"  cost    $0.00: it {FREE}. At OpenAI it would be:")
    rows = [("", "LOW", "EXPECTED", "WORST", "PRICES")]
    rows += [_cost_row(str(mode), cost) for mode, cost in estimate.costs.items()]
    lines += _table(rows)
    lines += saved
    if estimate.prepared.affordable is not None:
        lines.append(f"  budget  {estimate.prepared.affordable.words}")
    lines.append(f"  time    {_time(estimate)}")
    if estimate.compared:
        lines += ["", *_comparison(estimate)]
    notes = [*estimate.notes, *(note for one in estimate.models for note in one.notes)]
    lines += [f"  note: {note}" for note in dict.fromkeys(notes)]
    several = len(estimate.models) > 1
    for one in estimate.advice:
        lines.append(f"  advice: {f'{one.model}: ' if several else ''}{one.text}")
    return "\n".join(lines)


def _saved_lines(estimate: Estimate) -> Iterator[str]:
    """What is not asked, since an equal request is or was, and what that saves."""
    if (shared := estimate.shared) is not None:
        what = "equal request is" if shared.requests == 1 else "equal requests are"
        yield f"  saved   {shared.requests:,} {what} asked once: {_saves(estimate, shared)}"
    if (reused := estimate.reused) is not None:
        what = "request was" if reused.requests == 1 else "requests were"
        yield f"  saved   {reused.requests:,} {what} answered by earlier jobs: {_saves(estimate, reused)}"


def _saves(estimate: Estimate, saving: Saving) -> str:
    if estimate.mode is None:
        return "saves time"
    cost = saving.costs[estimate.mode]
    if cost.why_not or cost.spread.expected is None:
        return "saves an amount that is not known"
    return f"saves {dollars(cost.spread.expected, is_down=True)}"


def _comparison(estimate: Estimate) -> list[str]:
    mode = estimate.mode or Mode.BATCH
    rows = [("MODEL", "INPUT", "LOW", "EXPECTED", "WORST", f"PRICES ({mode})")]
    shown = [*(estimate.models if len(estimate.models) == 1 else ()), *estimate.compared]
    for one in shown:
        _, *figures = _cost_row("", one.costs[mode])
        rows.append((one.model, f"{one.input:,}", *figures))
    notes = [f"  note: {note}" for one in estimate.compared for note in one.notes]
    return [*_table(rows), *dict.fromkeys(notes)]


def total_text(estimates: Sequence[Estimate]) -> str:
    """All jobs together, each as its profile asks."""
    cost = _total(estimates)
    _, low, expected, worst, _ = _cost_row("", cost)
    return f"total: {low} low, {expected} expected, {worst} at worst"


def _total(estimates: Sequence[Estimate]) -> Cost:
    asked = [one.costs[one.mode] for one in estimates if one.mode in one.costs]
    return joined(asked) if asked else Cost(spread=Spread(0, 0, 0))


def _cost_row(name: str, cost: Cost) -> tuple[str, str, str, str, str]:
    if cost.why_not:
        return name, _UNKNOWN, _UNKNOWN, _UNKNOWN, "none is known"
    low, expected, worst = cost.spread
    return (
        name,
        _UNKNOWN if low is None else dollars(low),
        _UNKNOWN if expected is None else dollars(expected),
        _UNBOUNDED if worst is None else dollars(worst),
        "; ".join(cost.sources),
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]  # fmt: skip


def _tokens(count: int | None, instead: str = _UNKNOWN) -> str:
    return instead if count is None else f"{count:,}"


def _time(estimate: Estimate) -> str:
    live = f"live about {_span(estimate.live_s)}"
    if estimate.window_s is None:
        return live if estimate.mode is not None else "as long as this machine takes"
    slowest = None if estimate.history is None else estimate.history.slowest_s
    before = f" (its slowest so far took {_span(slowest)})" if slowest else ""
    return f"batch within {_span(estimate.window_s)}{before}; {live}"


def _span(seconds: int) -> str:
    for size, unit in ((3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{math.ceil(seconds / size):,} {unit}"
    return f"{seconds:,} s"


def estimate_json(estimate: Estimate) -> dict[str, object]:
    """One job of `estimate --json`; amounts are picodollars, and dollars as text."""
    history = estimate.history
    return {
        **job_json(estimate.prepared),
        "mode": estimate.mode,
        "requests": estimate.requests,
        "batches": estimate.batches,
        "models": [_model_json(one) for one in estimate.models],
        "costs": _costs_json(estimate.costs),
        "shared": _saving_json(estimate.shared),
        "reused": _saving_json(estimate.reused),
        "compared": [_model_json(one) for one in estimate.compared],
        "answers": None if history is None else history.answers,
        "window_s": estimate.window_s,
        "slowest_batch_s": None if history is None else history.slowest_s,
        "live_s": estimate.live_s,
        "notes": list(estimate.notes),
        "advice": [
            {
                "topic": one.topic,
                "model": one.model,
                "text": one.text,
                "tokens": one.tokens,
                "saves": _amount(one.saves),
            }
            for one in estimate.advice
        ],
    }


def total_json(estimates: Sequence[Estimate]) -> dict[str, object]:
    """All jobs together, each as its profile asks."""
    return _cost_json(_total(estimates))


def _saving_json(saving: Saving | None) -> dict[str, object] | None:
    if saving is None:
        return None
    return {"requests": saving.requests, "costs": _costs_json(saving.costs)}


def _model_json(one: ModelEstimate) -> dict[str, object]:
    return {
        "model": one.model,
        "requests": one.requests,
        "counted_with": one.counting,
        "input_tokens": {"expected": one.input, "at_most": one.input_most},
        "output_tokens": one.output._asdict(),
        "costs": _costs_json(one.costs),
        "notes": list(one.notes),
    }


def _costs_json(costs: dict[Mode, Cost]) -> dict[str, object]:
    return {str(mode): _cost_json(cost) for mode, cost in costs.items()}


def _cost_json(cost: Cost) -> dict[str, object]:
    figures = {name: _amount(value) for name, value in cost.spread._asdict().items()}
    return {**figures, "prices": list(cost.sources), "why_not": cost.why_not or None}


def _amount(amount: int | None) -> dict[str, object] | None:
    return None if amount is None else amount_json(amount)
