"""Tokens of images: the worked examples of OpenAI's guide, and the rule of each family."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.money.images import Seen, seen_tokens

SIDES = st.integers(1, 70_000)


@pytest.mark.parametrize(
    ("model", "pixels", "tokens"),
    [
        ("gpt-4o", (1_024, 1_024), 765),
        ("gpt-4o", (2_048, 4_096), 1_105),
        ("gpt-4o", (4_096, 8_192), 1_105),
        ("gpt-4.1", (768, 1_536), 1_105),
        ("gpt-4o-mini", (1_024, 1_024), 25_501),
        ("gpt-5", (1_024, 1_024), 630),
        ("gpt-5.1", (1_024, 1_024), 630),
        ("o3", (1_024, 1_024), 675),
        ("gpt-4.1-mini", (1_024, 1_024), 1_659),
        ("gpt-4.1-mini", (1_800, 2_400), 2_353),  # 1,452 patches
        ("gpt-5-nano", (1_800, 2_400), 3_572),
        ("o4-mini", (1_024, 1_024), 1_762),
        ("gpt-5.6", (640, 480), 360),
        ("gpt-5.6", (4_800, 6_400), 36_000),
        ("gpt-6-sol", (1_280, 720), 1_104),
    ],
)
def test_a_size_tells_the_tokens(model: str, pixels: tuple[int, int], tokens: int) -> None:
    assert seen_tokens(model, "auto", pixels) == (tokens, tokens)


@pytest.mark.parametrize(
    ("model", "common", "most"),
    [
        ("gpt-4o", 765, 1_445),
        ("ft:gpt-4.1-2025-04-14:me::1", 765, 1_445),
        ("openai/gpt-5-mini", 1_659, 2_489),
        ("gpt-5.2", 1_229, 1_844),
        ("gpt-5.4", 1_229, 12_000),
        ("gpt-6-sol", 1_229, 36_000),
        ("gpt-4o-mini", 25_501, 48_169),
    ],
)
def test_where_no_size_is_known_there_is_a_common_and_a_largest_one(
    model: str, common: int, most: int
) -> None:
    assert seen_tokens(model) == (common, most)


@pytest.mark.parametrize(
    ("model", "detail", "pixels", "seen"),
    [
        ("gpt-4o", "low", None, (85, 85)),
        ("gpt-4o", "low", (9_000, 9_000), (85, 85)),
        ("gpt-6-sol", "low", (1_280, 720), (173, 173)),
        ("gpt-5-mini", "low", (1_024, 1_024), (415, 1_659)),
        ("gpt-5.6", "high", (2_880, 864), (2_916, 2_916)),
        ("gpt-5.4", "high", (4_800, 6_400), (2_942, 2_942)),
        ("gpt-5.4", "original", (3_200, 3_200), (12_000, 12_000)),
        ("gpt-5.4", "auto", (3_200, 3_200), (3_000, 12_000)),
        ("gpt-5.5", "auto", (3_200, 3_200), (12_000, 12_000)),
        ("gpt-4o", "high", (300, 300), (255, 765)),
        ("gpt-5-mini", "high", (4_096, 512), (830, 2_191)),
    ],
)
def test_detail_counts_and_what_can_be_read_in_two_ways_is_a_range(
    model: str, detail: str, pixels: tuple[int, int] | None, seen: tuple[int, int]
) -> None:
    assert seen_tokens(model, detail, pixels) == seen


@pytest.mark.parametrize("model", ["qwen3-vl", "claude-5", "gpt-oss-120b", "gpt-9"])
def test_of_others_no_rule_is_known(model: str) -> None:
    assert seen_tokens(model) is None


@given(
    model=st.sampled_from(["gpt-4o", "gpt-5-mini", "gpt-5.4", "gpt-5.5", "gpt-6-sol"]),
    detail=st.sampled_from(["low", "high", "auto", "original"]),
    pixels=st.tuples(SIDES, SIDES),
)
def test_no_image_is_more_than_the_largest(
    model: str, detail: str, pixels: tuple[int, int]
) -> None:
    seen, largest = seen_tokens(model, detail, pixels), seen_tokens(model, detail)

    assert isinstance(seen, Seen)
    assert largest is not None
    assert 0 < seen.common <= seen.most <= largest.most
