"""A few of many items: those with certain ids, or some drawn by a seed. The data is read once, and no more of it is held than is chosen."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import xxhash

from batchrun.errors import UsageError
from batchrun.jobfile.sources.base import ItemBlock

_EXAMPLES: Final = 3
NameOf = Callable[[ItemBlock, int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which items of a job: those with these `ids`, or so many drawn by a `seed`: the same seed draws the same of the same data."""

    ids: tuple[str, ...] = ()
    count: int = 0
    seed: int = 0


def chosen(
    blocks: Iterable[ItemBlock], choice: Choice, name_of: NameOf, *, job: str
) -> Iterator[ItemBlock]:
    """The chosen items, in the order of the data. `name_of(block, index)` is an item's id, or where it stands, as outputs name it.

    Raises UsageError, after the last item, for an id that none has.
    """
    if choice.ids:
        return _with_ids(blocks, frozenset(choice.ids), name_of, job)
    return _drawn(blocks, choice.count, choice.seed)


def _with_ids(
    blocks: Iterable[ItemBlock], ids: frozenset[str], name_of: NameOf, job: str
) -> Iterator[ItemBlock]:
    missing, examples = set(ids), list[str]()
    for block in blocks:
        names = [name_of(block, index) for index in range(len(block.fields))]
        examples += names[: _EXAMPLES - len(examples)]
        if kept := [index for index, name in enumerate(names) if name in ids]:
            missing -= {names[index] for index in kept}
            yield _only(block, kept)
        if not missing:
            return
    if missing:
        like = f" Its items have ids like {', '.join(map(repr, examples))}." if examples else ""
        raise UsageError(f"job {job!r} has no item {', '.join(map(repr, sorted(missing)))}.{like}")


def _drawn(blocks: Iterable[ItemBlock], count: int, seed: int) -> Iterator[ItemBlock]:
    """Each item has a number that follows from the seed and its place: those with the smallest are drawn."""
    heap: list[tuple[int, int, ItemBlock]] = []
    place = 0
    for block in blocks:
        for index in range(len(block.fields)):
            lot = xxhash.xxh3_64_intdigest(b"%d" % place, seed=seed & (1 << 64) - 1)
            if len(heap) < count:
                heapq.heappush(heap, (-lot, place, _only(block, [index])))
            elif -lot > heap[0][0]:
                heapq.heapreplace(heap, (-lot, place, _only(block, [index])))
            place += 1
    yield from (block for _, _, block in sorted(heap, key=lambda drawn: drawn[1]))


def _only(block: ItemBlock, kept: list[int]) -> ItemBlock:
    return replace(
        block, fields=[block.fields[i] for i in kept], lines=[block.lines[i] for i in kept]
    )
