"""Images as the API answers with them, and tiny ones to answer with. Pure.

The images are real: one pixel of a colour that follows from what was asked, so that whoever decodes them gets what a decoder expects.
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import Final

from batchrun.model import Json, JsonObject
from batchrun.service.checks import whole_number
from batchrun.service.prompts import EDITS
from batchrun.service.refusals import ServiceError, invalid_value, missing, wrong_type

COUNT_LIMIT: Final = 10
REFERENCES_LIMIT: Final = 16
IMAGE_TOKENS: Final = (
    272  # made for each image: what the smallest and cheapest of the real ones costs
)
_FORMATS: Final = ("png", "gif", "svg")  # JPEG and WebP need an encoder


def check_images(url: str, body: JsonObject) -> None:
    """Raise ServiceError 400 for what the API would refuse of an image request, prompt and model aside."""
    count = body.get("n")
    if count is not None:
        if type(count) is not int:
            raise wrong_type("n", "an integer", count)
        whole_number(count, "n", low=1, high=COUNT_LIMIT)
    if body.get("output_format") not in (None, *_FORMATS):
        raise invalid_value("output_format", body["output_format"], ", ".join(map(repr, _FORMATS)))
    if url == EDITS:
        _check_references(body)


def _check_references(body: JsonObject) -> None:
    images = body.get("images")
    if images is None:
        raise missing("images")
    if not isinstance(images, list):
        raise wrong_type("images", "an array of objects", images)
    whole_number(len(images), "images", low=1, high=REFERENCES_LIMIT)
    for number, image in enumerate(images):
        check_reference(f"images[{number}]", image)
    if body.get("mask") is not None:
        check_reference("mask", body["mask"])


def check_reference(param: str, image: Json) -> None:
    """Raise ServiceError 400 unless `image` is `{"file_id"}` or `{"image_url"}`."""
    if not isinstance(image, dict):
        raise wrong_type(param, "an object", image)
    if sum(isinstance(image.get(key), str) for key in ("file_id", "image_url")) != 1:
        message = f"Invalid '{param}': expected exactly one of 'file_id' and 'image_url'."
        raise ServiceError(status=400, message=message, code="invalid_value", param=param)


def tiny_image(kind: str, seed: str) -> bytes:
    """An image of one pixel whose colour follows from `seed`; `kind` is "png", "gif" or "svg"."""
    red, green, blue = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:3]
    if kind == "svg":
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1">'
            f'<rect width="1" height="1" fill="{colour}"/></svg>\n'
        ).encode()
    if kind == "gif":
        screen = struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes((red, green, blue, 0, 0, 0))
        frame = struct.pack("<BHHHHB", 0x2C, 0, 0, 1, 1, 0)
        return b"GIF89a" + screen + frame + b"\x02\x02\x44\x01\x00\x3b"
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes((0, red, green, blue)))
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def images_body(
    request: JsonObject, images: Sequence[bytes], *, input_tokens: int, created_at: int
) -> JsonObject:
    """A whole answer of either image endpoint; `request` is the body that was asked, whose settings are repeated."""
    made = IMAGE_TOKENS * len(images)
    background, quality, size = (request.get(key) for key in ("background", "quality", "size"))
    return {
        "created": created_at,
        "background": "opaque" if background in (None, "auto") else background,
        "data": [{"b64_json": base64.b64encode(image).decode("ascii")} for image in images],
        "output_format": request.get("output_format") or "png",
        "quality": "low" if quality in (None, "auto") else quality,
        "size": "1024x1024" if size in (None, "auto") else size,
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": input_tokens},
            "output_tokens": made,
            "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
            "total_tokens": input_tokens + made,
        },
    }
