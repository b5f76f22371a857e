"""Requests counted as they stream by: their tokens, images and caps, summed by model. A million of them take no more memory than a thousand.

Most requests of a job differ in one text. What is the same in all is counted once, and the rest many texts at a time, which is what makes
counting cheap beside preparing them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, TypeAlias

import msgspec

from batchrun.money.asked import LOOSE, Asked, Body, asked
from batchrun.money.images import made_tokens, seen_tokens
from batchrun.money.tokens import Tokenizer, count_texts, tokenizer_of

CHUNK: Final = 1_000  # requests that are counted together
# Prices of long contexts begin far above this many input tokens: larger requests are kept apart, and these have 100 kB each, at least.
LARGE_TOKENS: Final = 30_000
GUESS_TOKENS: Final = 1_000  # of an answer, where the cap is above it or there is none
_ALIKE_MOST: Final = (
    64  # sorts of requests that are remembered: where each is another one, nothing is gained
)
IMAGE_URLS: Final = frozenset({"/v1/images/generations", "/v1/images/edits"})
_Key: TypeAlias = tuple[Any, ...]


class _Line(msgspec.Struct, gc=False):
    body: Body


_decode: Final = msgspec.json.Decoder(_Line).decode


@dataclass(slots=True)
class Sums:
    """Of some requests. `input` is what the rules say and `input_most` the most that it can be, both with `image_input`, `image_most`.

    `answers` counts the answers that make tokens; `capped` adds up their caps, `uncapped` counts those without one, and `guess` adds up what
    each may be guessed by: its cap, and no more than GUESS_TOKENS. `made` and `made_most` are tokens of pictures, of which it is known.
    `unseen` counts the requests of which the model reads more than they contain, by what that is.
    """

    requests: int = 0
    input: int = 0
    input_most: int = 0
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


@dataclass(slots=True)
class Counted:
    """What was asked of one model, counted as that model counts. `large` are requests above LARGE_TOKENS, each by itself, and part of `sums`."""

    model: str
    url: str
    tokenizer: Tokenizer
    sums: Sums = field(default_factory=Sums)
    large: list[Sums] = field(default_factory=list)
    _alike: dict[_Key, Sums] = field(default_factory=dict)

    def add_alike(self, key: _Key, template: Asked, counts: Sequence[int]) -> None:
        """Requests that differ in one text, which has so many tokens in each."""
        fixed = self._alike.get(key)
        if fixed is None:
            if len(self._alike) >= _ALIKE_MOST:
                self._alike.clear()
            fixed = self._alike[key] = self._sums_of(
                template,
                sum(count_texts(template.texts, self.tokenizer.encoding)),
                sum(count_texts(template.loose, self.tokenizer.encoding)),
            )
        tokens = sum(counts)
        self.sums.add(fixed, len(counts))
        self.sums.input += tokens
        self.sums.input_most += tokens + _share(tokens, self.tokenizer.margin)
        if max(counts) + fixed.input_most > LARGE_TOKENS // 2:
            for count in counts:
                one = Sums()
                one.add(fixed)
                one.input += count
                one.input_most += count + _share(count, self.tokenizer.margin)
                self._keep_large(one)

    def add_odd(self, found: Asked, texts: int, loose: int) -> None:
        """A request by itself; its texts, and those that count loosely, have so many tokens together."""
        one = self._sums_of(found, texts, loose)
        self.sums.add(one)
        self._keep_large(one)

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
        for count, is_low in ((found.images, False), (found.low_images, True)):
            if count:
                common, largest = seen_tokens(self.model, is_low=is_low)
                one.image_input += count * common
                one.image_most += count * largest
        one.input += one.image_input
        one.input_most += one.image_most
        if found.cap == 0:
            return one
        one.answers = found.answers
        one.guess = found.answers * min(found.cap or GUESS_TOKENS, GUESS_TOKENS)
        if found.cap is None:
            one.uncapped = found.answers
        else:
            one.capped = found.answers * found.cap
        return one

    def make_pictures(self, quality: Any, size: Any, answers: int) -> None:
        """The last request makes pictures, whose tokens its quality and size tell where that is known of the model."""
        made = made_tokens(self.model, str(quality), str(size))
        if made is not None:
            self.sums.uncapped -= answers
            self.sums.guess -= answers * GUESS_TOKENS
            self.sums.made += answers * made[0]
            self.sums.made_most += answers * made[1]


class RequestCounter:
    """Counts the requests to one endpoint, each as its own model does, and all of them as each of `others` would."""

    def __init__(self, url: str, others: Iterable[str] = ()) -> None:
        self._url = url
        self.own: dict[str, Counted] = {}
        self.others = {model: self._counted(model) for model in others}

    @property
    def _is_chat(self) -> bool:
        return self._url == "/v1/chat/completions"

    def _counted(self, model: str) -> Counted:
        return Counted(model=model, url=self._url, tokenizer=tokenizer_of(model))

    def take(self, lines: Iterable[bytes]) -> None:
        """Some request lines, best about CHUNK of them: JSON objects with a `body`, as in a request file."""
        groups: dict[str, list[Body]] = {}
        for line in lines:
            body = _decode(line).body
            groups.setdefault(body.model if isinstance(body.model, str) else "", []).append(body)
        for model, bodies in groups.items():
            own = self.own.get(model)
            if own is None:
                own = self.own[model] = self._counted(model)
            self._take(bodies, (own, *self.others.values()))

    def _take(self, bodies: list[Body], targets: tuple[Counted, ...]) -> None:
        known: dict[_Key, Asked] = {}
        alike: dict[_Key, list[str]] = {}
        odd: list[tuple[Body, Asked]] = []
        for body in bodies:
            key, text = self._key_of(body)
            if key is not None and (key in alike or len(alike) < _ALIKE_MOST):
                alike.setdefault(key, []).append(text)
                if key not in known:
                    known[key] = self._template(body, text)
            else:
                odd.append((body, asked(self._url, body)))
        texts = [text for group in alike.values() for text in group]
        for _, one in odd:
            texts += one.texts
            texts += one.loose
        counted = {
            encoding: count_texts(texts, encoding)
            for encoding in {target.tokenizer.encoding for target in targets}
        }
        for target in targets:
            self._spread(target, counted[target.tokenizer.encoding], known, alike, odd)

    def _spread(
        self,
        target: Counted,
        counts: Sequence[int],
        known: Mapping[_Key, Asked],
        alike: Mapping[_Key, Sequence[str]],
        odd: Sequence[tuple[Body, Asked]],
    ) -> None:
        """Give one model its part of the counts, which are in the order of `alike`, then `odd`."""
        at = 0
        for key, group in alike.items():
            target.add_alike(key, known[key], counts[at : at + len(group)])
            at += len(group)
        for body, one in odd:
            middle, end = at + len(one.texts), at + len(one.texts) + len(one.loose)
            target.add_odd(one, sum(counts[at:middle]), sum(counts[middle:end]))
            if self._url in IMAGE_URLS:
                target.make_pictures(body.quality, body.size, one.answers)
            at = end

    def _key_of(self, body: Body) -> tuple[_Key | None, str]:
        """What a request has in common with others of its sort, and the one text that they differ in; None where it is of no sort."""
        if self._is_chat:
            said = body.messages
            if type(said) is not list or not said:
                return None, ""
            if not all(type(m) is dict and m.keys() == _PLAIN for m in said):
                return None, ""
            values = [value for message in said for value in message.values()]
            if set(map(type, values)) != {str}:
                return None, ""
            text = said[-1]["content"]
            # The text is most of what there is: everything before it is the key.
            before = tuple((m["role"], m["content"]) for m in said[:-1])
            cap = (body.max_completion_tokens, body.max_tokens, body.n)
            shown = (bytes(body.tools), bytes(body.functions), bytes(body.response_format))
            return (before, said[-1]["role"], cap, shown), text
        if self._url != "/v1/responses" or type(body.input) is not str:
            return None, ""
        if (body.previous_response_id, body.conversation, body.prompt) != (None, None, None):
            return None, ""
        if body.instructions is not None and type(body.instructions) is not str:
            return None, ""
        shown_too = (bytes(body.tools), bytes(body.text))
        return (body.instructions, body.max_output_tokens, shown_too), body.input

    def _template(self, body: Body, text: str) -> Asked:
        """The request without the text that its sort differs in."""
        template = asked(self._url, body)
        template.texts.remove(text)
        return template


_PLAIN: Final = {"role", "content"}


def _share(tokens: int, share: Fraction) -> int:
    return -(-tokens * share.numerator // share.denominator)
