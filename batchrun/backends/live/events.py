"""Server-sent events out of bytes that come in any pieces, as the HTML standard reads them. Pure.

Lines end at CR, LF or both, and at nothing else: data may hold U+2028 and its like.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

_BOM: Final = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type ("" where it names none), and its data, whose lines are joined by LF."""

    name: str
    data: bytes


class EventReader:
    """`feed` it what comes; `close` gives what the last bytes leave, where the end of the stream stands for the empty line."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line that has not ended
        self._ended_in_cr = False
        self._is_first = True
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece."""
        if self._ended_in_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ended_in_cr = False
        if not piece:
            return
        self._ended_in_cr = piece.endswith(b"\r")
        first, *others = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._pieces.append(first)
        for other in others:
            event = self._end_line()
            self._pieces = [other]
            if event is not None:
                yield event

    def close(self) -> Event | None:
        """The event that only lacks its empty line."""
        return self._end_line() or self._dispatched()

    def _end_line(self) -> Event | None:
        line = b"".join(self._pieces)
        self._pieces = []
        if self._is_first:
            line, self._is_first = line.removeprefix(_BOM), False
        if not line:
            return self._dispatched()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        # A comment has an empty name; `id` and `retry` are for those who reconnect.
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatched(self) -> Event | None:
        event = Event(self._name, b"\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event
