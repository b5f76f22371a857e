"""From counted requests to ranges of tokens and money. Pure.

Low and expected take the input as the rules count it; worst takes the most that it can be, and every answer as long as it may get. What
answers take is reckoned from those that the job has; where it has none, it is a guess: half of the cap, and of no more than 1,000 tokens.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from batchrun.ledger.answered import Answered
from batchrun.money.counted import Counted, Sums
from batchrun.money.counting import IMAGE_URLS
from batchrun.money.price import Ceiling, Price, Rates

EXPECTED_SHARE: Final = 2  # of a cap: one part in so many
LOW_SHARE: Final = 10


class Spread(NamedTuple):
    """Three figures: of tokens, or of picodollars. None: not known; of `worst`: nothing bounds it."""

    low: int | None
    expected: int | None
    worst: int | None


UNKNOWN: Final = Spread(None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it costs asked in one way. `sources` say which tables its prices are from. `why_not`: why there are no figures, else ""."""

    spread: Spread = UNKNOWN
    sources: tuple[str, ...] = ()
    why_not: str = ""


def output_of(counted: Counted, ceiling: Ceiling, history: Answered | None) -> Spread:
    """Output tokens of all requests."""
    return _output(counted.sums, counted.url, ceiling, history)


def cost_of(counted: Counted, ceiling: Ceiling, history: Answered | None, price: Price) -> Spread:
    """Picodollars of all requests; large ones by the rates that hold for so many input tokens. At worst all input is written to the cache."""
    large = counted.large if price.tiers else []
    rest = Sums()
    rest.add(counted.sums)
    for one in large:
        rest.add(one, -1)
    groups: list[tuple[Sums, Rates, Rates]] = [(rest, price.rates, price.rates)]
    groups += [(one, price.rates_for(one.input), price.dearest(one.input_most)) for one in large]
    parts = []
    for sums, rates, dearest in groups:
        output = _output(sums, counted.url, ceiling, history)
        given = _input_cost(sums.input, sums.image_input, rates)
        most = _input_cost(sums.input_most, sums.image_most, _written(dearest))
        parts.append(
            Spread(
                _with_output(given, output.low, sums.made, rates),
                _with_output(given, output.expected, sums.made, rates),
                _with_output(most, output.worst, sums.made_most, dearest),
            )
        )
    return total(parts)


def total(parts: Iterable[Spread]) -> Spread:
    """Each figure of all of them; unknown where one is."""
    found = list(parts)

    def of(figure: Callable[[Spread], int | None]) -> int | None:
        figures = [figure(part) for part in found]
        known = [n for n in figures if n is not None]
        return sum(known) if len(known) == len(figures) else None

    return Spread(of(lambda s: s.low), of(lambda s: s.expected), of(lambda s: s.worst))


def _output(sums: Sums, url: str, ceiling: Ceiling, history: Answered | None) -> Spread:
    worst: int | None = sums.capped + sums.made_most
    if sums.uncapped:
        longest = ceiling.answer
        worst = None if longest is None else sums.capped + sums.made_most + sums.uncapped * longest
    if not sums.answers:
        return Spread(0, 0, 0)
    if history is not None:
        low, expected = sums.requests * history.low, math.ceil(sums.requests * history.mean)
    elif url in IMAGE_URLS and sums.uncapped:
        return Spread(None, None, worst)
    else:
        low = sums.made + -(-sums.guess // LOW_SHARE)
        expected = sums.made + -(-sums.guess // EXPECTED_SHARE)
    if worst is not None:
        low, expected = min(low, worst), min(expected, worst)
    return Spread(low, expected, worst)


def _input_cost(tokens: int, images: int, rates: Rates) -> int:
    return (tokens - images) * rates.input + images * rates.image_input


def _written(rates: Rates) -> Rates:
    return rates._replace(
        input=max(rates.input, rates.cache_write),
        image_input=max(rates.image_input, rates.cache_write),
    )


def _with_output(spent: int, output: int | None, made: int, rates: Rates) -> int | None:
    if output is None:
        return None
    return spent + (output - made) * rates.output + made * rates.image_output
