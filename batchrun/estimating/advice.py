"""Advice that saves: where the tokens of a job go, what each of these places costs, and the exact thing to change. Pure.

Only what has a figure is said, and only where the figure is worth a line.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batchrun.jobfile.advice import bounds_answers
from batchrun.ledger.answered import Answered
from batchrun.model import JobSettings
from batchrun.money.amounts import dollars
from batchrun.money.counted import Counted
from batchrun.money.counting import IMAGE_URLS
from batchrun.money.price import Ceiling, Price
from batchrun.money.repeated import CACHED_FROM, CACHED_STEP, RepeatedTokens

CAP_TOKENS: Final = 4_000  # what is proposed as a cap, where no answer tells better
_CAP_TIMES: Final = 4  # of the mean answer
_CAP_STEP: Final = 1_000
REPEATED_SHARE: Final = 10  # of the input: below one part in so many, what is repeated is no matter
_COST_SHARE: Final = 100  # of what is expected: likewise
_CHARACTERS_LEAST: Final = 400  # of a job line's own text, which are about a hundred tokens
_CHEAPER_PERCENT: Final = 10
_FIELDS: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_RAW_CAPS: Final = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
}


class Topic(StrEnum):
    """What a piece of advice is about; the words are part of `--json`."""

    NO_CAP = "no_cap"
    REPEATED = "repeated"
    INSTEAD = "instead"
    CACHING = "caching"
    IMAGE_DETAIL = "image_detail"
    SMALLER_MODEL = "smaller_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One line. `tokens` are those that it is about, and `saves` is what following it saves, in picodollars: of the worst case for a cap, at most
    for a cache, else expected. None: not known; below 0: it would cost more.
    """

    topic: Topic
    model: str
    text: str
    tokens: int | None = None
    saves: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """A text of the user's that could stand in place of what is repeated, counted as the model counts."""

    name: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one model is asked. `price` is that of the way in which the job asks, None where it is not known; `expected` its cost.

    `repeated` are the sorts of its requests. `others`: what they would cost with other models, in picodollars.
    """

    settings: JobSettings
    counted: Counted
    repeated: Sequence[RepeatedTokens]
    price: Price | None
    ceiling: Ceiling
    history: Answered | None
    expected: int | None
    others: Sequence[tuple[str, int]] = ()
    instead: Instead | None = None


def advice_on(spending: Spending) -> Iterator[Advice]:
    """All that there is to say of it, at most one of each topic."""
    yield from _on_cap(spending)
    if spending.counted.url not in IMAGE_URLS:
        sorts = [one for one in spending.repeated if one.requests > 1]
        most = max(sorts, key=lambda one: one.all, default=None)
        if spending.instead is not None:
            yield _on_instead(spending, spending.instead, most)
        elif most is not None:
            yield from _on_repeated(spending, most)
        if most is not None:
            yield from _on_caching(spending, most)
    yield from _on_images(spending)
    yield from _on_models(spending)


def _on_cap(spending: Spending) -> Iterator[Advice]:
    sums, settings = spending.counted.sums, spending.settings
    if not sums.uncapped or spending.counted.url in IMAGE_URLS:
        return
    cap = CAP_TOKENS
    if spending.history is not None:
        cap = max(1, math.ceil(_CAP_TIMES * spending.history.mean / _CAP_STEP)) * _CAP_STEP
    key = _RAW_CAPS.get(settings.endpoint, "max_output_tokens")
    change = f'"{key if settings.is_raw else "max_output_tokens"}": {cap}'
    bound = _for_money(spending.price, sums.uncapped * cap)
    count = f"{sums.uncapped:,} of {sums.answers:,} answers"
    longest = spending.ceiling.answer
    if longest is None:
        text = f"no output cap: nothing bounds {count}; {change} does, at {cap:,} tokens each{_in_words(bound)}"
        yield Advice(topic=Topic.NO_CAP, model=spending.counted.model, text=text)
        return
    if longest <= cap:
        return
    worst = _for_money(spending.price, sums.uncapped * longest)
    yield Advice(
        topic=Topic.NO_CAP,
        model=spending.counted.model,
        text=f"no output cap: {count} may have {longest:,} tokens each{_in_words(worst)} of the worst case; {change} makes that {cap:,}{_in_words(bound)}",
        tokens=sums.uncapped * (longest - cap),
        saves=None if worst is None or bound is None else worst - bound,
    )


def _on_repeated(spending: Spending, most: RepeatedTokens) -> Iterator[Advice]:
    given, cost = spending.counted.sums.input, _for_input(spending.price, most.all)
    is_little = cost is not None and cost * _COST_SHARE < (spending.expected or 0)
    if is_little or most.all * REPEATED_SHARE < given:
        return
    yield Advice(
        topic=Topic.REPEATED,
        model=spending.counted.model,
        text=(
            f"repeated: the same {most.each:,} tokens stand in each of {most.requests:,} requests, {_percent(most.all, given)} % of the "
            f"input{_in_words(cost)}; --instead FILE counts a shorter text, or an English one"
        ),
        tokens=most.all,
    )


def _on_instead(spending: Spending, instead: Instead, most: RepeatedTokens | None) -> Advice:
    """The user's own text in the place of the longer of the two that each request repeats: its instructions, or the beginning of its prompt."""
    old = 0 if most is None else max(most.before, most.beginning)
    if most is None or not old:
        text = f"{instead.name} has {instead.tokens:,} tokens, and the requests repeat no text that it could stand for"
        return Advice(topic=Topic.INSTEAD, model=spending.counted.model, text=text)
    what = "the instructions have" if old == most.before else "each prompt begins with"
    fewer = (old - instead.tokens) * most.requests
    amount = _for_input(spending.price, abs(fewer))
    more_or_less = "more" if fewer < 0 else "fewer"
    return Advice(
        topic=Topic.INSTEAD,
        model=spending.counted.model,
        text=(
            f"{instead.name} has {instead.tokens:,} tokens where {what} {old:,}: {abs(fewer):,} {more_or_less} in {most.requests:,} requests"
            f"{_in_words(amount)}"
        ),
        tokens=fewer,
        saves=_for_input(spending.price, fewer),
    )


