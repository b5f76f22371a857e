"""How large an image is, by the first bytes of its file: PNG, JPEG, GIF and WebP. Pure."""

import base64
import binascii
from typing import Final, TypeAlias

Pixels: TypeAlias = tuple[int, int]  # width, height

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_DATA: Final = "data:image/"
_FIRST: Final = 4_096  # characters of base64 that are looked at first; mostly they are enough
# Segments of a JPEG that begin a frame: those from C0 to CF that hold no tables.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment


def pixels_of(data: bytes) -> Pixels | None:
    """Width and height; None where the bytes are no such image, or end before they say it."""
    found = None
    if data.startswith(_PNG) and data[12:16] == b"IHDR":
        found = _big(data[16:20], 4), _big(data[20:24], 4)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        found = _little(data[6:8], 2), _little(data[8:10], 2)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        found = _of_webp(data)
    elif data.startswith(b"\xff\xd8"):
        found = _of_jpeg(data)
    return found if found is not None and all(found) else None


def pixels_in(url: str) -> Pixels | None:
    """Those of an image in a data URL; None of anything else."""
    head, comma, packed = url[:200].partition(",")
    if not comma or not head.startswith(_DATA) or not head.endswith(";base64"):
        return None
    start = len(head) + 1
    for end in (start + _FIRST, len(url)):
        packed = url[start:end]
        try:
            found = pixels_of(base64.b64decode(packed[: len(packed) // 4 * 4]))
        except (binascii.Error, ValueError):
            return None
        if found is not None:
            return found
    return None


def _of_webp(data: bytes) -> Pixels | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + _little(data[24:27], 3), 1 + _little(data[27:30], 3)
    if kind == b"VP8L":
        bits = _little(data[21:25], 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return _little(data[26:28], 2) & 0x3FFF, _little(data[28:30], 2) & 0x3FFF
    return None


def _of_jpeg(data: bytes) -> Pixels | None:
    """Of the first frame; what is before it, thumbnails among it, stands in segments of their own."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            return _big(data[at + 7 : at + 9], 2), _big(data[at + 5 : at + 7], 2)
        else:
            at += 2 + _big(data[at + 2 : at + 4], 2)
    return None


def _big(data: bytes, size: int) -> int:
    return int.from_bytes(data, "big") if len(data) == size else 0


def _little(data: bytes, size: int) -> int:
    return int.from_bytes(data, "little") if len(data) == size else 0
