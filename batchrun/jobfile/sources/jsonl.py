"""JSON Lines as a source: data files, standard input, and the item lines of a job file."""

from collections.abc import Iterator
from typing import BinaryIO

from batchrun.jobfile.joblines import is_job_line, may_hold_job_line
from batchrun.jobfile.jsonl import decode_block
from batchrun.jobfile.lines import Block, read_blocks, too_long
from batchrun.jobfile.problems import Fault, ProblemSink
from batchrun.jobfile.sources.base import ItemBlock, in_blocks


class NoItems(Fault):
    """Not one line that is not blank."""


def read_jsonl(
    stream: BinaryIO, path: str, problems: ProblemSink, block_count: int
) -> Iterator[ItemBlock]:
    """The objects of a JSONL stream. Bad lines go to `problems`; a stream without a line that is not blank raises NoItems."""
    return _read(read_blocks(stream), path, problems, block_count)


def read_item_lines(
    stream: BinaryIO, path: str, after_line: int, problems: ProblemSink, block_count: int
) -> Iterator[ItemBlock]:
    """The objects between the job line on `after_line` and the next job line, good or broken."""
    return _read(_between(read_blocks(stream), after_line), path, problems, block_count)


def _read(
    blocks: Iterator[Block], path: str, problems: ProblemSink, block_count: int
) -> Iterator[ItemBlock]:
    is_empty = True

    def report(line: int, fault: Fault) -> None:
        nonlocal is_empty
        is_empty = False
        problems.add(fault.of_item(path, line))

    for block in blocks:
        if block.is_oversized:
            report(block.line, too_long())
            continue
        fields, lines = decode_block(block, report)
        if fields:
            is_empty = False
            yield from in_blocks(path, fields, lines, block_count)
    if is_empty:
        raise NoItems("the file is empty: no items")


def _between(blocks: Iterator[Block], after_line: int) -> Iterator[Block]:
    """Drop everything up to `after_line`, and everything from the next job line on."""
    for block in blocks:
        rest = _after(block, after_line)
        if rest is None:
            continue
        if not may_hold_job_line(rest.data):
            yield rest
            continue
        end = 0
        for line in rest.lines():
            if is_job_line(line):
                if end:
                    yield Block(line=rest.line, data=rest.data[:end])
                return
            end += len(line) + 1
        yield rest


def _after(block: Block, after_line: int) -> Block | None:
    """The part of a block that lies behind a line; None if there is none."""
    if block.line > after_line:
        return block
    count = 1 if block.is_oversized else block.data.count(b"\n")
    if block.line + count <= after_line or block.is_oversized:
        return None
    start = 0
    for _ in range(after_line - block.line + 1):
        start = block.data.find(b"\n", start) + 1
    return Block(line=after_line + 1, data=block.data[start:])
