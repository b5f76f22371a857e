"""What a batch is billed for: what its answers say that they took, held against the service's own sum for the batch. Pure.

Where the two differ the larger figure is reckoned with, each for itself, so that nobody is told too little.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

from batchrun.model import Json, Usage
from batchrun.money.price import Price, Rates

# Prices have tiers by the input tokens of a whole request. Larger requests than SMALL are therefore summed up apart, by thousands.
SMALL: Final = 16_000
_STEP: Final = 1_000


class Taken(NamedTuple):
    """Tokens of answers of about one size. `size`: thousands of input tokens of each, rounded up; 0: SMALL at most.

    Cached and written are part of input, and reasoning of output. `maybe_written_tokens` are what was not cached, of answers that do not say how
    much of it was written to the cache.
    """

    size: int
    requests: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    maybe_written_tokens: int
    output_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUsage:
    """What the service says that a whole batch took. None: not said."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


def size_of(input_tokens: int) -> int:
    """The `size` of an answer to a request with so many input tokens."""
    return 0 if input_tokens <= SMALL else -(-input_tokens // _STEP)


def service_usage(remote: str | None) -> ServiceUsage | None:
    """The usage in a batch object of the service (JSON); None where there is none, or nothing but zeros, as older services give."""
    try:
        usage = json.loads(remote or "{}").get("usage")
    except (ValueError, AttributeError):
        return None
    given, made = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if given is None or made is None or not given + made:
        return None
    details = _inner(usage, "input_tokens_details")
    return ServiceUsage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=_count(details, "cached_tokens"),
        cache_write_tokens=_count(details, "cache_write_tokens"),
        reasoning_tokens=_count(_inner(usage, "output_tokens_details"), "reasoning_tokens"),
    )


def usage_of(taken: Iterable[Taken]) -> Usage:
    """All of it in one sum; tokens written to the cache as far as answers say it, None where none does."""
    rows = list(taken)
    given = sum(row.input_tokens for row in rows)
    written = sum(row.cache_write_tokens for row in rows)
    is_said = written or (given and not any(row.maybe_written_tokens for row in rows))
    return Usage(
        input_tokens=given,
        cached_tokens=sum(row.cached_tokens for row in rows),
        cache_write_tokens=written if is_said else None,
        output_tokens=sum(row.output_tokens for row in rows),
        reasoning_tokens=sum(row.reasoning_tokens for row in rows),
    )


def billed(items: Usage, service: ServiceUsage | None) -> Usage:
    """The larger of both, component by component; of the input, what was not cached is the dearer component, and of that what was written to the cache."""
    if service is None:
        return items
    cached = items.cached_tokens if service.cached_tokens is None else service.cached_tokens
    given = max(items.input_tokens, service.input_tokens)
    fresh = max(items.input_tokens - items.cached_tokens, service.input_tokens - cached)
    written = [n for n in (items.cache_write_tokens, service.cache_write_tokens) if n is not None]
    return Usage(
        input_tokens=given,
        cached_tokens=given - fresh,
        cache_write_tokens=min(max(written), fresh) if written else None,
        output_tokens=max(items.output_tokens, service.output_tokens),
        reasoning_tokens=max(items.reasoning_tokens, service.reasoning_tokens or 0),
    )


def differences(
    taken: Iterable[Taken], service: ServiceUsage | None
) -> Iterator[tuple[str, int, int]]:
    """Where the two do not agree: (`input_tokens`…, the sum of the answers, the service's figure). What one of them does not say agrees."""
    rows = list(taken)
    if service is None:
        return
    items = usage_of(rows)
    if any(row.maybe_written_tokens for row in rows):
        items = replace(items, cache_write_tokens=None)
    for name in (field.name for field in fields(Usage)):
        said, found = getattr(service, name), getattr(items, name)
        if said is not None and found is not None and said != found:
            yield name, found, said


def cost_of(price: Price, taken: Iterable[Taken], *, is_of_pictures: bool = False) -> int:
    """Picodollars of all answers, each at the rates for its own size; input of which no answer says whether it was written to the cache as if it was, where that is dearer.

    Exact where tiers begin at whole thousands above SMALL, as those of all lists do; else rounded up. `is_of_pictures`: of an endpoint that
    makes pictures, whose tokens are not told from those of text here: each counts as the dearer.
    """
    return sum(_cost(_rates(price, row.size, is_of_pictures), row) for row in taken)


def billed_cost(
    price: Price,
    taken: Iterable[Taken],
    service: ServiceUsage | None,
    *,
    is_of_pictures: bool = False,
) -> int:
    """Picodollars of a batch: `cost_of` its answers, and of what the service counts on top of them, at the dearest rates."""
    rows = list(taken)
    items = usage_of(rows)
    most = billed(items, service)
    every = [price.rates, *(tier.rates for tier in price.tiers)]
    dearest = _rates_at(_dearest(every), is_of_pictures)
    cached = most.cached_tokens - items.cached_tokens
    fresh = most.input_tokens - items.input_tokens - cached
    # What the service does not count as cached costs its full price instead.
    of_cached = (max if cached > 0 else min)(rates.cached_input for rates in every)
    of_fresh, written = dearest.input, 0
    if service is None or service.cache_write_tokens is None:
        of_fresh = max(dearest.input, dearest.cache_write)
    else:
        known = sum(row.cache_write_tokens + row.maybe_written_tokens for row in rows)
        written = max(0, (most.cache_write_tokens or 0) - known)
    return (
        cost_of(price, rows, is_of_pictures=is_of_pictures)
        + fresh * of_fresh
        + written * max(0, *(rates.cache_write - rates.input for rates in every))
        + cached * of_cached
        + (most.output_tokens - items.output_tokens) * dearest.output
    )


def _cost(rates: Rates, row: Taken) -> int:
    written, maybe = row.cache_write_tokens, row.maybe_written_tokens
    return (
        (row.input_tokens - row.cached_tokens - written - maybe) * rates.input
        + row.cached_tokens * rates.cached_input
        + written * rates.cache_write
        + maybe * max(rates.input, rates.cache_write)
        + row.output_tokens * rates.output
    )


def _rates(price: Price, size: int, is_of_pictures: bool) -> Rates:
    if size:
        rates = price.rates_for(size * _STEP)
    else:
        within = (tier.rates for tier in price.tiers if tier.above < SMALL)
        rates = _dearest((price.rates, *within))
    return _rates_at(rates, is_of_pictures)


def _rates_at(rates: Rates, is_of_pictures: bool) -> Rates:
    if not is_of_pictures:
        return rates
    return rates._replace(
        input=max(rates.input, rates.image_input),
        cache_write=max(rates.cache_write, rates.image_input),
        output=max(rates.output, rates.image_output),
    )


def _dearest(rates: Iterable[Rates]) -> Rates:
    return Rates(*map(max, zip(*rates, strict=True)))


def _inner(usage: Json, key: str) -> Json:
    return usage.get(key) if isinstance(usage, dict) else None


def _count(holder: Json, key: str) -> int | None:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if type(value) is int and value >= 0 else None
