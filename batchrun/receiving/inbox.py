"""One event after the other: is it signed, what does it say, which batch does it wake. Called by several threads."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from batchrun.errors import LedgerError
from batchrun.ledger.waking import Woken
from batchrun.model import Json

logger = logging.getLogger(__name__)

_KIND: Final = "batch."
_SHOWN_CHARACTERS: Final = 100


class Inbox:
    """Takes events, and holds the batches that they woke until a pass asks for them.

    `wake(event_id, remote_id)` makes what an event says durable; `is_signed` judges its bytes.
    """

    def __init__(
        self,
        is_signed: Callable[[bytes, Mapping[str, str]], bool],
        wake: Callable[[str, str], Woken],
    ) -> None:
        self._is_signed, self._wake = is_signed, wake
        self._woken: set[str] = set()
        self._bell = threading.Condition()
        self._counts: Counter[str] = Counter()

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The HTTP status that answers an event: 204 for all that is signed, 400 otherwise, 503 where it must be sent again."""
        if not self._is_signed(body, headers):
            self._count("refused", "", "", "its signature is wrong, or older than five minutes")
            return 400
        event_id = headers.get("webhook-id", "")
        kind, remote_id = _read(body)
        if kind is None or remote_id is None or not kind.startswith(_KIND):
            self._count("ignored", event_id, kind or "", "")
            return 204
        try:
            came_to = self._wake(event_id, remote_id)
        except LedgerError as exc:
            self._count("not noted", event_id, kind, str(exc))
            return 503
        self._count(str(came_to), event_id, kind, remote_id)
        if came_to is Woken.WOKEN:
            with self._bell:
                self._woken.add(remote_id)
                self._bell.notify_all()
        return 204

    def woken(self, wait_s: float) -> frozenset[str]:
        """The batches that were woken since the last call: at once where there are some, else after at most `wait_s` seconds."""
        with self._bell:
            self._bell.wait_for(lambda: self._woken, wait_s)
            found = frozenset(self._woken)
            self._woken.clear()
        return found

    def _count(self, what: str, event_id: str, kind: str, detail: str) -> None:
        with self._bell:
            self._counts[what] += 1
            number = self._counts[what]
        short = [text[:_SHOWN_CHARACTERS] for text in (event_id, kind, detail)]
        logger.info("event %r of type %r, %r: %s, number %d", *short, what, number)


def _read(body: bytes) -> tuple[str | None, str | None]:
    """Type and object of an event, as far as they are there."""
    try:
        event: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(event, dict):
        return None, None
    kind, data = event.get("type"), event.get("data")
    name = data.get("id") if isinstance(data, dict) else None
    return (
        kind if isinstance(kind, str) else None,
        name if isinstance(name, str) and name else None,
    )
