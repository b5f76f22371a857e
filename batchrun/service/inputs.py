"""Reading an input file again that passed validation: whole requests for the executor, names alone for expiry. Streams."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from batchrun.model import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request of a batch; `number` is 1-based, `offset` the position of its first byte."""

    number: int
    offset: int
    custom_id: str
    url: str
    body: JsonObject


class _Request(msgspec.Struct):
    custom_id: str
    url: str
    body: JsonObject


class _Name(msgspec.Struct):
    custom_id: str


def read_lines(
    source: BinaryIO, *, first: int, offset: int, is_finished: Callable[[int], bool]
) -> Iterator[Line]:
    """The requests from line `first` on, which begins at `offset`, without those that are finished, which are not even decoded."""
    decode = msgspec.json.Decoder(_Request).decode
    source.seek(offset)
    for number, raw in enumerate(source, first):
        if not is_finished(number):
            request = decode(raw)
            yield Line(
                number=number,
                offset=offset,
                custom_id=request.custom_id,
                url=request.url,
                body=request.body,
            )
        offset += len(raw)


def read_custom_ids(source: BinaryIO) -> Iterator[tuple[int, str]]:
    """Number and custom_id of every line."""
    decode = msgspec.json.Decoder(_Name).decode
    for number, raw in enumerate(source, 1):
        yield number, decode(raw).custom_id
