"""Charts as SVG within a page: columns over time, and a bar of a share. They take their colours from the page, and load nothing.

What stands in the shapes themselves is for readers that keep the styles of a page from its drawings, as previews of mail do.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

STYLE: Final = """
.chart { display: block; width: 100%; height: auto; }
.chart text { fill: var(--faint); font: 11px system-ui, sans-serif; }
.chart .axis { stroke: var(--line); stroke-width: 1; }
.fill { fill: var(--fill); } .track { fill: var(--track); }
.fill.warn { fill: var(--warn); } .fill.over { fill: var(--over); }
.bar { display: block; width: 100%; height: .6rem; }
"""
_FILL: Final = "#2f6fde"
_TRACK: Final = "#e9edf2"
_TEXT: Final = ' fill="#5b6470" font-family="sans-serif" font-size="11"'
_WIDTH: Final = 900
_HEIGHT: Final = 220
_TOP: Final = 24
_BOTTOM: Final = 24
_COLUMN_MOST: Final = 60
_LABELS_MOST: Final = 10
_LABEL_WIDTH: Final = 70


def columns_chart(columns: Sequence[tuple[str, int, str]]) -> str:
    """A column for each (name, amount, amount in words); pointing at one shows both. The largest bears its words."""
    most = max((amount for _, amount, _ in columns), default=0)
    step = _WIDTH / max(1, len(columns))
    width = min(_COLUMN_MOST, step * 0.75)
    room = _HEIGHT - _TOP - _BOTTOM
    base = _HEIGHT - _BOTTOM
    every = max(1, -(-len(columns) // min(_LABELS_MOST, _WIDTH // _LABEL_WIDTH)))
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_described(columns)}">'
    ]
    is_told = False
    for n, (name, amount, words) in enumerate(columns):
        middle = step * (n + 0.5)
        height = max(1.0, room * amount / most) if amount > 0 else 0.0
        title = escape(f"{name}: {words}")
        parts.append(
            f'<g><title>{title}</title><rect x="{step * n:.1f}" y="{_TOP}" width="{step:.1f}" height="{room}" fill="none" pointer-events="all"/>'
            f'<rect class="fill" fill="{_FILL}" x="{middle - width / 2:.1f}" y="{base - height:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/></g>'
        )
        if amount == most and most and not is_told:
            is_told = True
            at = min(max(middle, _LABEL_WIDTH / 2), _WIDTH - _LABEL_WIDTH / 2)
            parts.append(
                f'<text x="{at:.1f}" y="{base - height - 6:.1f}" text-anchor="middle"{_TEXT}>{escape(words)}</text>'
            )
        if n % every == 0:
            at = min(max(middle, _LABEL_WIDTH / 2), _WIDTH - _LABEL_WIDTH / 2)
            parts.append(
                f'<text x="{at:.1f}" y="{_HEIGHT - 7}" text-anchor="middle"{_TEXT}>{escape(name)}</text>'
            )
    parts.append(
        f'<line class="axis" stroke="#9aa4b1" x1="0" y1="{base}" x2="{_WIDTH}" y2="{base}"/></svg>'
    )
    return "".join(parts)


def share_bar(part: int, whole: int, kind: str = "") -> str:
    """A bar as long as a share; `kind`: `warn`, `over` or nothing. Of anything but nothing, something is seen."""
    share = 0.0 if whole <= 0 or part <= 0 else max(0.5, min(100.0, 100 * part / whole))
    return (
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" fill="{_TRACK}" width="100" height="6"/><rect class="fill {kind}" fill="{_FILL}" width="{share:.1f}" height="6"/></svg>'
    )


def _described(columns: Sequence[tuple[str, int, str]]) -> str:
    """For those who cannot see it: the span, and the largest."""
    if not columns:
        return "Nothing was spent"
    name, _, words = max(columns, key=lambda column: column[1])
    return escape(
        f"What was spent from {columns[0][0]} to {columns[-1][0]}; the most, {words}, on {name}"
    )
