"""Instead of an answer: errors, pages, redirects, silence, the view of a stranger. Before the call takes effect, or after."""

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final, TypeAlias

import msgspec

from batchrun.clock import Clock
from batchrun.model import JsonObject
from batchrun.service.faults.course import refusal_of
from batchrun.service.faults.exchange import Answer, Exchange, json_answer
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.words import Moment, Place, What
from batchrun.service.refusals import ServiceError

# The answer is what the application said, or None before the effect.
Refusing: TypeAlias = Callable[[Exchange, Fault, Answer | None, Clock], Awaitable[None]]

_PAGE: Final = (
    b"<html><head><title>Error</title></head><body><h1>The gateway is busy</h1></body></html>\n"
)
_NOISE: Final = b"SSH-2.0-OpenSSH_9.2\r\n"
_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_LISTS: Final = frozenset({Place.LIST, Place.LIST_FILES})
_SENDS_A_BODY: Final = frozenset({Place.UPLOAD, Place.CREATE})
_ON_BATCHES: Final = frozenset({Place.GET_BATCH, Place.CANCEL})


async def _status(exchange: Exchange, fault: Fault, _answer: Answer | None, clock: Clock) -> None:
    headers = []
    if fault.retry_after_s is not None:
        after = str(fault.retry_after_s)
        if fault.as_date:
            after = formatdate(clock.now() + fault.retry_after_s, usegmt=True)
        headers.append((b"retry-after", after.encode()))
    await exchange.reply(
        json_answer(refusal_of(fault), status=fault.status or 500, headers=headers)
    )


async def _html(exchange: Exchange, fault: Fault, _answer: Answer | None, _clock: Clock) -> None:
    await exchange.reply(Answer(status=fault.status or 200, headers=(_HTML,), body=_PAGE))


async def _empty(exchange: Exchange, fault: Fault, _answer: Answer | None, _clock: Clock) -> None:
    await exchange.reply(Answer(status=fault.status or 200, headers=(), body=b""))


async def _redirect(
    exchange: Exchange, fault: Fault, _answer: Answer | None, _clock: Clock
) -> None:
    to = (fault.to or "").encode("ascii", "backslashreplace")
    answer = Answer(status=fault.status or 307, headers=((b"location", to),), body=b"")
    await exchange.reply(answer)


async def _drop(exchange: Exchange, fault: Fault, answer: Answer | None, _clock: Clock) -> None:
    if fault.happens is not Moment.DURING:
        await exchange.reset()
    elif exchange.place in _SENDS_A_BODY:
        await exchange.body(1 if fault.bytes is None else fault.bytes)
        await exchange.reset()
    else:
        answer = await exchange.effect()
        await exchange.reset(exchange.head_of(answer) + answer.cut_to(fault.bytes))


async def _noise(exchange: Exchange, _fault: Fault, _answer: Answer | None, _clock: Clock) -> None:
    await exchange.body()
    await exchange.end(_NOISE)


async def _delay(exchange: Exchange, fault: Fault, answer: Answer | None, _clock: Clock) -> None:
    await exchange.wait(fault.seconds or 0)
    if answer is None:
        await exchange.through()
    else:
        await exchange.reply(answer)


async def _stranger(
    exchange: Exchange, _fault: Fault, _answer: Answer | None, _clock: Clock
) -> None:
    if exchange.place is Place.UPLOAD:
        await exchange.through()  # one may always add; nobody will find it
        return
    if exchange.place in _LISTS:
        nothing: JsonObject = {"object": "list", "data": [], "first_id": None, "last_id": None}
        await exchange.reply(json_answer({**nothing, "has_more": False}, status=200))
        return
    if exchange.place is Place.CREATE:
        refusal = await _no_such_input(exchange)
    else:
        kind = "Batch" if exchange.place in _ON_BATCHES else "File"
        message = f"No such {kind} object: {exchange.object_id}"
        refusal = ServiceError(status=404, message=message, param="id")
    await exchange.reply(json_answer(refusal.body, status=refusal.status))


async def _no_such_input(exchange: Exchange) -> ServiceError:
    try:
        asked = msgspec.json.decode(await exchange.body())
    except msgspec.DecodeError:
        asked = None
    file_id = asked.get("input_file_id") if isinstance(asked, dict) else None
    message = f"No such File object: {file_id}"
    return ServiceError(status=400, message=message, param="input_file_id")


REFUSING: Final[dict[What, Refusing]] = {
    What.STATUS: _status,
    What.HTML: _html,
    What.EMPTY: _empty,
    What.REDIRECT: _redirect,
    What.DROP: _drop,
    What.NOISE: _noise,
    What.DELAY: _delay,
    What.STRANGER: _stranger,
}
