"""The uploaded files that a request refers to, wherever its endpoint has them. Pure."""

from collections.abc import Iterator

from batchrun.model import Json, JsonObject
from batchrun.service import prompts


def file_ids(url: str, body: JsonObject) -> Iterator[str]:
    """Ids of files that the model would read. Of a body of any shape; raises nothing."""
    match url:
        case prompts.RESPONSES:
            parts: list[Json] = _parts(body.get("input"))
        case prompts.CHAT:
            parts = [part.get("file") for part in _parts(body.get("messages"))]
        case prompts.EDITS:
            parts = [*_list(body.get("images")), body.get("mask")]
        case _:
            parts = []
    for part in parts:
        if isinstance(part, dict) and isinstance(file_id := part.get("file_id"), str):
            yield file_id


def _parts(messages: Json) -> list[Json]:
    return [
        part
        for message in _list(messages)
        if isinstance(message, dict)
        for part in _list(message.get("content"))
        if isinstance(part, dict)
    ]


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
