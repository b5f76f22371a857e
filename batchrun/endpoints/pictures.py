"""Images inside JSON: base64 in, bytes out, and what they are by their own first bytes. Pure.

What a service says of an image is not believed: a file is named by what it holds, so that no name lies about its content.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Final

from batchrun.endpoints.tolerant import objects
from batchrun.model import Json, JsonObject

PICTURED: Final = ("image_calls", "code_calls")
EXTENSIONS: Final = ("png", "webp", "jpeg", "gif", "svg")
_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_SVG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml|<!--|<!doctype svg|<svg[\s>])", re.IGNORECASE
)
_SVG_WITHIN_BYTES: Final = 4_096  # an XML declaration and comments may come first
_DATA_URL: Final = re.compile(r"data:[^,;]*(?:;[^,;]*)*;base64,", re.IGNORECASE)


def decoded(text: Json) -> bytes | None:
    """The bytes that `text` spells in base64, in lines or not, also as a data URL; None where it spells none."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    start = _DATA_URL.match(text)
    packed = "".join((text[start.end() :] if start else text).split())
    try:
        return base64.b64decode(packed, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def format_of(content: bytes) -> str | None:
    """The format of an image, one of EXTENSIONS; None for anything else."""
    for start, name in _STARTS:
        if content.startswith(start):
            return name
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp"
    head = content[:_SVG_WITHIN_BYTES]
    return "svg" if _SVG.match(head) and b"<svg" in head.lower() else None


def packed_in(body: JsonObject) -> Iterator[str]:
    """Everything in a response body that may spell a picture, whichever endpoint it came from."""
    for entry in objects(body.get("data")):
        yield from _texts(entry.get("b64_json"))
    for item in objects(body.get("output")):
        yield from _texts(item.get("result"))
        for output in objects(item.get("outputs")):
            yield from _texts(output.get("url"))


def told_beside(value: Json) -> Iterator[JsonObject]:
    """The pictures that a field beside an answer tells of, which is one of PICTURED: those that were drawn, and those that code made.

    The field may have given way for its size: then it tells of pictures and of nothing else.
    """
    for entry in [value] if isinstance(value, dict) else objects(value):
        yield from objects(entry.get("images"))
        for output in objects(entry.get("outputs")):
            yield from objects(output.get("images"))


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value


def picture_of(packed: Json) -> JsonObject:
    """What the ledger keeps of an image: {"format", "bytes", "sha256"}, or {"broken"} with what is wrong with it."""
    if (content := decoded(packed)) is None:
        return {"broken": "the image is not there, or no base64"}
    if (kind := format_of(content)) is None:
        return {"broken": f"{len(content):,} bytes that are no image of a known format"}
    digest = hashlib.sha256(content).hexdigest()
    return {"format": kind, "bytes": len(content), "sha256": digest}
