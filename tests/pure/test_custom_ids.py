"""Custom ids: pinned, since answers to requests that an older release sent are found by them."""

import pytest

from batchrun.customids import custom_id, custom_ids, first_prefixes, item_of, line_prefix, parts_of


def test_the_custom_id_of_an_attempt_never_changes() -> None:
    assert custom_id(17, 2, "a1") == "17-2-b8fd8403c5ec"
    assert custom_id(18, 1, None) == "18-1-2d06800538d3"
    assert custom_id(18, 1, "") == custom_id(18, 1, None)
    assert line_prefix("17-2-abc") == b'{"custom_id":"17-2-abc",'


@pytest.mark.parametrize(
    ("identifier", "item"),
    [
        ("17-2-b8fd8403c5ec", 17),
        ("17", 17),
        (f"{10**18 - 1}-1-x", 10**18 - 1),
        (f"{10**18}-1-x", None),  # no row id has so many digits, and SQLite would refuse it
        ("request-17", None),
        ("-17-1", None),
        (" 17-1", None),
        ("", None),
    ],
)
def test_a_custom_id_names_its_item_and_a_strangers_names_none(
    identifier: str, item: int | None
) -> None:
    assert item_of(identifier) == item


def test_custom_ids_of_many_are_those_of_each() -> None:
    rows = [(17, 2, "a1"), (18, 1, None), (19, 3, "日本")]
    assert custom_ids(*zip(*rows, strict=True)) == [custom_id(*row) for row in rows]


def test_the_first_prefixes_of_many_are_those_of_each() -> None:
    keys = ["a1", "", "é☀", "x" * 60]
    assert first_prefixes(17, keys) == [
        line_prefix(custom_id(item, 1, key)) for item, key in enumerate(keys, 17)
    ]


@pytest.mark.parametrize(
    ("identifier", "parts"),
    [
        (custom_id(17, 2, "a1"), (17, 2, 0xB8FD8403C5EC)),
        ("17-2-b8fd8403c5e", None),
        ("17-2-B8FD8403C5EC", None),
        (f"{10**18}-1-b8fd8403c5ec", None),
        ("17-2-b8fd8403c5ec-x", None),
        ("request-17", None),
    ],
)
def test_the_parts_of_a_custom_id_are_told_and_a_stranger_has_none(
    identifier: str, parts: tuple[int, int, int] | None
) -> None:
    assert parts_of(identifier) == parts
