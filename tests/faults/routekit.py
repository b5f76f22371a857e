"""A server's answers by call, whatever the order in which they are made."""

from collections import defaultdict, deque

from misbehaving import Handler, Server, Step, answer, file


class Routes:
    """Answers to `POST /files` and the like: each in turn, the last of them again and again. A listing is empty until it is told more."""

    def __init__(self, server: Server) -> None:
        self._steps: dict[str, deque[Step]] = defaultdict(deque)
        self._server = server
        server.then(*[self._answer] * 1_000)
        self.on("GET /batches", answer({"object": "list", "data": [], "has_more": False}))
        self.on("POST /files", answer(file(id="file-in", bytes=None)))

    def on(self, call: str, *steps: Step) -> None:
        """From now on, answer this call so."""
        self._steps[call] = deque(steps)

    def count(self, call: str) -> int:
        """How often this call was made."""
        return sum(f"{seen.method} {_place(seen.path)}" == call for seen in self._server.seen)

    def _answer(self, handler: Handler) -> None:
        steps = self._steps[f"{handler.command} {_place(handler.path)}"]
        (steps.popleft() if len(steps) > 1 else steps[0])(handler)


def _place(path: str) -> str:
    """`/v1/batches/batch_1?x=1` -> `/batches/batch_1`."""
    return path.partition("?")[0].removeprefix("/v1")
