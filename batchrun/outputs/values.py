"""JSON values as text: how an answer stands in a file of its own, and in a cell."""

import json
from typing import Final

import msgspec

_decode_text: Final = msgspec.json.Decoder(str).decode


def text_of(value: bytes) -> str:
    """The text of a JSON string. A lone surrogate, which no file can hold, becomes U+FFFD."""
    try:
        return _decode_text(value)
    except msgspec.DecodeError:
        text: str = json.loads(value)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def file_bytes(value: bytes) -> bytes:
    """An answer as a file: text as it is, any other JSON value as it came, with a newline."""
    if value[:1] == b'"':
        return text_of(value).encode()
    return value + b"\n"
