"""Images in answers: told by their content, and kept out of the ledger."""

import base64
import hashlib

import pytest
from reading_lines import FAILED, SUCCEEDED, line, output, read

from batchrun.endpoints.pictures import decoded, format_of
from batchrun.model import Json, JsonObject

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
GIF = b"GIF89a and so on"


def images(*entries: JsonObject, **more: Json) -> JsonObject:
    return {"created": 1, "data": list(entries), **more}


def packed(content: bytes) -> JsonObject:
    return {"b64_json": base64.b64encode(content).decode()}


def told(content: bytes, kind: str) -> JsonObject:
    return {
        "format": kind,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "png"),
        (b"\xff\xd8\xff\xe0...", "jpeg"),
        (b"GIF87a...", "gif"),
        (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<svg/>", "svg"),
        (b"RIFF\x01\x02\x03\x04WAVEfmt ", None),
        (b"<?xml version='1.0'?><html/>", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_a_format_is_known_by_the_first_bytes(content: bytes, kind: str | None) -> None:
    assert format_of(content) == kind


@pytest.mark.parametrize("url", [GENERATIONS, EDITS])
def test_an_image_is_told_by_format_size_and_hash_and_its_bytes_stay_in_the_line(url: str) -> None:
    reading = read(line(images(packed(GIF))), url)
    assert output(reading) == {"images": [told(GIF, "gif")]}
    assert reading.finish == "stop"


def test_a_format_that_the_service_states_is_not_believed() -> None:
    reading = read(line(images(packed(GIF), output_format="png")), GENERATIONS)
    assert output(reading) == {"images": [told(GIF, "gif")]}


def test_several_images_keep_their_order_and_links_stay_links() -> None:
    link = {"url": "https://images.example/1"}
    body = images(packed(b"\xff\xd8\xff1"), link, packed(GIF))
    assert output(read(line(body), GENERATIONS)) == {
        "images": [told(b"\xff\xd8\xff1", "jpeg"), link, told(GIF, "gif")]
    }


@pytest.mark.parametrize("start", ["", "data:image/gif;base64,", " data:image/gif;base64,\n"])
def test_base64_in_lines_is_decoded_as_well(start: str) -> None:
    content = GIF * 20
    assert decoded(start + base64.encodebytes(content).decode()) == content
    assert decoded(start + base64.encodebytes(content).decode().replace("\n", "\r\n")) == content


def test_a_data_url_is_decoded_as_well() -> None:
    packed_gif = base64.b64encode(GIF).decode()
    assert decoded(f"data:image/gif;base64,{packed_gif}") == GIF
    assert decoded("not base64!") is None


def test_one_broken_image_does_not_cost_the_others() -> None:
    reading = read(line(images({"b64_json": "!"}, packed(GIF))), GENERATIONS)
    assert reading.outcome is SUCCEEDED
    assert output(reading)["images"][0] == {"broken": "the image is not there, or no base64"}


@pytest.mark.parametrize("entry", [{}, {"b64_json": None}, {"b64_json": "!"}, packed(b"text")])
def test_an_answer_without_any_image_that_can_be_read_is_a_failure_and_not_bought_again(
    entry: JsonObject,
) -> None:
    reading = read(line(images(entry)), GENERATIONS)
    assert (reading.outcome, reading.cause) == (FAILED, "malformed_result")


def test_no_image_at_all_is_an_empty_answer() -> None:
    assert read(line(images()), GENERATIONS).cause == "empty_output"


def test_a_revised_prompt_is_told_beside_the_images() -> None:
    reading = read(line(images({**packed(GIF), "revised_prompt": "a cat"})), GENERATIONS)
    assert reading.extras == b'{"image_calls":[{"revised_prompt":"a cat"}]}'


def test_the_tokens_of_an_svgs_author_are_added_to_those_of_rendering() -> None:
    usage = {"input_tokens": 5, "output_tokens": 100, "total_tokens": 105}
    author = {"input_tokens": 7, "output_tokens": 30, "reasoning_tokens": 20, "model": "m"}
    reading = read(line(images(packed(GIF), usage=usage, svg_usage=author)), GENERATIONS)
    assert (reading.input_tokens, reading.output_tokens, reading.reasoning_tokens) == (12, 130, 20)
