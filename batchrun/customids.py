"""Custom ids: what a request is called on the wire, and what an answer's name says of the item that was asked.

A name is made for every item of a job and at every sending, so there is a way to make one, and faster ways to make many.
"""

import json
import re
from collections.abc import Iterable
from typing import Final

import xxhash

_START: Final = b'{"custom_id":"'
_ITEM_DIGITS: Final = 18  # a longer number is no row id
_CUSTOM_ID: Final = re.compile(rf"([0-9]{{1,{_ITEM_DIGITS}}})-([0-9]{{1,9}})-([0-9a-f]{{12}})")


def custom_id(item: int, send: int, key: str | None) -> str:
    """`<item>-<send>-<h>`: unique on the wire, and `h` leads back to the user's id when the ledger is lost.

    h: 12 hex digits of xxh3-64 of the id (of "" for items without one). It only has to tell ids apart, not to keep secrets,
    and a cryptographic hash would cost a fifth of PREPARE.
    """
    return f"{item}-{send}-{xxhash.xxh3_64_hexdigest((key or '').encode())[:12]}"


def custom_ids(items: Iterable[int], sends: Iterable[int], keys: Iterable[str | None]) -> list[str]:
    """`custom_id` of many at once, in half the time."""
    hashes = map(xxhash.xxh3_64_hexdigest, [(key or "").encode() for key in keys])
    return [
        f"{item}-{send}-{hashed[:12]}"
        for item, send, hashed in zip(items, sends, hashes, strict=True)
    ]


def item_of(custom_id: str) -> int | None:
    """The number of the item that a custom_id names, whether or not there is such an item; None for a stranger's, which names none."""
    item = custom_id.partition("-")[0]
    return int(item) if item.isdecimal() and len(item) <= _ITEM_DIGITS else None


def parts_of(custom_id: str) -> tuple[int, int, int] | None:
    """Item number, send and hash of the id, of a custom_id of any ledger; None for a stranger's."""
    found = _CUSTOM_ID.fullmatch(custom_id)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3], 16))


def first_prefixes(first: int, keys: Iterable[str]) -> list[bytes]:
    """`line_prefix(custom_id(item, 1, key))` of items numbered from `first`, as fast as can be: it is made for every item of a job."""
    hashes = map(xxhash.xxh3_64_hexdigest, map(str.encode, keys))
    return [
        f'{{"custom_id":"{item}-1-{hashed[:12]}",'.encode()
        for item, hashed in enumerate(hashes, first)
    ]


def line_prefix(identifier: str) -> bytes:
    """The start of a request line; with a tail and a newline it is whole. Our custom_ids need no escaping."""
    return b'{"custom_id":"%b",' % identifier.encode("ascii")


def foreign_prefix(identifier: str) -> bytes:
    """`line_prefix` for a custom_id that somebody else has given: any text, in ASCII all the same."""
    return b'{"custom_id":%b,' % json.dumps(identifier).encode()


def request_parts(line: bytes) -> tuple[str, bytes] | None:
    """The custom_id of a line of a request file, and what follows it; None of a line of any other form, such as one that is half blank."""
    name, quote, tail = line.removeprefix(_START).partition(b'",')
    if not quote or not line.startswith(_START) or not name.isascii():
        return None
    if b"\\" not in name:
        return name.decode("ascii"), tail
    try:  # the quote that was found may be part of an escaped name
        found, end = json.JSONDecoder().raw_decode(line.decode("latin-1"), len(_START) - 1)
    except ValueError:
        return None
    return (found, line[end + 1 :]) if line[end : end + 1] == b"," else None
