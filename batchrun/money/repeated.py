"""What requests of one sort repeat: the texts that stand in all of them, found as they stream by and counted when somebody asks. Pure."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchrun.money.asked import Asked
from batchrun.money.tokens import Encoding, count_texts

CACHED_FROM: Final = (
    1_024  # tokens: a shorter beginning is never cached. Source: OpenAI's guide to prompt caching
)
CACHED_STEP: Final = 128  # what is cached grows by so many. Source: as above

SORTS_MOST: Final = 64


@dataclass(slots=True)
class Repeated:
    """Of `requests` requests: `before` are whole texts that stand before what they differ in, `shown` are tools and schemas.

    The texts in which they differ have a `beginning` and an `ending` in common, which do not overlap.
    """

    before: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    overhead: int = 0
    requests: int = 0
    beginning: str = ""
    _ending: str = ""  # it may overlap with the beginning, as of texts that are all the same
    _shortest: int = 0

    @property
    def ending(self) -> str:
        """With what the texts end, of what they do not begin with."""
        most = self._shortest - len(self.beginning)
        return self._ending[max(len(self._ending) - most, 0) :]

    def meet(self, texts: Sequence[str]) -> None:
        """More of them: by the texts in which they differ, of which there is at least one."""
        if not self.requests:
            self.beginning = self._ending = texts[0]
            self._shortest = len(texts[0])
        self.requests += len(texts)
        # The first and the last in order of all have in common what all have.
        for text in (min(texts), max(texts)):
            self.beginning = text[: _common(self.beginning, text)]
        self._shortest = min(self._shortest, *map(len, texts))
        for text in texts:
            if not text.endswith(self._ending):
                self._ending = _common_ending(self._ending, text)

    def counted(self, encoding: Encoding) -> "RepeatedTokens":
        """In tokens; each part by itself, which may be one more or less than in its place."""
        counts = count_texts([*self.before, *self.shown, self.beginning, self.ending], encoding)
        whole, shown = len(self.before), len(self.before) + len(self.shown)
        return RepeatedTokens(
            requests=self.requests,
            before=sum(counts[:whole]),
            shown=sum(counts[whole:shown]),
            overhead=self.overhead,
            beginning=counts[-2],
            ending=counts[-1],
        )


@dataclass(slots=True)
class Repetition:
    """What requests repeat, by model and sort: of the first sorts, where there are many."""

    _sorts: dict[tuple[str, Hashable], Repeated] = field(default_factory=dict)

    def of(self, model: str) -> list[Repeated]:
        """Each sort of requests to this model."""
        return [found for (name, _), found in self._sorts.items() if name == model]

    def meet(self, model: str, sort: Hashable, template: Asked, texts: Sequence[str]) -> None:
        """Requests that are as `template`, and differ in these texts."""
        found = self._sorts.get((model, sort))
        if found is None:
            if len(self._sorts) >= SORTS_MOST:
                return
            found = self._sorts[model, sort] = Repeated(
                before=tuple(template.texts),
                shown=tuple(template.loose),
                overhead=template.overhead,
            )
        found.meet(texts)

    def meet_odd(self, model: str, requests: Sequence[Asked]) -> None:
        """Requests each by itself, as those with images: their texts one after the other."""
        self.meet(model, None, Asked(), ["\n".join(one.texts) for one in requests])


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedTokens:
    """Tokens that one request has in common with all others of its sort, by where they stand."""

    requests: int
    before: int
    shown: int
    overhead: int
    beginning: int
    ending: int

    @property
    def each(self) -> int:
        """Of one request, without what the service adds."""
        return self.before + self.shown + self.beginning + self.ending

    @property
    def first(self) -> int:
        """Those with which a request begins: what a service can cache."""
        return self.before + self.shown + self.overhead + self.beginning

    @property
    def all(self) -> int:
        """In all requests together."""
        return self.each * self.requests


def _common(one: str, other: str) -> int:
    """With how many characters both begin."""
    low, high = 0, min(len(one), len(other))
    while (
        low < high
    ):  # by halves, since most that is compared here is the same from beginning to end
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_ending(one: str, other: str) -> str:
    common = _common(one[::-1], other[::-1])
    return one[len(one) - common :]
