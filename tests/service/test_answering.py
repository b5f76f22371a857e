"""The door to the responder: never more at once than it wants now, though that changes while it answers."""

import threading

from batchrun.model import JsonObject
from batchrun.service.answering import Answering
from batchrun.service.responders.base import Reply, Responder

OK = Reply(status_code=200, body={})


class Shy(Responder):
    """Wants `wanted` at once; each answer waits for `may_end`, and says that it has begun."""

    def __init__(self) -> None:
        self.wanted = 2
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.under_way = self.most = 0
        self._lock = threading.Lock()

    @property
    def concurrency(self) -> int:
        return self.wanted

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.begun.release()
        assert self.may_end.acquire(timeout=30)
        with self._lock:
            self.under_way -= 1
        return OK


def test_a_responder_that_wants_fewer_gets_fewer_from_the_next_answer_on() -> None:
    shy = Shy()
    answering = Answering(shy, lambda file_id: file_id)

    def ask() -> None:
        answering.answer("/v1/responses", {}, custom_id=None)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert shy.begun.acquire(timeout=30)
    assert shy.begun.acquire(timeout=30)
    assert (answering.width, shy.most) == (2, 2)
    shy.wanted, shy.most = 1, 0
    for _ in range(2):
        shy.may_end.release()
    assert shy.begun.acquire(timeout=30)
    for _ in range(4):
        shy.may_end.release()
    for thread in threads:
        thread.join(30)
    assert shy.most == 1


def test_it_is_known_what_a_responder_without_wishes_wishes() -> None:
    class Plain(Responder):
        def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
            return OK

    answering = Answering(Plain(), lambda file_id: file_id)
    assert (answering.width, answering.wait_s(), answering.is_billed) == (1, 0.0, False)
