"""File names from foreign text: whatever an id holds, its file stays inside its folder and never meets another item's.

A name that is made of `A-Z a-z 0-9 . _ -` stays as it is. Anything else is percent-encoded and gets `~` and 8 hex digits of its hash; `~`
is never part of an unchanged name, so the two kinds cannot meet. All names are ASCII: twins that differ only in their Unicode form do not
exist; those that differ only in upper and lower case are told apart by `distinct_name` for file systems that do not.
"""

import hashlib
import re
from typing import Final

NAME_LIMIT_BYTES: Final = (
    200  # file systems take 255; the rest is room for temp names and what other tools append
)
_EXTENSION_LIMIT: Final = 17
_SAFE: Final = re.compile(rb"[A-Za-z0-9._-]")
_UNCHANGED: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_OURS: Final = re.compile(r"[A-Za-z0-9_%][A-Za-z0-9._~%-]*")
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")
# Device names of Windows, with or without an extension; COM¹ and its like are no ASCII and so encoded anyway.
_DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9])(\.|\Z)", re.IGNORECASE
)


def safe_name(text: str) -> str:
    """A file name for `text`: 1..200 ASCII bytes, no separator, no leading dot or dash, no trailing dot, no device name."""
    if (
        _UNCHANGED.fullmatch(text)
        and len(text) <= NAME_LIMIT_BYTES
        and not text.endswith(".")
        and not _DEVICE.match(text)
    ):
        return text
    stem, extension = _split(text)
    return _joined(_encoded(stem), "~" + _hash(text, 8), extension)


def distinct_name(name: str, item_id: str) -> str:
    """`name` for one of several items that would share it: told apart by 16 hex digits of the hash of the item's id."""
    stem, extension = _split(name)
    return _joined(stem, "~" + _hash(item_id, 16), extension)


def is_ours(name: str) -> bool:
    """Whether `name` could have been made here; nothing else is ever opened or removed."""
    return len(name) <= NAME_LIMIT_BYTES and _OURS.fullmatch(name) is not None


def _split(text: str) -> tuple[str, str]:
    found = _EXTENSION.search(text)
    if found is None or found.start() == 0:
        return text, ""
    return text[: found.start()], found[0]


def _encoded(stem: str) -> str:
    raw = stem.encode("utf-8", "surrogatepass")
    parts = [chr(byte) if _SAFE.match(raw, at) else f"%{byte:02X}" for at, byte in enumerate(raw)]
    if parts and (parts[0] in {".", "-"} or _DEVICE.match(stem)):
        parts[0] = f"%{raw[0]:02X}"
    size, kept = 0, 0
    most = NAME_LIMIT_BYTES - _EXTENSION_LIMIT - 9
    while kept < len(parts) and size + len(parts[kept]) <= most:
        size += len(parts[kept])
        kept += 1
    return "".join(parts[:kept]) or "_"


def _joined(stem: str, mark: str, extension: str) -> str:
    room = NAME_LIMIT_BYTES - len(mark) - len(extension)
    return stem[:room] + mark + extension


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
