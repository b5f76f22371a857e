"""Whatever a result line has become, it is read or said to be unreadable; whatever a result file has become, its sound lines settle their items."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from reading_lines import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    assert_sound,
    completion,
    embedding,
    job,
    message,
    response,
)
from reading_lines import line as result_line
from runnerkit import World, items
from wounds import Wound, mauled, wounds

from batchrun.backends.base import RemoteBatch
from batchrun.endpoints import ENDPOINTS
from batchrun.endpoints.reading import make_reader

READERS = [
    make_reader(job(url, **keys))
    for url in (RESPONSES, CHAT, EMBEDDINGS)
    for keys in ({}, {"labels": ("a", "b")}, {"schema": {"type": "array"}})
]
READERS += [make_reader(job(url)) for url in ENDPOINTS if url not in (RESPONSES, CHAT, EMBEDDINGS)]
CALL = {"type": "function_call", "name": "f", "arguments": '{"a": 1}', "call_id": "c"}
REFUSED = {"error": {"code": "server_error", "message": "oh \u2028 no", "type": "x"}}
LINES = [
    json.dumps(line, ensure_ascii=False).encode()
    for line in (
        result_line(response(message("[1]"), message('{"label": "a"}'))),
        result_line(response(CALL, message("é\u2028 text"))),
        result_line(completion("a")),
        result_line(completion(None, "length", refusal="no")),
        result_line(embedding([0.5, -1e-05], [1, 2])),
        result_line({"choices": [{"index": 0, "finish_reason": "stop", "text": "a"}], "usage": {}}),
        result_line(
            {"results": [{"flagged": True, "categories": {"a": True}, "category_scores": {"a": 1}}]}
        ),
        result_line({"data": [{"b64_json": "R0lGODlh"}, {"url": "https://x"}], "usage": {}}),
        result_line({"id": "video_1", "status": "completed", "seconds": "4"}),
        result_line(REFUSED, status=500),
        result_line(response(message("x")), error={"code": "batch_expired", "message": "late"}),
    )
]


@given(st.sampled_from(LINES).flatmap(mauled))
@settings(max_examples=300)
@pytest.mark.fault(27, 28, 43, 44, 47, 48, 49)
def test_any_damage_to_a_result_line_gives_a_sound_reading(line: bytes) -> None:
    for read in READERS:
        assert_sound(read(line))


COUNT = 6
WHOLE = b"".join(
    json.dumps(
        {
            **result_line(response(message(f"answer {n}"))),
            "custom_id": f"<{n}>",
        }
    ).encode()
    + b"\n"
    for n in range(COUNT)
)


def without_usage(batch: RemoteBatch) -> RemoteBatch:
    """As older services tell of it: no sum that figures in damaged lines could differ from."""
    return replace(batch, raw={k: v for k, v in batch.raw.items() if k != "usage"})


@given(wounds(WHOLE))
@settings(max_examples=25)
@pytest.mark.fault(25, 26, 27, 42, 44)
def test_the_sound_lines_of_a_damaged_file_settle_their_items(wound: Wound) -> None:
    """The first download is damaged; where the file is not believed, a second one is made, and is whole."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.write(items(COUNT))
        world.submit()
        (sent,) = world.home.requests.glob("*.jsonl")
        names = {
            f"<{n}>": json.loads(line)["custom_id"]
            for n, line in enumerate(sent.read_bytes().splitlines())
        }
        left = [1]

        def content(_: str, whole: bytes) -> bytes:
            data = WHOLE if not left[0] else wound.of(WHOLE)
            left[0] = 0
            for given, name in names.items():
                data = data.replace(given.encode(), name.encode())
            return data

        world.wire.content = content
        world.wire.edit = without_usage
        world.run()
        spared = {
            n
            for n in range(COUNT)
            if any(b'"<%d>"' % n in line for _, line in wound.spared(WHOLE))
            and b"<%d>" % n not in wound.junk
        }
        event(f"{len(spared)} lines were spared")
        answers = world.answers()
        assert set(world.states().values()) <= {"succeeded", "failed"}
        assert {n: answers.get(f"i{n}") for n in spared} == {n: f"answer {n}" for n in spared}
        world.close()
