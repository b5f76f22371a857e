"""The worst case of one request: what it costs at most, whatever is answered. It is what a limit reserves, so it is never too little.

Input counts as the most that it can be, at the dearest rate that input of this kind has; every answer is as long as its cap lets it be, and a
little longer, since services overshoot. What cannot be bound is refused: an amount that is made up binds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from batchrun.errors import Unbounded
from batchrun.money.asked import Asked
from batchrun.money.counted import LARGE_TOKENS, Sums
from batchrun.money.counting import IMAGE_URLS
from batchrun.money.price import Ceiling, Mode, Price, Rates
from batchrun.money.readers import READ_URLS

# What an answer may be longer than its cap: a share of it, and some tokens.
OVER_PERCENT: Final = 2
OVER_TOKENS: Final = 64

# What a request may say of its tier, where its price is that of a mode. In a batch it says nothing that counts.
_TIERS: Final[Mapping[Mode, frozenset[str | None]]] = {
    Mode.LIVE: frozenset({None, "default", "flex"}),
    Mode.FLEX: frozenset({"flex"}),
    Mode.PRIORITY: frozenset({None, "default", "flex", "priority"}),
}
# The service counts no calls of these, so its limit of calls does not hold for them.
_UNCOUNTED: Final = frozenset({"mcp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Bounds requests to one model at one endpoint. `fees` are picodollars of one call of a hosted tool, by its type."""

    url: str
    price: Price
    ceiling: Ceiling
    fees: Mapping[str, int]

    def worst(self, found: Asked, one: Sums, more: int = 0) -> int:
        """Picodollars of a request that was counted so, with `more` input tokens of text. Raises Unbounded, which says what to write where."""
        self._check(found)
        tokens, fees = one.input_most + more, 0
        if one.unseen:
            calls, fees = self._hosted(found)
            tokens = (calls + 1) * max(self._context(one), tokens)
        rates = self.price.dearest(max(tokens, LARGE_TOKENS))
        text = max(rates.input, rates.cache_write, rates.cached_input)
        image = max(rates.image_input, text)
        if one.unseen:
            spent = tokens * max(image, rates.audio_input)
        else:
            spent = (tokens - one.image_most) * text + one.image_most * image
        return fees + spent + self._output(one, rates)

    @staticmethod
    def is_even(one: Sums, more: int) -> bool:
        """Whether each of up to so many tokens more costs as much as the others."""
        return not one.unseen and one.input_most + more <= LARGE_TOKENS

    def fees_of(self, found: Asked) -> int:
        """How many of them are for tools that the service runs: no usage tells how often it did."""
        return self._hosted(found)[1]

    def _check(self, found: Asked) -> None:
        if self.url not in READ_URLS:
            raise self._unbounded(
                f"what {self.url} bills is not known here", "Take its job out of every limit"
            )
        if found.unbound:
            raise self._unbounded(found.unbound, "Take it out of the requests")
        allowed = _TIERS.get(self.price.mode)
        if allowed is not None and found.tier not in allowed:
            raise self._unbounded(
                f"'service_tier' is {found.tier!r}, which may cost more than the {self.price.mode} price",
                "Give one tier for the whole job, under 'body' of its line",
            )

    def _context(self, one: Sums) -> int:
        """The most that the model can be shown of what the request does not contain."""
        if self.ceiling.context_tokens is None:
            raise self._unbounded(
                f"they bring {', '.join(sorted(one.unseen))}, and how much the model takes in is not known",
                f"Give 'context_tokens' under {self._table} in batchrun.toml",
            )
        return self.ceiling.context_tokens

    def _hosted(self, found: Asked) -> tuple[int, int]:
        """(calls of tools that the service runs, what they cost), at most."""
        if not found.hosted:
            return 0, 0
        names = sorted(found.hosted)
        if uncounted := _UNCOUNTED.intersection(names):
            raise self._unbounded(
                f"nothing bounds the calls of the tool {min(uncounted)!r}",
                "Take it out of the requests",
            )
        if found.calls is None:
            raise self._unbounded(
                f"nothing bounds the calls of the tool {names[0]!r}",
                "Give 'max_tool_calls' in the body of each request (of /v1/responses)",
            )
        for name in names:
            if name not in self.fees:
                raise self._unbounded(
                    f"what a call of the tool {name!r} costs is not known",
                    f"Give it in batchrun.toml, in dollars a call: [fee] {name} = …",
                )
        return found.calls, found.calls * max(self.fees[name] for name in names)

    def _output(self, one: Sums, rates: Rates) -> int:
        if not one.answers:
            return 0
        tokens = one.capped + (one.uncapped * self._longest() if one.uncapped else 0)
        text = rates.output if tokens else 0
        picture = max(rates.image_output, rates.output) if one.made_most else 0
        spent = (100 + OVER_PERCENT) * (tokens * text + one.made_most * picture)
        return -(-spent // 100) + one.answers * OVER_TOKENS * max(text, picture)

    def _longest(self) -> int:
        if self.url in IMAGE_URLS:
            raise self._unbounded(
                f"how many tokens a picture of {self.price.model!r} has is not known",
                "Take a model whose pictures are known",
            )
        longest = self.ceiling.answer
        if longest is None:
            raise self._unbounded(
                "an answer has no cap, and how long one can be is not known",
                f"Give 'max_output_tokens' in the body of each request, or under {self._table} in batchrun.toml",
            )
        return longest

    @property
    def _table(self) -> str:
        return f'[price."{self.price.model}"]'

    def _unbounded(self, why: str, fix: str) -> Unbounded:
        return Unbounded(
            f"what requests to {self.price.model!r} cost at most is not known, so no limit can hold: {why}. {fix}.",
            model=self.price.model,
            reason=why,
        )
