"""Prices kept, as JSON, with what they were reckoned for.

What was reserved at a price is settled at that price, whatever the tables say by then.
"""

import msgspec

from batchrun.money.price import Mode, Price, Rates, Tier


class _Row(msgspec.Struct, frozen=True):
    """Rates by name: the order of a tuple is nothing to keep for years."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    image_input: int
    image_output: int
    audio_input: int
    audio_output: int


class _Tier(msgspec.Struct, frozen=True):
    above: int
    rates: _Row


class _Frozen(msgspec.Struct, frozen=True):
    model: str
    mode: Mode
    table: str
    dated: str
    rates: _Row
    tiers: tuple[_Tier, ...] = ()


def frozen(price: Price) -> str:
    """A price as one line of JSON, with its table and that table's day."""
    kept = _Frozen(
        model=price.model,
        mode=price.mode,
        table=price.table,
        dated=price.dated,
        rates=_Row(*price.rates),
        tiers=tuple(_Tier(tier.above, _Row(*tier.rates)) for tier in price.tiers),
    )
    return msgspec.json.encode(kept).decode()


def thawed(text: str) -> Price:
    """The price that `frozen` was given. Raises msgspec.MsgspecError where it is none."""
    kept = msgspec.json.decode(text, type=_Frozen)
    return Price(
        model=kept.model,
        mode=kept.mode,
        table=kept.table,
        dated=kept.dated,
        rates=_rates(kept.rates),
        tiers=tuple(Tier(tier.above, _rates(tier.rates)) for tier in kept.tiers),
    )


def _rates(row: _Row) -> Rates:
    return Rates(**msgspec.structs.asdict(row))
