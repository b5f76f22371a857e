"""What a token costs: rates by model and by the way of asking, as integers of picodollars a token.

Three tables are asked, in this order: the user's own (`[price."MODEL"]` in `batchrun.toml`), genai-prices, and a small dated file of ours for
what that lacks. A price that none of them knows is an error and never zero; so is a rate that a table only makes up: genai-prices gives the
live rate where it knows none for batch or flex.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from batchrun.backends.credentials import is_loopback
from batchrun.errors import UnknownPrice
from batchrun.money.amounts import picodollars_a_token
from batchrun.money.price import Ceiling, Mode, Price, Rates, Tier
from batchrun.money.pricetables import (
    Entry,
    RateCard,
    RateRow,
    answers_nothing,
    builtin_entries,
    entry_of,
)
from batchrun.money.regions import is_regional, percent_more

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

OPENAI_URL: Final = "https://api.openai.com/v1"
OUR_TABLE: Final = "batchrun's own price list"
_OPENAI: Final = "openai"


# What every answer of a model may cost besides its tokens, in genai-prices' words: no price a token tells that.
_BESIDE_TOKENS: Final = ("requests_kcount", "output_citation_mtok")
# In genai-prices' words.
_CONTEXTS: Final[Mapping[Mode, dict[str, str]]] = {
    Mode.BATCH: {"processing": "batch"},
    Mode.FLEX: {"service_tier": "flex"},
    Mode.LIVE: {},
    Mode.PRIORITY: {"service_tier": "priority"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """Looks prices up. `own` are the user's tables, by model or by a beginning that ends in `*`; `path` is the file that they are in."""

    own: Mapping[str, Entry] = field(default_factory=dict)
    path: str = "batchrun.toml"

    def price(self, model: str, mode: Mode, *, base_url: str, at: int) -> Price:
        """The price at a server, at a moment (unix seconds). Raises UnknownPrice, which says how to give one.

        A server on this machine is taken for a way to OpenAI: its prices hold unless the user gives others, whose prices are as he gives
        them for hosts of a region too.
        """
        own = entry_of(self.own, model)
        if own is not None and mode in own.cards:
            return _price(model, mode, own.cards[mode], self.path, own.dated)
        provider = _provider_url(base_url)
        listed = _listed(model, provider)
        if listed is not None and (found := listed.price(mode, at)) is not None:
            return replace(found, model=model).raised(percent_more(model, base_url))
        ours = entry_of(builtin_entries(), model) if provider == OPENAI_URL else None
        if ours is not None and mode in ours.cards:
            found = _price(model, mode, ours.cards[mode], OUR_TABLE, ours.dated)
            return found.raised(percent_more(model, base_url))
        raise self._unknown(model, mode, base_url, is_listed=listed is not None)

    def names(self, model: str, *, base_url: str) -> bool:
        """Whether a table has a model of just this name, and not only one that it is taken for."""
        listed = _listed(model, _provider_url(base_url))
        return model in self.own or (listed is not None and listed.model.id == model)

    def ceiling(self, model: str, *, base_url: str) -> Ceiling:
        """What bounds an answer of this model where nothing else does."""
        own = entry_of(self.own, model) or Entry()
        ours = entry_of(builtin_entries(), model) or Entry()
        listed = _listed(model, _provider_url(base_url))
        context = None if listed is None else listed.model.context_window
        return Ceiling(
            output_tokens=own.max_output_tokens or ours.max_output_tokens,
            context_tokens=own.context_tokens or context or ours.context_tokens,
        )

    def _unknown(self, model: str, mode: Mode, base_url: str, *, is_listed: bool) -> UnknownPrice:
        where = "" if is_listed else f" at {urlsplit(base_url).netloc}"
        why = f"no {mode} price of {model!r}{where} is known"
        table = f'[price."{model}"]' if mode is Mode.LIVE else f'[price."{model}".{mode}]'
        return UnknownPrice(
            f"{why}. Give it in {self.path}, in dollars a million tokens: {table} input = …, output = ….",
            model=model,
            mode=mode,
        )


def _provider_url(base_url: str) -> str:
    """The address that the list of providers knows: OpenAI's own for its regions, and for a server on this machine."""
    if not base_url or is_loopback(base_url) or is_regional(base_url):
        return OPENAI_URL
    return base_url


