"""Which of many hashes came twice: exactly, however many there are."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import xxhash

from batchrun.ledger.fingerprints import START_BYTES, Fingerprints
from batchrun.ledger.home import Home


def hashes(numbers: Iterable[int]) -> list[bytes]:
    return [xxhash.xxh3_128_digest(b"%d" % n) for n in numbers]


def repeated(folder: Path, *portions: list[bytes]) -> set[bytes]:
    home = Home(folder)
    home.requests.mkdir(parents=True)
    found = Fingerprints(home)
    for portion in portions:
        found.note(portion)
    assert list(home.requests.iterdir()) == []  # nothing to sweep, whatever dies
    starts = list(found.repeated())
    assert len(set(starts)) == len(starts)
    found.close()
    return set(starts)


@pytest.mark.parametrize(
    ("first", "second", "twice"),
    [
        ([], [], []),
        ([1], [], []),
        (range(5_000), range(5_000, 9_000), []),
        (range(5_000), range(4_998, 9_000), [4_998, 4_999]),
        ([7, 7, 7], [7], [7]),
    ],
    ids=["none", "one", "all different", "two", "all the same"],
)
def test_those_that_came_twice_are_found_and_no_others(
    tmp_path: Path, first: Iterable[int], second: Iterable[int], twice: Iterable[int]
) -> None:
    found = repeated(tmp_path, hashes(first), hashes(second))
    assert found == {one[:START_BYTES] for one in hashes(twice)}


def test_very_many_are_found_in_portions(tmp_path: Path) -> None:
    all_of_them = hashes(range(160_000))
    assert len(repeated(tmp_path, all_of_them, all_of_them)) == 160_000
