"""Tokens of images, by the rules that OpenAI gives for each family of models. An estimate: the service alone sees them.

Models either count tiles of 512 pixels, after the image was shrunk to fit 2,048 square and then to 768 on its shorter side, or patches of 32
pixels, times a factor, as many as a budget lets them. Source: OpenAI's guide to images. Where it can be read in two ways, or has been observed
to be otherwise, the most is the dearer one.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from batchrun.attachments.pixels import Pixels

_COMMON: Final = (1_024, 1_024)  # of an image whose size is not known
_PATCH: Final = 32
_LOW_SIDE: Final = 512  # of what is shown with little detail
_TILE: Final = 512
_TILES_MOST: Final = 8  # of 768 by 2,048 pixels
_TILES_SIDE: Final = 2_048
_TILES_SHORT: Final = 768


class Seen(NamedTuple):
    """Tokens of one image: by the rules, and at most."""

    common: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    base: int
    tile: int

    def seen(self, detail: str, pixels: Pixels | None) -> Seen:
        if detail == "low":
            return Seen(self.base, self.base)
        if pixels is None:
            return Seen(self._tokens(_tiles(_COMMON)), self._tokens(_TILES_MOST))
        # Whether a small image is made larger first, it does not say.
        return Seen(self._tokens(_tiles(pixels)), self._tokens(_tiles(pixels, enlarges=True)))

    def _tokens(self, tiles: int) -> int:
        return self.base + tiles * self.tile


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patches:
    """`budget` patches and `side` pixels are the most; `original` and `original_side` with `"detail": "original"`, where the model has that.

    `auto_is_original`: so it sees what says nothing of detail. `low_is_sure`: nobody has seen it pay as much for little detail as for more.
    """

    factor: Fraction
    budget: int = 1_536
    side: int = 2_048
    original: int = 0
    original_side: int = 0
    auto_is_original: bool = False
    low_is_sure: bool = False

    def seen(self, detail: str, pixels: Pixels | None) -> Seen:
        high = self._of(pixels, self.budget, self.side)
        if detail == "low":
            low = _patches(pixels or _COMMON, (_LOW_SIDE // _PATCH) ** 2, _LOW_SIDE)
            return Seen(self._tokens(low), self._tokens(low) if self.low_is_sure else high.most)
        if detail == "high" or not self.original:
            return high
        original = self._of(pixels, self.original, self.original_side)
        most = max(high.most, original.most)
        is_sure = detail == "original" or self.auto_is_original
        return Seen(original.common if is_sure else high.common, most)

    def _of(self, pixels: Pixels | None, budget: int, side: int) -> Seen:
        if pixels is None:
            return Seen(self._tokens(_patches(_COMMON, budget, side)), self._tokens(budget))
        # The bound of its sides is newer than that of its patches, and not observed everywhere.
        either = (_patches(pixels, budget, limit) for limit in (side, max(pixels)))
        return Seen(self._tokens(_patches(pixels, budget, side)), self._tokens(max(either)))

    def _tokens(self, patches: int) -> int:
        return math.ceil(patches * self.factor)


_USUAL: Final = _Tiles(base=85, tile=170)
_O: Final = _Tiles(base=75, tile=150)
_MINI, _NANO, _EVEN = Fraction("1.62"), Fraction("2.46"), Fraction("1.2")
_LATEST: Final = _Patches(
    factor=_EVEN,
    budget=2_500,
    side=65_535,
    original=30_000,
    original_side=65_535,
    auto_is_original=True,
    low_is_sure=True,
)
# The longest beginning counts.
_RULES: Final[dict[str, _Tiles | _Patches]] = {
    "gpt-4-turbo": _USUAL,
    "gpt-4-vision": _USUAL,
    "gpt-4o": _USUAL,
    "chatgpt-4o": _USUAL,
    "gpt-4o-mini": _Tiles(base=2_833, tile=5_667),
    "gpt-4.1": _USUAL,
    "gpt-4.1-mini": _Patches(factor=_MINI),
    "gpt-4.1-nano": _Patches(factor=_NANO),
    "gpt-4.5": _USUAL,
    "computer-use": _Tiles(base=65, tile=129),
    "o1": _O,
    "o3": _O,
    "o4-mini": _Patches(factor=Fraction("1.72")),
    "gpt-5": _Tiles(base=70, tile=140),
    "gpt-5-mini": _Patches(factor=_MINI),
    "gpt-5-nano": _Patches(factor=_NANO),
    "gpt-5-codex-mini": _Patches(factor=_MINI),
    "gpt-5.1-codex-mini": _Patches(factor=_MINI),
    "gpt-5.2": _Patches(factor=_EVEN),
    "gpt-5.3": _Patches(factor=_EVEN),
    "gpt-5.4": _Patches(factor=_EVEN, budget=2_500, original=10_000, original_side=6_000),
    "gpt-5.4-mini": _Patches(factor=_MINI, budget=2_500),
    "gpt-5.4-nano": _Patches(factor=_NANO, budget=2_500),
    "gpt-5.5": _Patches(
        factor=_EVEN, budget=2_500, original=10_000, original_side=6_000, auto_is_original=True
    ),
    "gpt-5.6": _LATEST,
    "gpt-6": _LATEST,
}
# Tokens of one picture that gpt-image-1 makes, by quality and size. Source: OpenAI's guide to image generation.
_MADE: Final = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1_056, "1024x1536": 1_584, "1536x1024": 1_568},
    "high": {"1024x1024": 4_160, "1024x1536": 6_240, "1536x1024": 6_208},
}


def seen_tokens(model: str, detail: str = "auto", pixels: Pixels | None = None) -> Seen | None:
    """Tokens of an image that this model is shown; None where no rule of it is known. Of an image of unknown size: of one of 1,024 pixels square, and of the largest."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    known = max((begin for begin in _RULES if name.startswith(begin)), key=len, default=None)
    return None if known is None else _RULES[known].seen(detail, pixels)


