"""The report as one page that a person would send: HTML with its charts drawn in, light and dark, fit to be printed, and nothing that it loads."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from batchrun.clock import rfc3339
from batchrun.ledger.standings import LimitStanding
from batchrun.money.amounts import dollars
from batchrun.money.price import unplaced
from batchrun.outputs.escaping import printable
from batchrun.spending.charts import STYLE as CHARTS
from batchrun.spending.charts import columns_chart, share_bar
from batchrun.spending.report import By, Row, Spending

_ROWS_MOST: Final = 40  # of a breakdown that was not asked for; the rest is one row
_WRITTEN: Final = "written"  # to the cache: shown where there are any
_COLUMNS: Final = (
    *("requests", "prompt", "cached", _WRITTEN, "completion", "reasoning"),
    *("cost", "saved"),
)
_TITLES: Final = {
    By.DAY: "Days",
    By.MONTH: "Months",
    By.JOB: "Jobs",
    By.MODEL: "Models",
    By.PROFILE: "Profiles",
    By.TAG: "Tags",
    By.ACCOUNT: "Accounts",
}
_STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #5b6470; --line: #d9dee4; --fill: #2f6fde; --track: #e9edf2; --warn: #b45309; --over: #b91c1c; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e8eaed; --faint: #9aa4b1; --line: #2e343c; --fill: #6ea0ff; --track: #262c34; --warn: #f0a34a; --over: #ff7b72; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .6rem; }
p { margin: .3rem 0; }
.faint { color: var(--faint); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; padding: 0; list-style: none; }
.tiles li { flex: 1 1 7.5rem; border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.tiles b { display: block; font-size: 1.45rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--faint); font-weight: 600; font-size: .87em; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; padding-left: 0; }
td.share { width: 16%; min-width: 5rem; }
tfoot td { font-weight: 600; border-bottom: 0; }
.limit { margin: .9rem 0; }
.limit p { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; }
.warn { color: var(--warn); } .over { color: var(--over); }
ul.notes { padding-left: 1.1rem; margin: .3rem 0; } .notes li { margin: .2rem 0; overflow-wrap: anywhere; }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --faint: #444; --line: #bbb; --fill: #2f6fde; --track: #e5e5e5; --warn: #7a3a00; --over: #900; }
  body { font-size: 11px; } main { max-width: none; padding: 0; }
  table { font-size: 9px; } th, td { padding: .2rem .25rem; } th:first-child, td:first-child { min-width: 5rem; } .share { display: none; } tfoot { display: table-row-group; }
  svg, .tiles li { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  tr, .limit, .tiles, svg { break-inside: avoid; } h2 { break-after: avoid; } .wide { overflow: visible; }
}
"""


def page(spending: Spending, by: By) -> str:
    """One HTML document. Names of jobs, models and tags are foreign: they are escaped, and what would hide or turn text round is shown."""
    title = f"Spent {spending.span.words}"
    body = "\n".join(_body(spending, by, title))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f'<meta name="robots" content="noindex">\n<title>{_safe(title)}</title>\n'
        f"<style>{_STYLE}{CHARTS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(spending: Spending, by: By, title: str) -> Iterator[str]:
    total = spending.total
    yield f"<h1>{_safe(title)}</h1>"
    yield f'<p class="faint">Days are those of UTC; a batch counts on the day of its end. As of {rfc3339(spending.at)}.</p>'
    yield from _tiles(spending, total)
    for one in spending.unpriced:
        yield f'<p class="warn"><b>No price known:</b> {one.requests:,} requests of {_safe(one.model)} are in no cost.</p>'
    timeline = spending.timeline
    if len(timeline) > 1:
        yield "<section>\n<h2>Over time</h2>"
        yield columns_chart([(name, cost, dollars(cost)) for name, cost in timeline])
        yield "</section>"
    yield from _limits(spending.limits)
    for one_by in dict.fromkeys((by, By.JOB, By.MODEL)):
        yield from _breakdown(spending, one_by, is_whole=one_by is by)
    yield from _about(spending)


