"""What comes beside an answer may be more than the ledger takes: then it gives way and says so, and its pictures are told all the same."""

import base64
import json

from reading_lines import (
    PACKED,
    PICTURE,
    PNG,
    cited,
    extras_of,
    line,
    message,
    page,
    read,
    response,
)

from batchrun.endpoints.extras import EXTRAS_LIMIT_BYTES, encoded_extras
from batchrun.model import Json, JsonObject


def test_beyond_a_megabyte_the_largest_fields_give_way_and_say_so() -> None:
    big = "x" * EXTRAS_LIMIT_BYTES
    found = extras_of({"type": "hologram", "data": big}, cited("x", page(0, 1)))
    assert found["other"] == {"omitted": "1,000,031 bytes"}
    assert found["citations"][0]["end"] == 1
    only_citations = extras_of(cited("x", page(0, 1, title=big)))
    assert set(only_citations["citations"]) == {"omitted"}


def coded(logs: Json, *pictures: bytes) -> JsonObject:
    """Code that was run: what it said, and the pictures that it made."""
    made = [
        {"type": "image", "url": f"data:image/png;base64,{base64.b64encode(one).decode()}"}
        for one in pictures
    ]
    outputs = [{"type": "logs", "logs": logs}, *made, {"type": "image", "url": "data:,broken"}]
    return {"type": "code_interpreter_call", "id": "i", "outputs": outputs}


def test_pictures_of_a_field_that_gave_way_are_told_once_each() -> None:
    said = "x" * EXTRAS_LIMIT_BYTES
    found = extras_of(coded(said, PNG, PNG), message("x"))["code_calls"]
    assert (set(found), found["images"]) == ({"omitted", "images"}, [PICTURE])
    drawn = {"type": "image_generation_call", "result": PACKED, "revised_prompt": said}
    found = extras_of(drawn, message("x"))["image_calls"]
    assert (set(found), found["images"]) == ({"omitted", "images"}, [PICTURE])


def test_a_picture_that_only_a_service_tells_of_is_not_one_of_ours() -> None:
    foreign = {"type": "hologram", "data": "x" * EXTRAS_LIMIT_BYTES, "images": [PICTURE]}
    assert set(extras_of(foreign)["other"]) == {"omitted"}


def test_more_pictures_than_a_line_takes_give_way_too() -> None:
    many = [PNG + b"%d" % n for n in range(10_000)]
    found = extras_of(coded("x", *many), message("x"))["code_calls"]
    assert found["omitted"].endswith(" bytes")
    assert int(found["omitted"].split()[0].replace(",", "")) > EXTRAS_LIMIT_BYTES
    assert set(found) == {"omitted"}


def test_pictures_beside_what_is_nested_too_deep_are_told() -> None:
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    call = {"outputs": [{"logs": deep}, {"images": [PICTURE]}]}
    found = json.loads(encoded_extras({"code_calls": [call]}) or b"")
    assert found == {"code_calls": {"omitted": "nested too deep", "images": [PICTURE]}}


def test_arguments_and_items_nested_without_end_cost_no_other_item() -> None:
    deep = "[" * 900 + "]" * 900
    call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": deep}
    reading = read(line(response(call, {"type": "hologram", "x": json.loads(deep)})))
    assert reading.custom_id == "7-1-abc"
