"""What was spent, as a table with bars for people."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from batchrun.cli.printing import counted, is_terminal
from batchrun.clock import rfc3339
from batchrun.ledger.standings import LimitStanding
from batchrun.money.amounts import dollars
from batchrun.outputs.escaping import printable
from batchrun.spending.report import By, Row, Spending

_BAR: Final = 20  # characters of a whole one
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_PLAIN: Final = "."
_SPARK_WORDS: Final = (
    28  # characters of its line beside the blocks: `2026-11-01 to 2026-11-21`, and what is before
)
_INDENT: Final = " " * 11
_WRAPPED_LEAST: Final = 40


class Terminal(NamedTuple):
    """Where the text goes: `width` in characters (None: it may be as wide as it likes), and whether it can show block characters."""

    width: int | None
    has_blocks: bool


def terminal() -> Terminal:
    """Our own stdout."""
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    try:
        _SPARKS.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return Terminal(width, has_blocks=False)
    return Terminal(width, has_blocks=True)


def spending_text(spending: Spending, by: By, where: Terminal) -> str:
    """The whole report: sum, timeline, rows, limits, what has no price, where the prices are from."""
    total = spending.total
    lines = [
        f"spent {spending.span.words} (UTC): {total.cost_words} for {counted(total.requests, 'request')}"
    ]
    if total.saved or total.cost:
        lines[0] += f", {_saved(total)} against live prices"
    timeline = spending.timeline
    if where.width is not None:
        timeline = timeline[-max(1, where.width - _SPARK_WORDS) :]
    costs = [cost for _, cost in timeline]
    if any(costs) and len(costs) > 1:
        lines.append(f"  {spark(costs, where.has_blocks)}  {timeline[0][0]} to {timeline[-1][0]}")
    rows = spending.rows(by)
    if rows:
        lines += ["", *_table(by, rows, total, where)]
    if spending.limits:
        lines += ["", "limits:"]
        for limit in spending.limits:
            lines += _limit(limit, where)
    lines += ["", *(part for line in _foot(spending, by) for part in _wrapped(line, where))]
    return "\n".join(lines).rstrip("\n")


def _foot(spending: Spending, by: By) -> Iterator[str]:
    way = spending.underway
    if way.batches:
        unbilled = f"; of {way.unbilled:,} of them nothing is reserved" if way.unbilled else ""
        yield f"under way: {way.batches:,} {'batch' if way.batches == 1 else 'batches'}, {dollars(way.reserved)} reserved{unbilled}"
    if spending.total.presumed:
        yield f"presumed:  {dollars(spending.total.presumed)} for requests of which nobody knows whether they were executed"
    for one in spending.unpriced:
        yield f"no price:  {counted(one.requests, 'request')} of {one.model!r} are in no cost: {one.why_not}"
    for price in spending.prices:
        if not price.requests:
            continue
        when = "as it was when they were sent" if price.is_frozen else "as it is today"
        yield f"prices:    {price.source} ({counted(price.requests, 'request')}, {when})"
    if spending.live_prices and spending.total.saved:
        yield f"live:      {'; '.join(spending.live_prices)}, as it is today"
    for note in spending.notes:
        yield f"note: {note}"
    if by is By.TAG and any(len(spent.tags) > 1 for spent in spending.batches):
        yield "note: what has several tags is in each of their rows, and once in the total"


def _wrapped(line: str, where: Terminal) -> list[str]:
    if where.width is None or len(line) <= where.width:
        return [line]
    width = max(where.width, _WRAPPED_LEAST)
    return textwrap.wrap(
        line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )


def spark(values: Sequence[int], has_blocks: bool) -> str:
    """A line of blocks, one a value; the largest is the highest, and only nothing is a dot."""
    most = max(values, default=0) or 1
    marks = _SPARKS if has_blocks else "_-=#"
    return "".join(
        marks[min(len(marks) - 1, value * len(marks) // most)] if value else _PLAIN
        for value in values
    )


def bar(value: int, most: int, has_blocks: bool, width: int = _BAR) -> str:
    """A bar as long as its share of `most`; of anything but nothing, something is seen."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, min(value, most) * width * 8 // most)
    if not has_blocks:
        return "#" * max(1, eighths // 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


# Names of columns, and in which order they are left out where a terminal is too narrow for all of them.
_DROPPED: Final = (
    "",
    "REASONING",
    "WRITTEN",
    "CACHED",
    "SAVED",
    "COMPLETION",
    "PRESUMED",
    "PROMPT",
    "REQUESTS",
)


def _table(by: By, rows: Sequence[Row], total: Row, where: Terminal) -> Iterator[str]:
    most = max(row.cost for row in rows)
    cells = [
        {by.upper(): printable(row.name), **_cells(row), "": bar(row.cost, most, where.has_blocks)}
        for row in rows
    ]
    if len(rows) > 1:
        cells.append({by.upper(): "total", **_cells(total), "": ""})
    shown = {"PRESUMED": total.presumed, "WRITTEN": total.usage.cache_write_tokens}
    left_out = [name for name, amount in shown.items() if not amount]
    names = [name for name in cells[0] if name not in left_out]
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in names}
    dropped = []
    for name in _DROPPED:
        if where.width is None or sum(widths[n] + 2 for n in names) <= where.width:
            break
        if name in names:
            names.remove(name)
            dropped += [name.lower()] if name else []
    header = {name: name for name in names}
    for row in (header, *cells):
        yield "  ".join(
            _aligned(row[name], widths[name], is_left=name in {by.upper(), ""}) for name in names
        ).rstrip()
    if dropped:
        yield f"(no room here for {', '.join(dropped)}: --csv has all)"


def _aligned(text: str, width: int, *, is_left: bool) -> str:
    return text.ljust(width) if is_left else text.rjust(width)


def _cells(row: Row) -> dict[str, str]:
    usage = row.usage
    return {
        "REQUESTS": f"{row.requests:,}",
        "PROMPT": f"{usage.input_tokens:,}",
        "CACHED": f"{usage.cached_tokens:,}",
        "WRITTEN": f"{usage.cache_write_tokens or 0:,}",
        "COMPLETION": f"{usage.output_tokens:,}",
        "REASONING": f"{usage.reasoning_tokens:,}",
        "PRESUMED": dollars(row.presumed),
        "COST": row.cost_words,
        "SAVED": row.saved_words,
    }


def _saved(row: Row) -> str:
    return f"saved {row.saved_words}" if row.saved >= 0 else f"{dollars(-row.saved)} more"


def _limit(found: LimitStanding, where: Terminal) -> Iterator[str]:
    limit, stands = found.limit, found.standing
    gone = stands.spent + stands.presumed
    share = bar(gone, limit.amount or 1, where.has_blocks).ljust(_BAR)
    until = "" if found.ends_at is None else f" until {rfc3339(found.ends_at)}"
    first, rest = f"  {found.percent:>3} %  [{share}]", f"{limit.words}: {found.left_words}{until}"
    if where.width is None or len(first) + 1 + len(rest) <= where.width:
        yield f"{first} {rest}"
    else:
        yield first
        yield from _wrapped(f"         {rest}", where)
    yield f"         {found.taken_words}"
