"""From a stored request, which names contents by their hash, to the one that is sent: each reference becomes data, or the id of an uploaded file.

Only values that are a reference and nothing else are replaced, in the places where endpoints put them; a prompt that spells one is text.
Pure: the bytes come from the caller, one content at a time.
"""

import base64
from collections.abc import Callable
from typing import Final

import msgspec

from batchrun.attachments.kinds import MEDIA, Content, digest_in
from batchrun.model import Json

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_PLACES: Final = ("file_id", "url", "data")

# The file id of a content on the service, or its bytes and form; None where the digest is no attachment of this request.
Supply = Callable[[bytes], str | tuple[bytes, str] | None]


def inlined_bytes(content: Content) -> int:
    """What a content takes as base64."""
    return (content.size + 2) // 3 * 4


def filled(tail: bytes, supply: Supply) -> bytes:
    """The bytes of a request behind its custom_id with its attachments in them. Raises msgspec.DecodeError for what is no request of ours."""
    return bytes(_encode(_filled(_decode(b"{" + tail), supply))[1:])


def _filled(value: Json, supply: Supply) -> Json:
    if isinstance(value, list):
        return [_filled(inner, supply) for inner in value]
    if not isinstance(value, dict):
        return value
    for key in _PLACES:
        digest = digest_in(value.get(key))
        if digest is not None and (supplied := supply(digest)) is not None:
            return _supplied(value, key, supplied)
    return {key: _filled(inner, supply) for key, inner in value.items()}


def _supplied(part: dict[str, Json], key: str, supplied: str | tuple[bytes, str]) -> Json:
    """The object that held the reference, with what it stands for. Only a `file_id` can be one; `url` and `data` hold the bytes in any case."""
    if isinstance(supplied, str):
        # The name goes with data only: an uploaded file has its own.
        return {name: inner for name, inner in part.items() if name != "filename"} | {key: supplied}
    data, form = supplied
    packed = base64.b64encode(data).decode("ascii")
    if key == "data":
        return part | {key: packed}
    url = f"data:{MEDIA[form]};base64,{packed}"
    if key == "url":
        return part | {key: url}
    rest = {name: inner for name, inner in part.items() if name != "file_id"}
    return rest | {"file_data" if "filename" in part else "image_url": url}