class _Listed(NamedTuple):
    """A model as genai-prices has it, with the name of the list."""

    model: "ModelInfo"
    name: str

    def price(self, mode: Mode, at: int) -> Price | None:
        """None where the list has no rates of its own for this mode."""
        # Rates that hold by now count for older moments too: what is reckoned is what will be paid.
        checked = datetime.combine(date.fromisoformat(_checked()), time(), UTC)
        moment = max(datetime.fromtimestamp(at, UTC), checked)
        live = self.model.get_prices(moment)
        prices = self.model.get_prices(moment, _CONTEXTS[mode])
        if mode is not Mode.LIVE and (prices.input_mtok, prices.output_mtok) == (
            live.input_mtok,
            live.output_mtok,
        ):
            return None
        row = _row(prices, above=None)
        if row is None or any(getattr(prices, name, None) for name in _BESIDE_TOKENS):
            return None
        values = vars(prices).values()
        starts = {tier.start for value in values for tier in getattr(value, "tiers", ())}
        tiers = ((start, _row(prices, start)) for start in sorted(starts))
        card = RateCard(row, tuple((start, tier) for start, tier in tiers if tier is not None))
        dated = max(day for day in _days() if day <= str(moment.date()))
        return _price(self.model.id, mode, card, self.name, dated)


@cache
def _listed(model: str, provider_url: str) -> _Listed | None:
    """The model at this provider; None where the list has none of the two."""
    from genai_prices import Usage as ListUsage
    from genai_prices import __version__, calc_price

    try:
        found = calc_price(ListUsage(input_tokens=1), model, provider_api_url=provider_url)
    except LookupError:
        return None
    name = f"genai-prices {__version__}"
    if found.provider.id != _OPENAI:
        name += f" ({found.provider.name})"
    return _Listed(found.model, name)


@cache
def _checked() -> str:
    """The day on which our own list was held against the other."""
    return max(entry.dated for entry in builtin_entries().values())


@cache
def _days() -> frozenset[str]:
    """Every day from which on rates of genai-prices hold: the last of them that has come is the day of the list."""
    from genai_prices.data_snapshot import get_snapshot

    return frozenset(
        str(constraint.start_date)
        for provider in get_snapshot().providers
        for model in provider.models
        for priced in (
            *(model.price_variants or ()),
            *(model.prices if isinstance(model.prices, list) else ()),
        )
        if (constraint := priced.constraint) is not None and hasattr(constraint, "start_date")
    )


def _row(prices: "ModelPrice", above: int | None) -> RateRow | None:
    """The rates of requests in a tier, None: in none. A list that has no price of input, or 0, does not know it."""

    def rate(key: str) -> Decimal | None:
        value = getattr(prices, key)
        if value is None or isinstance(value, Decimal):
            return value
        found: Decimal = value.base
        for tier in value.tiers:
            if above is not None and tier.start <= above:
                found = tier.price
        return found

    row = RateRow(
        input=rate("input_mtok"),
        output=rate("output_mtok"),
        cached_input=rate("cache_read_mtok"),
        cache_write=rate("cache_write_mtok"),
        image_input=rate("input_image_mtok"),
        image_output=rate("output_image_mtok"),
        audio_input=rate("input_audio_mtok"),
        audio_output=rate("output_audio_mtok"),
    )
    return row if row.input else None


def _price(model: str, mode: Mode, card: RateCard, table: str, dated: str) -> Price:
    return Price(
        model=model,
        mode=mode,
        rates=_rates(model, mode, card.row),
        tiers=tuple(Tier(above, _rates(model, mode, row)) for above, row in card.tiers),
        table=table,
        dated=dated,
    )


def _rates(model: str, mode: Mode, row: RateRow) -> Rates:
    """The row whole. Raises UnknownPrice where answers of this model are billed, and it does not say at which rate."""
    output = row.output
    if output is None and answers_nothing(model):
        output = Decimal(0)
    if row.input is None or output is None:
        raise UnknownPrice(
            f"the {mode} price of {model!r} is not whole: it needs 'input' and 'output'. Give both in batchrun.toml.",
            model=model,
            mode=mode,
        )

    def rate(value: Decimal | None, instead: Decimal) -> int:
        return picodollars_a_token(instead if value is None else value)

    return Rates(
        input=picodollars_a_token(row.input),
        output=picodollars_a_token(output),
        cached_input=rate(row.cached_input, row.input),
        cache_write=rate(row.cache_write, row.input),
        image_input=rate(row.image_input, row.input),
        image_output=rate(row.image_output, output),
        audio_input=rate(row.audio_input, row.input),
        audio_output=rate(row.audio_output, output),
    )
