"""Attachments in each endpoint's own terms, as the SDK's types have them; what an endpoint does not take is refused with what to use."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletionContentPartParam
from openai.types.responses import ResponseInputContentParam
from pydantic import TypeAdapter

from batchrun.attachments.filling import filled
from batchrun.backends.base import AttachMode
from batchrun.model import JobSettings, Json, JsonObject
from batchrun.requests import BadItem, Request, RequestBuilder

RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"
EDITS, MODERATIONS = "/v1/images/edits", "/v1/moderations"
FILES = {
    "a.png": b"\x89PNG\r\n\x1a\nx",
    "b.pdf": b"%PDF-1.7",
    "c.txt": "\ufeffgrün".encode(),
    "d.wav": b"RIFF\x00\x00\x00\x00WAVE",
    "e.gif": b"GIF89a",
    "lies.png": b"%PDF-1.7",
    "f.zip": b"PK\x03\x04\xff",
}
LINK, PDF_LINK = "https://example.org/a.jpg?x=1", "http://example.org/B.PDF"
PNG_DATA = "iVBORw0KGgp4"
PDF_DATA = "JVBERi0xLjc="
WAV_DATA = "UklGRgAAAABXQVZF"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def builder(
    folder: Path, url: str, *names: str, mode: AttachMode = AttachMode.AUTO, **keys: Json
) -> RequestBuilder:
    settings = JobSettings(
        name="j",
        path=str(folder / "j.jsonl"),
        line=1,
        endpoint=url,
        model="m",
        prompt="What?",
        attach=names or ("{{ file }}",),
        **keys,
    )
    return RequestBuilder(settings, mode=mode)


def request(folder: Path, url: str, *names: str, **keys: Any) -> Request:
    return builder(folder, url, *names, **keys).build({"id": "i"})


def sent(folder: Path, url: str, *names: str, file_id: str | None = None) -> JsonObject:
    """The body as it is sent: data in it, or a file id where one can stand."""
    made = request(folder, url, *names)
    contents = {content.digest: content.form for content in made.attached}
    by_digest = {content.digest: content for content in made.attached}

    def supply(digest: bytes) -> str | tuple[bytes, str]:
        size = by_digest[digest].size
        data = next(c for c in FILES.values() if len(c) == size)
        return file_id or (data, contents[digest])

    body: JsonObject = msgspec.json.decode(b"{" + filled(made.tail, supply))["body"]
    return body


def refusal(made: RequestBuilder, fields: JsonObject) -> str:
    with pytest.raises(BadItem) as caught:
        made.build({"id": "i", **fields})
    return f"{caught.value.message} {caught.value.fix}"


def test_responses_take_text_images_and_pdfs_as_parts_behind_the_prompt(folder: Path) -> None:
    body = sent(folder, RESPONSES, "a.png", "b.pdf", "c.txt", LINK, PDF_LINK)
    (message,) = body["input"]
    assert message == {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "What?"},
            {
                "type": "input_image",
                "detail": "auto",
                "image_url": f"data:image/png;base64,{PNG_DATA}",
            },
            {
                "type": "input_file",
                "filename": "b.pdf",
                "file_data": f"data:application/pdf;base64,{PDF_DATA}",
            },
            {"type": "input_text", "text": "grün"},
            {"type": "input_image", "detail": "auto", "image_url": LINK},
            {"type": "input_file", "file_url": PDF_LINK},
        ],
    }
    TypeAdapter(list[ResponseInputContentParam]).validate_python(message["content"])


def test_uploaded_files_stand_for_images_and_pdfs(folder: Path) -> None:
    body = sent(folder, RESPONSES, "a.png", "b.pdf", file_id="file-1")
    assert body["input"][0]["content"][1:] == [
        {"type": "input_image", "detail": "auto", "file_id": "file-1"},
        {"type": "input_file", "file_id": "file-1"},
    ]


def test_chat_takes_text_images_pdfs_and_audio_after_its_instructions(folder: Path) -> None:
    built = builder(folder, CHAT, "c.txt", "a.png", LINK, "b.pdf", "d.wav", instructions="Be brief")
    made = msgspec.json.decode(b"{" + built.build({"id": "i"}).tail)["body"]["messages"]
    assert made[0] == {"role": "system", "content": "Be brief"}
    assert made[1]["content"][0] == {"type": "text", "text": "What?"}
    parts = sent(folder, CHAT, "c.txt", "a.png", LINK, "b.pdf", "d.wav")["messages"][0]["content"]
    assert parts[1:] == [
        {"type": "text", "text": "grün"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_DATA}"}},
        {"type": "image_url", "image_url": {"url": LINK}},
        {
            "type": "file",
            "file": {
                "filename": "b.pdf",
                "file_data": f"data:application/pdf;base64,{PDF_DATA}",
            },
        },
        {"type": "input_audio", "input_audio": {"data": WAV_DATA, "format": "wav"}},
    ]
    TypeAdapter(list[ChatCompletionContentPartParam]).validate_python(parts)


def test_edits_take_the_images_that_they_change(folder: Path) -> None:
    assert sent(folder, EDITS, "a.png", LINK)["images"] == [
        {"image_url": f"data:image/png;base64,{PNG_DATA}"},
        {"image_url": LINK},
    ]
    assert sent(folder, EDITS, "a.png", file_id="file-1")["images"] == [{"file_id": "file-1"}]


def test_moderations_judge_text_and_images_together(folder: Path) -> None:
    assert sent(folder, MODERATIONS, "a.png")["input"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_DATA}"}},
    ]


@pytest.mark.parametrize(
    ("url", "name", "told"),
    [
        (RESPONSES, "d.wav", "'d.wav' is WAV, which cannot go to /v1/responses Models hear audio"),
        (CHAT, PDF_LINK, "follows no link to a PDF Attach the file itself"),
        (EDITS, "lies.png", "'lies.png' is PDF, which cannot go to /v1/images/edits"),
        (EDITS, "e.gif", "'e.gif' is GIF"),
        (MODERATIONS, "c.txt", "'c.txt' is text"),
        (RESPONSES, "f.zip", "'f.zip' is no PNG, JPEG"),
        (RESPONSES, "data:image/png;base64,AA==", "a data URL is no file"),
        (RESPONSES, "ftp://example.org/a.png", "no link of http or https"),
        (RESPONSES, "scan:1.png", "Put './' before the name of a file that has a colon."),
        (RESPONSES, "https://a.example/notes.TXT?x=1", "ends in '.txt', and a link can only be"),
        (CHAT, "https://a.example/call.mp3", "Save what it leads to and attach the file."),
        (RESPONSES, "https:///a.png", "no whole link"),
        (RESPONSES, "https://example.org/a b.png", "no whole link"),
        (RESPONSES, " ", "names nothing for this item"),
    ],
)
def test_what_cannot_go_is_a_bad_item(folder: Path, url: str, name: str, told: str) -> None:
    assert told in refusal(builder(folder, url), {"file": name})


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("/v1/embeddings", "Only text is embedded"),
        ("/v1/completions", "use /v1/responses"),
        ("/v1/images/generations", "Use /v1/images/edits"),
        ("/v1/videos", "'input_reference'"),
    ],
)
def test_an_endpoint_without_attachments_refuses_the_key(folder: Path, url: str, told: str) -> None:
    (problem,) = (p for p in builder(folder, url).check() if "'attach'" in p)
    assert told in problem


@pytest.mark.parametrize(
    ("url", "key"), [(RESPONSES, "input"), (CHAT, "messages"), (EDITS, "images")]
)
def test_a_body_that_would_drop_the_attachments_is_refused(
    folder: Path, url: str, key: str
) -> None:
    told = f"'body.{key}' would undo 'attach'"
    assert any(told in p for p in builder(folder, url, body={key: []}).check())
    assert told in refusal(builder(folder, url), {"file": "a.png", "body": {key: []}})


def test_parts_of_the_items_own_cannot_have_attachments_beside_them(folder: Path) -> None:
    settings = JobSettings(
        name="j", path=str(folder / "j.jsonl"), line=1, model="m", attach=("a.png",)
    )
    made = RequestBuilder(settings)
    assert b'"text":"hi"' in made.build({"id": "i", "input": "hi"}).tail
    parts = [{"type": "input_text", "text": "hi"}]
    assert "goes with a prompt in text" in refusal(made, {"input": parts})


def test_the_hash_is_of_the_content_and_of_nothing_else(folder: Path) -> None:
    first = request(folder, RESPONSES, "a.png")
    (folder / "z.png").write_bytes(FILES["a.png"])
    for mode in AttachMode:
        assert request(folder, RESPONSES, "z.png", mode=mode).hash == first.hash
    (folder / "z.png").write_bytes(FILES["a.png"] + b"!")
    assert request(folder, RESPONSES, "z.png").hash != first.hash


def test_more_data_than_a_request_may_hold_is_refused_and_less_of_it_uploaded(
    folder: Path,
) -> None:
    (folder / "large.png").write_bytes(FILES["a.png"] + bytes(12_500_000))
    made = builder(folder, RESPONSES, "large.png", mode=AttachMode.INLINE)
    assert 'let them be uploaded: attach = "auto"' in refusal(made, {})
    assert request(folder, RESPONSES, "large.png").growth == 0
    assert "Make the files smaller, or attach links" in refusal(
        builder(folder, CHAT, "large.png"), {}
    )
