"""What was counted: sums over requests, and what one model was asked. A million requests take no more memory than a thousand."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeAlias

from batchrun.attachments.pixels import Pixels
from batchrun.money.asked import Asked
from batchrun.money.images import made_tokens, seen_tokens
from batchrun.money.readers import LOOSE
from batchrun.money.tokens import Tokenizer, count_texts

# Prices of long contexts begin far above this many input tokens: larger requests are kept apart, and these have 100 kB each, at least.
LARGE_TOKENS: Final = 30_000
GUESS_TOKENS: Final = 1_000  # of an answer, where the cap is above it or there is none
ALIKE_MOST: Final = (
    64  # sorts of requests that are remembered: where each is another one, nothing is gained
)
Key: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class Sums:
    """Of some requests. `input` is what the rules say and `input_most` the most that it can be, both with `image_input`, `image_most`.

    `answers` counts the answers that make tokens; `capped` adds up their caps, `uncapped` counts those without one, and `guess` adds up what
    each may be guessed by: its cap, and no more than GUESS_TOKENS. `made` and `made_most` are tokens of pictures, of which it is known.
    `images` counts the images that would surely take fewer tokens with little detail, `image_spare` adds up how many fewer.
    `unseen` counts the requests of which the model reads more than they contain, by what that is.
    """

    requests: int = 0
    input: int = 0
    input_most: int = 0
    images: int = 0
    image_spare: int = 0
    image_input: int = 0
    image_most: int = 0
    answers: int = 0
    capped: int = 0
    uncapped: int = 0
    guess: int = 0
    made: int = 0
    made_most: int = 0
    unseen: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Sums", times: int = 1) -> None:
        """As many more requests."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + times * getattr(other, name))
        for what, count in other.unseen.items():
            self.unseen[what] += times * count


_NUMBERS: Final = tuple(name for name in Sums.__slots__ if name != "unseen")


# Requests that are all as the first says, but for as many more input tokens as each number says: a request each.
# How large an image is that a request only names, by that name; None where it is not known.
Look: TypeAlias = Callable[[str], Pixels | None]
Watch: TypeAlias = Callable[[Asked, Sums, Sequence[int]], None]


class _Fixed(NamedTuple):
    """What requests of one sort have in common; of its texts, `vague` tokens are counted by a tokenizer that is not their model's."""

    sums: Sums
    vague: int


@dataclass(slots=True)
class Counted:
    """What was asked of one model, counted as that model counts. `large` are requests above LARGE_TOKENS, each by itself, and part of `sums`.

    What is counted of a request does not hang on the others around it. `watch` is shown all of them, `look` knows images.
    """

    model: str
    url: str
    tokenizer: Tokenizer
    sums: Sums = field(default_factory=Sums)
    large: list[Sums] = field(default_factory=list)
    watch: Watch | None = None
    look: Look = field(default=lambda _: None)
    _alike: dict[Key, _Fixed] = field(default_factory=dict)

    def add_alike(self, key: Key, template: Asked, counts: Sequence[int]) -> None:
        """Requests that differ in one text, which has so many tokens in each."""
        known = self._alike.get(key)
        if known is None:
            if len(self._alike) >= ALIKE_MOST:
                self._alike.clear()
            texts, loose = (
                sum(count_texts(some, self.tokenizer.encoding))
                for some in (template.texts, template.loose)
            )
            known = self._alike[key] = _Fixed(self._sums_of(template, texts, loose), texts + loose)
        fixed, vague = known
        most = counts
        if self.tokenizer.margin:
            begun = _share(vague, self.tokenizer.margin)
            most = [n + _share(vague + n, self.tokenizer.margin) - begun for n in counts]
        self.sums.add(fixed, len(counts))
        self.sums.input += sum(counts)
        self.sums.input_most += sum(most)
        if max(most) + fixed.input_most > LARGE_TOKENS:
            for count, at_most in zip(counts, most, strict=True):
                one = Sums()
                one.add(fixed)
                one.input += count
                one.input_most += at_most
                self._keep_large(one)
        if self.watch is not None:
            self.watch(template, fixed, most)

    def add_odd(self, found: Asked, texts: int, loose: int) -> None:
        """A request by itself; its texts, and those that count loosely, have so many tokens together."""
        one = self._sums_of(found, texts, loose)
        self.sums.add(one)
        self._keep_large(one)
        if self.watch is not None:
            self.watch(found, one, (0,))

    def _keep_large(self, one: Sums) -> None:
        if one.input_most > LARGE_TOKENS:
            self.large.append(one)

    def _sums_of(self, found: Asked, texts: int, loose: int) -> Sums:
        tokens = texts + loose + found.overhead
        most = tokens + found.slack + _share(texts + loose, self.tokenizer.margin)
        one = Sums(
            requests=1,
            input=tokens,
            input_most=most + _share(loose, Fraction(1, LOOSE)),
            unseen=Counter(found.unseen),
        )
        for image in found.images:
            pixels = image.pixels or (self.look(image.name) if image.name else None)
            seen = seen_tokens(self.model, image.detail, pixels)
            if seen is None:
                one.unseen["images"] = 1
            else:
                one.image_input += seen.common
                one.image_most += seen.most
                low = seen_tokens(self.model, "low", pixels)
                if low is not None and low.most < seen.common:
                    one.images += 1
                    one.image_spare += seen.common - low.most
        one.input += one.image_input
        one.input_most += one.image_most
        if found.cap == 0:
            return one
        one.answers = found.answers
        made = None if found.picture is None else made_tokens(self.model, *found.picture)
        if made is not None:
            one.made, one.made_most = (found.answers * tokens for tokens in made)
            return one
        one.guess = found.answers * min(found.cap or GUESS_TOKENS, GUESS_TOKENS)
        if found.cap is None:
            one.uncapped = found.answers
        else:
            one.capped = found.answers * found.cap
        return one


def _share(tokens: int, share: Fraction) -> int:
    return -(-tokens * share.numerator // share.denominator)
