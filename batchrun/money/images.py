"""Tokens of images, by the rules that OpenAI gives for each family of models. An estimate: the service alone sees them.

Models either count tiles of 512 pixels, after the image was shrunk to fit 2,048 square and then to 768 on its shorter side, or patches of 32
pixels, at most 1,536 of them, times a factor. Source: OpenAI's guide to images; where it can be read in two ways, the dearer one.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_PATCH: Final = 32
_PATCHES_MOST: Final = 1_536
_TILE: Final = 512
_TILES_MOST: Final = 8  # of 768 by 2,048 pixels
_COMMON_SIDE: Final = 1_024  # of an image whose size is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    base: int
    tile: int

    def tokens(self, tiles: int) -> int:
        return self.base + tiles * self.tile


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patches:
    factor: Fraction

    def tokens(self, patches: int) -> int:
        return math.ceil(min(patches, _PATCHES_MOST) * self.factor)


_USUAL: Final = _Tiles(base=85, tile=170)
# The longest beginning counts.
_RULES: Final[dict[str, _Tiles | _Patches]] = {
    "gpt-4o": _USUAL,
    "gpt-4o-mini": _Tiles(base=2_833, tile=5_667),
    "gpt-4.1": _USUAL,
    "gpt-4.1-mini": _Patches(factor=Fraction("1.62")),
    "gpt-4.1-nano": _Patches(factor=Fraction("2.46")),
    "gpt-5": _Tiles(base=70, tile=140),
    "gpt-5-mini": _Patches(factor=Fraction("1.62")),
    "gpt-5-nano": _Patches(factor=Fraction("2.46")),
    "o1": _Tiles(base=75, tile=150),
    "o3": _Tiles(base=75, tile=150),
    "o4-mini": _Patches(factor=Fraction("1.72")),
}
# Tokens of one picture that gpt-image-1 makes, by quality and size. Source: OpenAI's guide to image generation.
_MADE: Final = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1_056, "1024x1536": 1_584, "1536x1024": 1_568},
    "high": {"1024x1024": 4_160, "1024x1536": 6_240, "1536x1024": 6_208},
}


def seen_tokens(model: str, *, is_low: bool) -> tuple[int, int]:
    """(tokens of one image of 1,024 pixels square, tokens of the largest) that this model is shown; `is_low`: with `"detail": "low"`."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    known = max((begin for begin in _RULES if name.startswith(begin)), key=len, default="gpt-4o")
    rule = _RULES[known]
    if isinstance(rule, _Patches):
        common = rule.tokens((_COMMON_SIDE // _PATCH) ** 2)
        return common, rule.tokens(_PATCHES_MOST)
    if is_low:
        return rule.base, rule.base
    return rule.tokens(4), rule.tokens(_TILES_MOST)


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
