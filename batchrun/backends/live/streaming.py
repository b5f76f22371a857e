"""The live responder for somebody who watches: answers are asked for in parts, shown as they come, and recorded when they are whole."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from batchrun.backends.live.assembling import STREAMED, Assembler, BrokenStream
from batchrun.backends.live.events import Event, EventReader
from batchrun.backends.live.responder import LiveResponder
from batchrun.clock import Clock
from batchrun.model import JsonObject, Rates
from batchrun.service.responders.base import Unanswered

if TYPE_CHECKING:
    from batchrun.backends.openai_live import Answer, LiveClient

OnDelta = Callable[[str, str], None]  # the custom_id, and what its answer goes on with

_REFUSE: Final = frozenset({400, 404, 405, 415, 422, 501})  # that is how "no streaming here" comes


class StreamingResponder(LiveResponder):
    """`LiveResponder` that tells `on_delta` of each piece of an answer's text, from the threads that ask; what it raises ends that answer.

    Endpoints that do not stream are asked plainly, and so is a server that answers or refuses as if it did not.
    """

    def __init__(
        self,
        open_client: "Callable[[], LiveClient]",
        rates: Rates,
        clock: Clock,
        *,
        on_delta: OnDelta,
        has_tiers: bool = False,
    ) -> None:
        super().__init__(open_client, rates, clock, has_tiers=has_tiers)
        self._on_delta = on_delta
        self._is_refused = False

    def _post(
        self,
        client: "LiveClient",
        url: str,
        body: JsonObject,
        content: bytes,
        *,
        custom_id: str | None,
        timeout_s: float,
    ) -> "Answer":
        """As the base does, in parts. Raises Unanswered where these never became an answer."""
        ask = partial(client.post, url, content, timeout_s=timeout_s)
        if url not in STREAMED or self._is_refused:
            return ask()
        parts = STREAMED[url](body)
        in_parts = msgspec.json.encode({**body, "stream": True, **parts.options})
        read = partial(self._read_parts, parts, custom_id or "")
        try:
            answer = client.post(url, in_parts, timeout_s=timeout_s, read_events=read)
        except BrokenStream as broken:
            reason = client.printable(str(broken))
            raise Unanswered(
                f"{client.host} answered POST {url} in parts, and {reason}. Nothing of it is kept."
            ) from None
        if not _refuses_stream(answer):
            return answer
        self._is_refused = True
        return ask()

    def _read_parts(self, parts: Assembler, custom_id: str, pieces: Iterable[bytes]) -> bytes:
        """The answer whose parts these bytes are."""
        reader = EventReader()

        def take(event: Event) -> None:
            if text := parts.take(event):
                self._on_delta(custom_id, text)

        for piece in pieces:
            for event in reader.feed(piece):
                take(event)
        if (last := reader.close()) is not None:
            take(last)
        return msgspec.json.encode(parts.answer())


def _refuses_stream(answer: "Answer") -> bool:
    """Whether a server refuses nothing but to stream."""
    if answer.status not in _REFUSE or answer.said is None:
        return False
    return "stream" in f"{answer.said.param or ''} {answer.said.message}".lower()