def _tiles(spending: Spending, total: Row) -> Iterator[str]:
    usage = total.usage
    tiles = [
        (total.cost_words, "spent"),
        (total.saved_words, "saved against live prices"),
        (f"{total.requests:,}", "requests"),
        (
            f"{usage.input_tokens + usage.output_tokens:,}",
            f"tokens: {usage.input_tokens:,} in, {usage.output_tokens:,} out",
        ),
    ]
    if total.presumed:
        tiles.append((dollars(total.presumed), "presumed: nobody knows whether it was executed"))
    if spending.underway.batches:
        tiles.append(
            (
                dollars(spending.underway.reserved),
                f"reserved for {spending.underway.batches:,} under way",
            )
        )
    yield '<ul class="tiles">'
    for figure, words in tiles:
        yield f'<li><b>{_safe(figure)}</b><span class="faint">{_safe(words)}</span></li>'
    yield "</ul>"


def _limits(limits: Sequence[LimitStanding]) -> Iterator[str]:
    if not limits:
        return
    yield "<section>\n<h2>Limits</h2>"
    for found in limits:
        kind = "over" if found.percent >= 100 else "warn" if found.percent >= 90 else ""
        until = "" if found.ends_at is None else f", until {rfc3339(found.ends_at)}"
        yield (
            f'<div class="limit"><p><span>{_safe(found.limit.words)}</span><span class="{kind}">{found.percent} %</span></p>'
            f"{share_bar(found.percent, 100, kind)}"
            f'<p class="faint"><span>{_safe(found.taken_words)}</span><span>{_safe(found.left_words)}{until}</span></p></div>'
        )
    yield "</section>"


def _breakdown(spending: Spending, by: By, *, is_whole: bool) -> Iterator[str]:
    rows = spending.rows(by)
    if not rows:
        return
    shown = rows if is_whole else rows[:_ROWS_MOST]
    most = max(row.cost for row in rows)
    yield f'<section>\n<h2>{_TITLES[by]}</h2>\n<div class="wide"><table>'
    has_written = bool(spending.total.usage.cache_write_tokens)
    columns = [name for name in _COLUMNS if has_written or name != _WRITTEN]
    headers = "".join(f"<th>{name}</th>" for name in (str(by), *columns))
    yield f'<thead><tr>{headers}<th class="share"></th></tr></thead>\n<tbody>'
    for row in shown:
        cells = _cells(row, has_written=has_written)
        yield f'<tr>{cells}<td class="share">{share_bar(row.cost, most)}</td></tr>'
    yield "</tbody>"
    if len(rows) > 1:
        total = _cells(spending.total, has_written=has_written)
        yield f'<tfoot><tr>{total}<td class="share"></td></tr></tfoot>'
    yield "</table></div>"
    if len(shown) < len(rows):
        yield f'<p class="faint">The {len(shown)} dearest of {len(rows):,}; the total is that of all.</p>'
    yield "</section>"


def _cells(row: Row, *, has_written: bool) -> str:
    usage = row.usage
    figures = (
        row.requests,
        usage.input_tokens,
        usage.cached_tokens,
        *([usage.cache_write_tokens or 0] if has_written else []),
        usage.output_tokens,
        usage.reasoning_tokens,
    )
    cells = (row.name, *(f"{n:,}" for n in figures), row.cost_words, row.saved_words)
    return "".join(f"<td>{_safe(cell)}</td>" for cell in cells)


def _about(spending: Spending) -> Iterator[str]:
    yield '<section>\n<h2>Where the figures come from</h2>\n<ul class="notes">'
    yield (
        "<li>Tokens are those of the service: what its answers say, or where that is more, its own sum of a batch. "
        "Cached ones, and those written to the cache, are part of the prompt; reasoning is part of the completion.</li>"
    )
    for price in spending.prices:
        when = "as it was when they were sent" if price.is_frozen else "as it is today"
        yield f"<li>Prices of {price.requests:,} requests: {_table(price.source)}, {when}.</li>"
    if spending.live_prices:
        yield f"<li>Live prices to compare with: {'; '.join(map(_table, spending.live_prices))}, as they are today.</li>"
    for note in spending.notes:
        yield f"<li>{_safe(note)}.</li>"
    yield "<li>It is what batchrun reckons; the service's own bill is the one that counts.</li>\n</ul>\n</section>"


def _table(source: str) -> str:
    return _safe(unplaced(source))


def _safe(text: str) -> str:
    return escape(printable(text))
