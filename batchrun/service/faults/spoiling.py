"""The answer itself, damaged on its way: cut, wrongly measured, slow, wrongly encoded. The call has taken effect."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from batchrun.service.faults.exchange import Answer, Exchange
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.words import What

Spoiling: TypeAlias = Callable[[Exchange, Fault, Answer], Awaitable[None]]

_BLOCK: Final = 1 << 20
_SLOW_BYTES: Final = 1
_SLOW_S: Final = 10


async def _cut(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    await _write_as(exchange, answer, answer.cut_to(fault.bytes), length=len(answer.body))


async def _truncate(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    kept = answer.cut_to(fault.bytes)
    await exchange.reply(answer.with_body(kept))


async def _length(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    await _write_as(exchange, answer, answer.body, length=fault.bytes)


async def _unsized(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    await _write_as(exchange, answer, answer.cut_to(fault.bytes), length=None)


async def _chunked(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    kept = answer.cut_to(fault.bytes)
    chunk = b"%x\r\n%s\r\n" % (len(kept), kept) if kept else b""
    chunked = answer.with_header(b"content-length", None).with_body(chunk)
    await exchange.write(chunked.with_header(b"transfer-encoding", b"chunked"))


async def _slow(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    size = fault.bytes or _SLOW_BYTES
    seconds = _SLOW_S if fault.seconds is None else fault.seconds
    await exchange.reply_slowly(answer, size=size, seconds=seconds)


async def _gzip(exchange: Exchange, _fault: Fault, answer: Answer) -> None:
    await exchange.reply(answer.with_header(b"content-encoding", b"gzip"))


async def _bomb(exchange: Exchange, fault: Fault, answer: Answer) -> None:
    bomb = await asyncio.to_thread(_zeros, fault.bytes or _BLOCK)
    await exchange.reply(answer.with_header(b"content-encoding", b"gzip").with_body(bomb))


async def _write_as(exchange: Exchange, answer: Answer, body: bytes, *, length: int | None) -> None:
    announced = None if length is None else b"%d" % length
    await exchange.write(answer.with_header(b"content-length", announced).with_body(body))


def _zeros(size: int) -> bytes:
    """So many zero bytes, gzipped; about a thousandth of the size, and never more than a block at once."""
    packer = zlib.compressobj(wbits=31)
    packed = bytearray()
    for start in range(0, size, _BLOCK):
        packed += packer.compress(bytes(min(_BLOCK, size - start)))
    return bytes(packed + packer.flush())


SPOILING: Final[dict[What, Spoiling]] = {
    What.CUT: _cut,
    What.TRUNCATE: _truncate,
    What.LENGTH: _length,
    What.UNSIZED: _unsized,
    What.CHUNKED: _chunked,
    What.SLOW: _slow,
    What.GZIP: _gzip,
    What.BOMB: _bomb,
}
