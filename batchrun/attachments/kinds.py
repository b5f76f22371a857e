"""What a file is, by its first bytes: names lie, and a service refuses what it does not take only after it was sent. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from batchrun.attachments.pixels import Pixels


class Kind(StrEnum):
    """What endpoints tell apart."""

    IMAGE = "image"
    PDF = "pdf"
    TEXT = "text"
    AUDIO = "audio"


class Content(NamedTuple):
    """Bytes that a request refers to by their SHA-256. `form` is a key of MEDIA, and the ending of a file that holds them; `pixels` are those of an image."""

    digest: bytes
    size: int
    form: str
    pixels: Pixels | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One attachment of one item: a `link` that is passed on as it is, the `text` of a file, or a `content` that goes along with the request.

    `name` is the file's own name, which a service may show to the model.
    """

    kind: Kind
    name: str
    link: str | None = None
    text: str | None = None
    content: Content | None = None


# Media types of what is kept by content, by form.
MEDIA: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
}
_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"%PDF-", "pdf"),
    # The version of the tags follows; a text may begin with the letters.
    *((b"ID3" + bytes((version,)), "mp3") for version in (2, 3, 4)),
)
_RIFF_FORMS: Final = {b"WEBP": "webp", b"WAVE": "wav"}
# An MPEG frame of layer III, without or with a check sum: version 1, 2 and 2.5.
_MP3_FRAMES: Final = tuple(bytes((0xFF, second)) for second in (0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3))
_PREFIX: Final = "batchrun-attachment-"


def form_of(content: bytes) -> str | None:
    """The form of a content, a key of MEDIA; None of anything else, text among it."""
    for start, form in _STARTS:
        if content.startswith(start):
            return form
    if content.startswith(b"RIFF"):
        return _RIFF_FORMS.get(content[8:12])
    return "mp3" if content.startswith(_MP3_FRAMES) else None


def kind_of(form: str) -> Kind:
    """What endpoints call a form."""
    if form == "pdf":
        return Kind.PDF
    return Kind.IMAGE if MEDIA[form].startswith("image/") else Kind.AUDIO


def text_of(content: bytes) -> str | None:
    """The text that the bytes are in UTF-8, without a byte order mark; None where they are none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def reference_to(content: Content) -> str:
    """What stands in a stored request where the content, or its file id, will be: so its hash depends on the bytes and on nothing else."""
    return f"{_PREFIX}{content.digest.hex()}"


def digest_in(value: object) -> bytes | None:
    """The hash that such a reference names; None of anything else."""
    if not isinstance(value, str) or not value.startswith(_PREFIX):
        return None
    digits = value.removeprefix(_PREFIX)
    try:
        return bytes.fromhex(digits) if len(digits) == 64 else None
    except ValueError:
        return None
