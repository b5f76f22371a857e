"""Every example of a reference of the Responses API, where one lies beside this project: its request from a job line, its answer split.

The reference is somebody else's text, so it is no part of this project: `RESPONSES_REFERENCE` names the file, or it is found in a folder
`seeds` next to the checkout. The shapes of its examples are tested without it in tests/runner/test_exchanges.py.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from reading_lines import RESPONSES, job, line, output, read

from batchrun.endpoints import endpoint_of
from batchrun.model import Json, JsonObject
from batchrun.requests import RequestBuilder

_DECODER: Final = json.JSONDecoder()
_TEXT_LINE: Final = re.compile(r'^(\s*"text": ")(.*)(",?)$', re.MULTILINE)


class Example(NamedTuple):
    request: JsonObject
    answer: JsonObject


def reference() -> Path | None:
    """The file, if there is one."""
    if named := os.environ.get("RESPONSES_REFERENCE"):
        return Path(named)
    found = sorted(Path(__file__).parents[3].glob("*/seeds/003_*.txt"))
    return found[0] if found else None


def examples(text: str) -> Iterator[Example]:
    """Each `curl … -d '{…}'` with what answers it: the next object, or the last event of a stream."""
    for chunk in text.split("curl ")[1:]:
        request, rest = chunk.split("-d '", 1)[1].split("\n  }'", 1)
        completed = re.search(r"^event: response\.completed\ndata: (.*)$", rest, re.MULTILINE)
        if completed is not None:
            answer: JsonObject = json.loads(completed[1])["response"]
        else:
            answer, _ = _DECODER.raw_decode(_mended(rest), rest.index("\n{") + 1)
        yield Example(json.loads(request + "\n  }"), answer)


def _mended(text: str) -> str:
    """Quotes within a text that the reference forgot to escape."""
    return _TEXT_LINE.sub(lambda m: m[1] + re.sub(r'(?<!\\)"', "”", m[2]) + m[3], text)


@pytest.fixture(scope="module")
def given() -> list[Example]:
    path = reference()
    if path is None:
        pytest.skip("no reference of the Responses API here: RESPONSES_REFERENCE names one")
    return list(examples(path.read_text("utf-8")))


def test_every_request_of_the_reference_can_be_written_in_a_job_line(given: list[Example]) -> None:
    assert len(given) == 7
    for request, _ in given:
        body = {key: value for key, value in request.items() if key not in {"model", "input"}}
        settings = job(RESPONSES, model=request["model"], body=body)
        if request.get("stream"):
            problems, _ = endpoint_of(RESPONSES).check_body(body)
            assert [problem.split(":")[0] for problem in problems] == ["'stream' cannot be true"]
            continue
        builder = RequestBuilder(settings)
        assert builder.check() == ()
        built = builder.build({"id": "a", "input": request["input"]})
        assert json.loads(b"{" + built.tail)["body"] == request


def test_every_answer_of_the_reference_is_split(given: list[Example]) -> None:
    for _, answer in given:
        reading = read(line(answer))
        extras: JsonObject = json.loads(reading.extras or b"{}")
        items = answer["output"]
        parts = [part for item in items for part in item.get("content", ())]
        calls = [item for item in items if item["type"] == "function_call"]
        if calls:
            assert [call["name"] for call in output(reading)["tool_calls"]] == [
                call["name"] for call in calls
            ]
            assert [call["arguments"] for call in output(reading)["tool_calls"]] == [
                json.loads(call["arguments"]) for call in calls
            ]
        else:
            assert output(reading) == "".join(part["text"] for part in parts)
        annotations = [one for part in parts for one in part["annotations"]]
        assert [_essence(one) for one in extras.get("citations", ())] == [
            (one.get("url") or one["file_id"], one.get("start_index", one.get("index")))
            for one in annotations
        ]
        for kind, name in (
            ("file_search_call", "file_searches"),
            ("web_search_call", "web_searches"),
        ):
            assert [call["id"] for call in extras.get(name, ())] == [
                item["id"] for item in items if item["type"] == kind
            ]
        usage = answer["usage"]
        assert (reading.input_tokens, reading.output_tokens, reading.reasoning_tokens) == (
            usage["input_tokens"],
            usage["output_tokens"],
            usage["output_tokens_details"]["reasoning_tokens"],
        )
        assert reading.model == answer["model"]


def _essence(citation: JsonObject) -> tuple[Json, Json]:
    at = citation["start"] if citation["type"] == "url" else citation["index"]
    return citation.get("url") or citation["file_id"], at
