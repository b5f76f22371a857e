"""What a file is by its first bytes, and how a request names it."""

import pytest

from batchrun.attachments.filling import filled, inlined_bytes
from batchrun.attachments.kinds import (
    MEDIA,
    Content,
    Kind,
    digest_in,
    form_of,
    kind_of,
    reference_to,
    text_of,
)

CONTENT = Content(bytes(range(32)), 4, "png")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"\x89PNG\r\n\x1a\n...", "png"),
        (b"\xff\xd8\xff\xe0...", "jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"%PDF-1.7", "pdf"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "wav"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"RIFF\x00\x00\x00\x00AVI ", None),
        (b"\xff\xfe<\x00", None),  # UTF-16
        (b"PK\x03\x04", None),
        (b"see %PDF-1.7", None),
        (b"ID3 is how decision trees are learned.", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_form(content: bytes, form: str | None) -> None:
    assert form_of(content) == form


def test_every_form_is_of_a_kind() -> None:
    kinds = {form: kind_of(form) for form in MEDIA}
    assert kinds.pop("pdf") == Kind.PDF
    assert {form for form, kind in kinds.items() if kind == Kind.AUDIO} == {"wav", "mp3"}


def test_text_is_utf8_without_nul_and_loses_its_byte_order_mark() -> None:
    assert text_of("\ufeffgrün".encode()) == "grün"
    assert text_of(b"gr\xfcn") is None
    assert text_of(b"a\x00b") is None


def test_a_reference_leads_back_to_its_content_and_nothing_else_does() -> None:
    reference = reference_to(CONTENT)
    assert digest_in(reference) == CONTENT.digest
    for other in (reference[:-1], f"{reference}0", f"x{reference}", reference[:-1] + "g", 7, None):
        assert digest_in(other) is None


def test_base64_takes_four_bytes_for_three() -> None:
    assert [inlined_bytes(Content(b"", size, "png")) for size in (1, 2, 3, 4)] == [4, 4, 4, 8]


def test_only_references_in_their_places_are_filled() -> None:
    reference = reference_to(CONTENT)
    said = f'"{reference}'  # as near to one as a text can come
    tail = (
        f'"method":"POST","body":{{"input":[{{"file_id":"{reference}"}},{{"text":"{reference}"}},'
        f'{{"content":"\\"{reference}"}}]}}}}'
    ).encode()
    sent = filled(tail, lambda _: "file-9")
    assert (
        sent
        == (
            f'"method":"POST","body":{{"input":[{{"file_id":"file-9"}},{{"text":"{reference}"}},'
            f'{{"content":"\\{said}"}}]}}}}'
        ).encode()
    )
    assert filled(tail, lambda _: None) == tail