def _tiles(pixels: Pixels, *, enlarges: bool = False) -> int:
    width, height = _within(pixels, _TILES_SIDE)
    shorter = min(width, height)
    if shorter > _TILES_SHORT or enlarges:
        width, height = (side * _TILES_SHORT / shorter for side in (width, height))
    return min(math.ceil(width / _TILE) * math.ceil(height / _TILE), _TILES_MOST)


def _patches(pixels: Pixels, budget: int, side: int) -> int:
    """The guide's own steps: shrunk to the budget, and a little more, so that it is whole patches one way."""
    width, height = _within(pixels, side)
    if math.ceil(width / _PATCH) * math.ceil(height / _PATCH) <= budget:
        return math.ceil(width / _PATCH) * math.ceil(height / _PATCH)
    shrunk = math.sqrt(_PATCH**2 * budget / (width * height))
    across, down = width * shrunk / _PATCH, height * shrunk / _PATCH
    shrunk *= min(max(1, math.floor(one)) / one for one in (across, down))
    across, down = (math.ceil(round(one * shrunk, 6) / _PATCH) for one in (width, height))
    return min(int(across * down), budget)


def _within(pixels: Pixels, side: int) -> tuple[Fraction, Fraction]:
    """Shrunk until no side is longer."""
    scale = min(Fraction(1), Fraction(side, max(pixels)))
    return pixels[0] * scale, pixels[1] * scale


def made_tokens(model: str, quality: str, size: str) -> tuple[int, int] | None:
    """(tokens of one picture, the most they can be) that this model makes; None where its counts are not known.

    What is left to the service (`auto`, or nothing said) is reckoned as medium and square, and at most as the dearest.
    """
    if model.lower() != "gpt-image-1":
        return None
    rows = [_MADE[quality]] if quality in _MADE else list(_MADE.values())
    found = [row[size] for row in rows if size in row] or [n for row in rows for n in row.values()]
    common = _MADE.get(quality, _MADE["medium"])
    return common.get(size, common["1024x1024"]), max(found)
