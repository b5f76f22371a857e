"""How large an image is, by its first bytes."""

import struct
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.attachments.pixels import pixels_in, pixels_of

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + b"\x08\x02\0\0\0"


def riff(kind: bytes, data: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + struct.pack("<I", len(data)) + data


def jpeg(frame: int, *segments: bytes) -> bytes:
    before = b"".join(
        b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment for segment in segments
    )
    return b"\xff\xd8" + before + struct.pack(">BBHBHH", 0xFF, frame, 17, 8, 480, 640) + bytes(12)


IMAGES = {
    "png": PNG,
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480) + bytes(3),
    "old gif": b"GIF87a" + struct.pack("<HH", 640, 480) + bytes(3),
    "webp": riff(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640 | 1 << 14, 480)),
    "webp without loss": riff(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)),
    "webp with more": riff(b"VP8X", b"\0\0\0\0" + b"\x7f\x02\0" + b"\xdf\x01\0"),
    "jpeg": jpeg(0xC0),
    "progressive jpeg": jpeg(0xC2, b"Exif\0\0" + bytes(60_000), bytes(9)),
    "jpeg with a thumbnail": jpeg(0xC0, b"Exif\0\0" + jpeg(0xC0)[:-30]),
    "jpeg with tables first": b"\xff\xd8\xff\xff\xc4\0\x04\0\0" + jpeg(0xC1)[2:],
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=list(IMAGES))
def test_each_format_says_its_size(image: bytes) -> None:
    assert pixels_of(image) == (640, 480)
    for form in ("png", "jpeg"):
        assert pixels_in(f"data:image/{form};base64,{b64encode(image).decode()}") == (640, 480)


@pytest.mark.parametrize("image", IMAGES.values(), ids=list(IMAGES))
def test_what_ends_too_early_says_nothing(image: bytes) -> None:
    for size in range(10):
        assert pixels_of(image[:size]) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "data:image/png;base64,",
        "data:image/png;base64,%%%%",
        "data:image/png;base64,日本語の文字列",
        "data:image/png,abc",
        "data:text/plain;base64,aGVsbG8=",
        "data:image/svg+xml;base64,PHN2Zz4=",
    ],
)
def test_anything_else_says_nothing(url: str) -> None:
    assert pixels_in(url) is None


def test_an_image_of_no_size_is_none() -> None:
    assert pixels_of(PNG[:16] + bytes(8)) is None


@given(start=st.sampled_from([b"", *IMAGES.values()]), rest=st.binary(max_size=60))
def test_no_bytes_break_it(start: bytes, rest: bytes) -> None:
    found = pixels_of(start[:20] + rest)

    assert found is None or all(side > 0 for side in found)
