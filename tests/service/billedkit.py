"""A responder whose calls cost money: what it executed outlives whatever becomes of the service that asked it."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from batchrun.model import JsonObject
from batchrun.service.responders.base import Reply, Responder


class Killed(BaseException):
    """What no handler of the service may swallow."""


@dataclass
class Billed(Responder):
    """Executes, and counts by custom_id. `before` and `after` are called around an execution and may raise."""

    width: int = 1
    before: Callable[[str], object] = lambda _custom_id: None
    after: Callable[[str], object] = lambda _custom_id: None
    waits: Callable[[], float] = lambda: 0.0
    costs: bool = True
    executed: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def concurrency(self) -> int:
        return self.width

    @property
    def is_billed(self) -> bool:
        return self.costs

    def wait_s(self) -> float:
        return self.waits()

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        assert custom_id is not None
        self.before(custom_id)
        with self._lock:
            self.executed[custom_id] += 1
            self.order.append(custom_id)
        self.after(custom_id)
        return Reply(status_code=200, body={"url": url, "input": body["input"]})


def once(custom_id: str, failure: BaseException) -> Callable[[str], None]:
    """Raise this for that line, the first time."""
    left = [failure]

    def raise_once(asked: str) -> None:
        if asked == custom_id and left:
            raise left.pop()

    return raise_once
