"""What a price is: rates of a model in one mode, in picodollars a token, with the table and the day that they are from. `prices.py` looks them up."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from batchrun.model import Usage


class Mode(StrEnum):
    """How a request is asked, as far as that changes its price. PRIORITY is only what a job's own `service_tier` asks for."""

    BATCH = "batch"
    FLEX = "flex"
    LIVE = "live"
    PRIORITY = "priority"


class Rates(NamedTuple):
    """Picodollars a token. What a list does not tell apart costs as input or output do; reasoning is output."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    image_input: int
    image_output: int
    audio_input: int
    audio_output: int


def unplaced(source: str) -> str:
    """A table of prices by its name: where a file lies on somebody's disk is nobody else's business."""
    return source.rsplit("/", 1)[-1]


class Tier(NamedTuple):
    """The rates of a whole request with more than so many input tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a model in one mode. `tiers` are in rising order. `table` and `dated` say where it is from and as of when."""

    model: str
    mode: Mode
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    table: str
    dated: str

    @property
    def source(self) -> str:
        """`genai-prices 0.2.3, 2026-10-14`: to be shown beside every figure that comes of it."""
        return f"{self.table}, {self.dated}" if self.dated else self.table

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a request with so many input tokens."""
        found = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above:
                found = tier.rates
        return found

    def dearest(self, input_tokens: int) -> Rates:
        """The dearest that each token can be of a request with as many input tokens, or fewer."""
        reached = [self.rates, *(tier.rates for tier in self.tiers if tier.above < input_tokens)]
        return Rates(*map(max, zip(*reached, strict=True)))

    @property
    def of_any_input(self) -> "Price":
        """The same where sound may be in what answers took, which is not told from text here: each token of input as the dearest that it can be."""
        return replace(
            self,
            rates=_of_any_input(self.rates),
            tiers=tuple(tier._replace(rates=_of_any_input(tier.rates)) for tier in self.tiers),
        )

    def raised(self, percent: int) -> "Price":
        """What the same costs at a server that takes so much more."""
        if not percent:
            return self

        def more(rates: Rates) -> Rates:
            return Rates(*(-(-rate * (100 + percent) // 100) for rate in rates))

        return replace(
            self,
            rates=more(self.rates),
            tiers=tuple(tier._replace(rates=more(tier.rates)) for tier in self.tiers),
            table=f"{self.table} + {percent} % for the region",
        )

    def cost(
        self,
        usage: Usage,
        *,
        image_input: int = 0,
        image_output: int = 0,
        audio_input: int = 0,
        audio_output: int = 0,
    ) -> int:
        """Picodollars of one request. Image and audio tokens are part of the usage's input and output; cached and written ones are taken to be text.

        Input of which the usage does not say whether it was written to the cache is priced as if it was, where that is dearer.
        """
        rates = self.rates_for(usage.input_tokens)
        written = usage.cache_write_tokens or 0
        fresh = usage.input_tokens - usage.cached_tokens - written - image_input - audio_input
        is_said = usage.cache_write_tokens is not None
        made = usage.output_tokens - image_output - audio_output
        return (
            fresh * (rates.input if is_said else max(rates.input, rates.cache_write))
            + written * rates.cache_write
            + usage.cached_tokens * rates.cached_input
            + image_input * rates.image_input
            + audio_input * rates.audio_input
            + made * rates.output
            + image_output * rates.image_output
            + audio_output * rates.audio_output
        )


def _of_any_input(rates: Rates) -> Rates:
    dearest = max(rates.image_input, rates.audio_input)
    if dearest <= rates.input:
        return rates
    return rates._replace(
        input=dearest, cached_input=dearest, cache_write=max(dearest, rates.cache_write)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What a model can take and give at most, in tokens; None where that is not known."""

    output_tokens: int | None
    context_tokens: int | None

    @property
    def answer(self) -> int | None:
        """Tokens that one answer has at most: its own maximum, else all that fits into the model."""
        return self.output_tokens or self.context_tokens