def _on_caching(spending: Spending, most: RepeatedTokens) -> Iterator[Advice]:
    """Worth a word only where cached input is cheaper in the way in which the job asks."""
    if spending.price is None:
        return
    is_first = most.first >= CACHED_FROM
    together = most.first if is_first else most.first + most.ending
    cached = together // CACHED_STEP * CACHED_STEP
    rates = spending.price.rates
    # The first request writes what the others find.
    saves = (most.requests - 1) * cached * (rates.input - rates.cached_input)
    saves -= cached * (rates.cache_write - rates.input)
    if together < CACHED_FROM or saves <= 0:
        return
    if is_first:
        what = f"{most.requests:,} requests begin with the same {together:,} tokens; kept first and unchanged"
    else:
        what = (
            f"{together:,} tokens are the same in {most.requests:,} requests, {most.first:,} of them at the beginning; with all of them there, "
            "before the item's own text"
        )
    yield Advice(
        topic=Topic.CACHING,
        model=spending.counted.model,
        text=f"caching: {what}, they cost up to {dollars(saves)} less where the service finds them in its cache",
        tokens=cached * most.requests,
        saves=saves,
    )


def _on_images(spending: Spending) -> Iterator[Advice]:
    sums = spending.counted.sums
    if not sums.images:
        return
    rate = None if spending.price is None else spending.price.rates.image_input
    saves = None if rate is None else sums.image_spare * rate
    yield Advice(
        topic=Topic.IMAGE_DETAIL,
        model=spending.counted.model,
        text=(
            f'image detail: "detail": "low" in the part of "input" that shows it makes {sums.images:,} images {sums.image_spare:,} tokens fewer, of '
            f"{sums.image_input:,}{_in_words(saves)}"
        ),
        tokens=sums.image_spare,
        saves=saves,
    )


def _on_models(spending: Spending) -> Iterator[Advice]:
    """The cheapest of the others, where it is cheaper by enough."""
    mine = spending.expected
    if not mine or not spending.others:
        return
    name, cost = min(spending.others, key=lambda other: other[1])
    percent = _percent(mine - cost, mine)
    if percent < _CHEAPER_PERCENT:
        return
    yield Advice(
        topic=Topic.SMALLER_MODEL,
        model=spending.counted.model,
        text=(
            f'a smaller model: "model": "{name}" would cost {dollars(cost)} instead of {dollars(mine)}, {percent} % less; `batchrun try` shows '
            "what it answers"
        ),
        saves=mine - cost,
    )


def smaller_names(model: str) -> tuple[str, ...]:
    """What the smaller ones of its family would be called; whether there are any, a price list says."""
    base = _DATE.sub("", model)
    if base.startswith("ft:") or base.endswith("-nano"):
        return ()
    if base.endswith("-mini"):
        return (f"{base.removesuffix('-mini')}-nano",)
    return f"{base}-mini", f"{base}-nano"


def advice_at_sight(settings: JobSettings, requests: int) -> Iterator[str]:
    """What the job line alone tells of so many requests, without counting a token: for `check`."""
    if requests and not settings.is_raw and not bounds_answers(settings):
        text = f'no output cap: nothing bounds {requests:,} answers; "max_output_tokens": {CAP_TOKENS} does, at {requests * CAP_TOKENS:,} tokens together'
        yield text
    fixed = len(_FIELDS.sub("", (settings.instructions or "") + (settings.prompt or "")))
    if requests > 1 and fixed >= _CHARACTERS_LEAST:
        yield (
            f"repeated: {fixed:,} characters of the job line go with each of {requests:,} requests, {fixed * requests:,} in all; `batchrun estimate` "
            "counts and prices them"
        )


def _for_money(price: Price | None, output_tokens: int) -> int | None:
    return None if price is None else output_tokens * price.rates.output


def _for_input(price: Price | None, input_tokens: int) -> int | None:
    return None if price is None else input_tokens * price.rates.input


def _in_words(amount: int | None) -> str:
    return "" if amount is None else f", {dollars(amount)}"


def _percent(part: int, whole: int) -> int:
    return part * 100 // whole if whole else 0
