"""A few items out of many: by their ids, or drawn by a seed."""

from collections.abc import Iterator

import pytest

from batchrun.errors import UsageError
from batchrun.jobfile import ItemBlock
from batchrun.jobfile.choosing import Choice, chosen


def blocks(count: int, *, size: int = 4) -> Iterator[ItemBlock]:
    for start in range(0, count, size):
        lines = range(start, min(start + size, count))
        fields = [{"id": f"q{n}"} for n in lines]
        yield ItemBlock(path="data.jsonl", fields=fields, lines=[n + 1 for n in lines])


def name_of(block: ItemBlock, index: int) -> str:
    return str(block.fields[index]["id"])


def pick(count: int, choice: Choice, *, size: int = 4) -> list[tuple[str, int]]:
    found = chosen(blocks(count, size=size), choice, name_of, job="faq")
    return [
        (fields["id"], line)
        for block in found
        for fields, line in zip(block.fields, block.lines, strict=True)
    ]


def test_items_are_found_by_their_ids_in_the_order_of_the_data_and_with_their_lines() -> None:
    assert pick(10, Choice(ids=("q9", "q1", "q2"))) == [("q1", 2), ("q2", 3), ("q9", 10)]


def test_reading_ends_where_all_are_found() -> None:
    read = blocks(100)
    list(chosen(read, Choice(ids=("q1", "q6")), name_of, job="faq"))
    assert name_of(next(read), 0) == "q8"


def test_ids_that_no_item_has_are_told_with_some_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"'faq' has no item 'x', 'y'.* 'q0', 'q1', 'q2'\."):
        pick(10, Choice(ids=("y", "q1", "x")))
    with pytest.raises(UsageError, match="no item 'x'"):
        pick(0, Choice(ids=("x",)))


def test_the_same_seed_draws_the_same_items_however_the_data_comes() -> None:
    drawn = pick(200, Choice(count=5, seed=7))
    assert len(set(drawn)) == 5
    assert drawn == sorted(drawn, key=lambda item: item[1])
    assert pick(200, Choice(count=5, seed=7), size=33) == drawn
    assert pick(200, Choice(count=5, seed=8)) != drawn
    assert pick(200, Choice(count=5, seed=-1)) != drawn


def test_more_than_there_are_draws_all() -> None:
    assert [name for name, _ in pick(3, Choice(count=5, seed=1))] == ["q0", "q1", "q2"]


def test_every_item_has_its_chance() -> None:
    drawn = {name for seed in range(200) for name, _ in pick(20, Choice(count=2, seed=seed))}
    assert len(drawn) == 20
