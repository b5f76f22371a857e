"""What holds for every line: no exception, and one reading whichever path it takes."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reading_lines import assert_sound

from batchrun.endpoints import ENDPOINTS, endpoint_of
from batchrun.endpoints.reading import make_reader, read_carefully
from batchrun.endpoints.responses_items import ITEMS
from batchrun.endpoints.values import interpreter
from batchrun.model import RESULT_LINE_LIMIT_BYTES, JobSettings, Json
from batchrun.planning.classify import Outcome

JOBS = [
    JobSettings(name="j", path="/j.jsonl", line=1, endpoint=url, **keys)
    for url in ENDPOINTS
    for keys in ({}, {"labels": ("a", "b")}, {"schema": {"type": "array"}})
]
ITEM_KINDS = sorted(ITEMS)
READERS = [make_reader(job) for job in JOBS]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ["", " ", "a", '{"label":"b"}', "[1]", "completed", "stop", "length", "message"]
    )
    | st.text(max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def one_of(*plain: Json) -> st.SearchStrategy[Json]:
    """Mostly what a service sends, now and then anything at all."""
    return st.sampled_from([*plain, *plain, *plain]) | anything


def record(**fields: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=fields)


texts = one_of("a", "b", '{"label":"b"}', "[1]", " ", "")
tokens = one_of(1, 2, None)
details = record(cached_tokens=tokens, cache_write_tokens=tokens, reasoning_tokens=tokens) | one_of(
    None
)
usages = one_of(None) | record(
    input_tokens=tokens,
    output_tokens=tokens,
    prompt_tokens=tokens,
    completion_tokens=tokens,
    input_tokens_details=details,
    output_tokens_details=details,
    prompt_tokens_details=details,
    completion_tokens_details=details,
)
errors = one_of(None, None, None) | record(code=one_of("server_error", 500), message=texts)
offsets = one_of(0, 3, 2.5)
annotations = one_of(
    {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2},
    {"type": "file_citation", "file_id": "f", "filename": "n", "index": 0},
) | record(
    type=one_of("url_citation", "file_citation", "container_file_citation", "file_path", "new"),
    url=texts,
    title=texts,
    start_index=offsets,
    end_index=offsets,
    file_id=texts,
    filename=texts,
    index=offsets,
)
parts = record(
    type=one_of("output_text", "refusal"),
    text=texts,
    refusal=texts,
    annotations=one_of([], None) | st.lists(annotations, max_size=2),
    logprobs=one_of([], None, [{"token": "a", "logprob": -1, "bytes": [97]}]),
)
items = record(
    type=one_of("message", "message", "reasoning", "function_call", *ITEM_KINDS),
    content=st.lists(parts, max_size=2) | one_of(None),
    summary=one_of([], None) | st.lists(parts, max_size=2),
    phase=one_of(None, "final_answer", "commentary"),
    name=texts,
    arguments=texts,
    output=anything,
    result=one_of("iVBORw0KGgo=", None),
    action=anything,
)
messages = record(
    content=texts | st.lists(parts, max_size=2),
    refusal=one_of(None, ""),
    tool_calls=one_of(None, []),
    function_call=one_of(None, {}),
    annotations=one_of([], None) | st.lists(annotations, max_size=2),
    audio=one_of(None, {"id": "a", "transcript": "b"}),
    reasoning_content=one_of(None, "", "so"),
    reasoning=one_of(None, "", "so"),
)
choices = record(
    index=one_of(0, 1),
    finish_reason=one_of("stop"),
    message=messages,
    text=texts,
    error=errors,
    logprobs=one_of(None, {}),
)
entries = record(
    index=one_of(0, 1),
    embedding=one_of([0.5, 1], "AAAAAA=="),
    b64_json=one_of("R0lGODlh"),
    url=texts,
)
results = record(
    flagged=one_of(True, False),
    categories=one_of({"hate": True, "illicit": None}, {}),
    category_scores=one_of({"hate": 0.25, "illicit": 1, "sexual": None}, {"hate": 10**30}),
)
bodies = record(
    status=one_of("completed"),
    output=st.lists(items, max_size=2),
    choices=st.lists(choices, max_size=2),
    data=st.lists(entries, max_size=2),
    results=st.lists(results, max_size=2),
    id=one_of("video_1"),
    usage=usages,
    model=one_of("m"),
    error=errors,
    incomplete_details=one_of(None, {"reason": "max_output_tokens"}),
)
responses = record(status_code=one_of(200), body=bodies, request_id=one_of("r"))
lines = st.fixed_dictionaries(
    {"custom_id": one_of("1-1-a"), "response": responses, "error": errors}
)


@given(st.binary())
@example(b'{"custom_id":"1","response":{"status_code":200,"body":"[' + b"[" * 50_000 + b'"}}')
@example(b'{"custom_id":"1","error":{"message":' + b"[" * 50_000 + b"}}")
def test_any_bytes_give_a_sound_reading(raw: bytes) -> None:
    for read in READERS:
        assert_sound(read(raw))


@given(anything)
@pytest.mark.fault(47, 48, 49)
def test_any_json_gives_a_sound_reading(value: Json) -> None:
    for read in READERS:
        assert_sound(read(json.dumps(value).encode()))


@settings(max_examples=400)
@given(lines)
def test_the_fast_path_and_the_careful_path_read_the_same(value: Json) -> None:
    """The fast path is only fast: what it takes, the careful path reads to the same tuple."""
    raw = json.dumps(value).encode()
    for job, read in zip(JOBS, READERS, strict=True):
        reading = read(raw)
        assert_sound(reading)
        assert reading == read_carefully(endpoint_of(job.endpoint), interpreter(job), raw)


@given(st.binary(max_size=8), st.integers(0, 400), st.integers(0, 8))
@pytest.mark.fault(27)
def test_a_damaged_line_gives_a_sound_reading(junk: bytes, at: int, cut: int) -> None:
    whole = json.dumps(
        {
            "id": "batch_req_1",
            "custom_id": "1-1-a",
            "response": {
                "status_code": 200,
                "request_id": "r",
                "body": {
                    "status": "completed",
                    "model": "m",
                    "output": [
                        {"type": "message", "content": [{"type": "output_text", "text": "[1]"}]}
                    ],
                    "choices": [{"finish_reason": "stop", "message": {"content": "[1]"}}],
                    "data": [{"embedding": [0.5, 1]}],
                    "usage": {"input_tokens": 1, "output_tokens": 2, "prompt_tokens": 1},
                },
            },
            "error": None,
        }
    ).encode()
    for read in READERS:
        assert_sound(read(whole[:at] + junk + whole[at + cut :]))


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (
            "/v1/responses",
            {
                "status": "completed",
                "output": [
                    {"type": "reasoning", "summary": []},
                    {"type": "message", "content": [{"type": "output_text", "text": "x"}]},
                ],
                "usage": {"input_tokens": 1, "output_tokens": 2},
            },
        ),
        (
            "/v1/chat/completions",
            {
                "choices": [{"finish_reason": "stop", "message": {"content": "x"}}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
            },
        ),
        ("/v1/embeddings", {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 1}}),
        (
            "/v1/completions",
            {
                "choices": [{"finish_reason": "stop", "text": "x"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
            },
        ),
        (
            "/v1/moderations",
            {"results": [{"flagged": True, "categories": {}, "category_scores": {"hate": 1e-5}}]},
        ),
    ],
)
def test_plain_successes_do_take_the_fast_path(url: str, body: Json) -> None:
    """Without this, a fast path that takes nothing would pass every other test."""
    job = JobSettings(name="j", path="/j.jsonl", line=1, endpoint=url)
    line = {"custom_id": "1-1-a", "response": {"status_code": 200, "body": body}, "error": None}
    reading = endpoint_of(url).fast_reader(interpreter(job))(json.dumps(line).encode())
    assert reading is not None
    assert reading.outcome is Outcome.SUCCEEDED


def embedding_line(number: str, **more: Json) -> bytes:
    body = {"data": [{"embedding": [0.25, 1]}], "usage": {"prompt_tokens": 1}}
    line = {"custom_id": "1-1-a", "response": {"status_code": 200, "body": body}, **more}
    return json.dumps(line).replace("0.25", number).encode()


@pytest.mark.parametrize(
    ("number", "output"),
    [
        ("0.25", b"[0.25,1]"),
        ("-1.5e-7", b"[-1.5e-7,1]"),
        ("1e5", b"[100000.0,1]"),
        ("7" * 400, b"[%b,1]" % (b"7" * 400)),
        ("1e999", None),
        ("-1E+999", None),
        ("NaN", None),
        ("-Infinity", None),
    ],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("more", [{}, {"error": {}}], ids=["fast", "careful"])
@pytest.mark.fault(48, 49)
def test_a_vector_of_odd_numbers_is_exact_or_a_failure(
    number: str, output: bytes | None, more: dict[str, Json]
) -> None:
    job = JobSettings(name="j", path="/j.jsonl", line=1, endpoint="/v1/embeddings")
    reading = make_reader(job)(embedding_line(number, **more))
    assert_sound(reading)
    assert reading.output == output
    assert reading.cause == (None if output else "empty_output")


@pytest.mark.parametrize("digits", [4_001, 4_301, 100_000])
@pytest.mark.parametrize("at", ['"input_tokens": 3', '"created": 3'])
@pytest.mark.fault(49)
def test_a_count_of_absurd_length_costs_no_answer(digits: int, at: str) -> None:
    text = [{"type": "output_text", "text": "whole"}]
    body = {
        "status": "completed",
        "output": [{"type": "message", "content": text}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "created": 3,
    }
    line = {"custom_id": "1-1-a", "response": {"status_code": 200, "body": body}, "error": {}}
    raw = json.dumps(line).replace(at, at[:-1] + "9" * digits)
    reading = READERS[0](raw.encode())
    assert_sound(reading)
    assert (reading.custom_id, reading.output) == ("1-1-a", b'"whole"')
    assert reading.output_tokens == 2


def test_a_broken_line_with_an_absurd_number_is_still_broken() -> None:
    reading = READERS[0](b'{"custom_id": "1-1-a", "n": ' + b"9" * 5_000)
    assert (reading.custom_id, reading.cause) == (None, "malformed_result")


@pytest.mark.fault(46)
def test_a_line_over_the_limit_is_refused_by_its_length() -> None:
    """What stands for it (see batchrun/ledger/resultlines.py) is no JSON, so it comes here and is not parsed again."""
    reading = READERS[0](bytes(RESULT_LINE_LIMIT_BYTES + 1))
    assert (reading.custom_id, reading.cause) == (None, "malformed_result")
    assert reading.message == "the line is longer than 64,000,000 bytes"
