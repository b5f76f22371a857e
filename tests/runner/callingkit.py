"""Answers that call functions, as services give them, and a file of functions to call."""

import atexit
import hashlib
import json
from collections.abc import Collection
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runnerkit import World
from test_repairs import Model

from batchrun.model import JsonObject, Usage
from batchrun.service.bodies import CHAT, chat_body, responses_body
from batchrun.service.responders.script import Rule
from batchrun.tools.offer import ToolsFile
from batchrun.tools.worker import Worker

__all__ = ["TOOLS", "Model", "call", "calling", "chat_calling", "lend", "ran", "write_tools"]

TOOLS = '''
"""Functions for a model, and for nobody else."""

import pathlib

HERE = pathlib.Path(__file__).parent.parent


def stock(article: str, shop: str = "Lyon") -> dict[str, int]:
    """How many of an article a shop has.

    Not for the model.
    """
    with (HERE / "ran.txt").open("a") as ran:
        ran.write(f"{article} {shop}\\\\n")
    return {"pieces": len(article)}


def price(article: str) -> float:
    """What an article costs."""
    raise LookupError(f"no article {article!r}")


def _helper() -> None:
    raise AssertionError
'''.replace("\\\\", "\\")


def write_tools(folder: Path, text: str = TOOLS) -> Path:
    path = folder / "tools.py"
    path.write_text(text, "utf-8")
    return path


class _Shared(Worker):
    """One that several passes use, of several tests: starting a process takes longer than all else that these do."""

    def close(self) -> None:
        """Not before the last of them; the process may have been killed, and is started again."""
        if self._process is not None and self._process.poll() is not None:
            super().close()

    def end(self) -> None:
        super().close()


class _SharedFile(ToolsFile):
    def open(self, *, hidden: Collection[str] = ()) -> Worker:
        del hidden
        return _shared(self.path)


@cache
def _folder() -> Path:
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def _shared(path: Path) -> _Shared:
    worker = _Shared(path)
    atexit.register(worker.end)
    return worker


def lend(world: World, text: str = TOOLS) -> None:
    """Every pass of this world can run these functions."""
    folder = _folder() / hashlib.sha256(text.encode()).hexdigest()
    folder.mkdir(exist_ok=True)
    (_folder() / "ran.txt").write_text("")
    world.lent = {"tools": _SharedFile(path=write_tools(folder, text))}


def ran() -> list[str]:
    """The calls of `stock` that were run since `lend`, in order, as often as they were."""
    return (_folder() / "ran.txt").read_text("utf-8").splitlines()


def call(name: str, arguments: Any, call_id: str = "call_a") -> JsonObject:
    """One call as an item of a response."""
    spelled = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": spelled,
        "status": "completed",
    }


def calling(*calls: JsonObject, before: tuple[JsonObject, ...] = ()) -> Rule:
    """A response that calls functions."""
    body = responses_body("m", "", usage=Usage(input_tokens=5), created_at=0, ident="x")
    return Rule(body={**body, "output": [*before, *calls]})


def chat_calling(*calls: JsonObject, **message: Any) -> Rule:
    """A chat completion that calls functions."""
    body = chat_body("m", "", usage=Usage(input_tokens=5), created_at=0, ident="x")
    made = [
        {
            "id": one["call_id"],
            "type": "function",
            "function": {"name": one["name"], "arguments": one["arguments"]},
        }
        for one in calls
    ]
    said = {"role": "assistant", "content": None, "tool_calls": made, **message}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    return Rule(url=CHAT, body={**body, "choices": [choice]})
