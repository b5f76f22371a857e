"""The deviations of other servers, one by one, and that nothing but values and UnreadableError comes out of any JSON."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from misbehaving import batch, file

from batchrun.backends.base import RemoteBatch, RemoteFile
from batchrun.backends.reading import (
    FOREIGN_TEXT_LIMIT,
    UnreadableError,
    printable,
    read_batch,
    read_date,
    read_deleted,
    read_file,
    read_page,
    reported_bytes,
)
from batchrun.model import Json

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
BATCH_KEYS = [*sorted(batch()), "usage", "job", "data", "has_more", "bytes", "deleted"]


def test_a_batch_of_openai_is_read_whole() -> None:
    shown = batch(
        status="expired",
        output_file_id="file-out",
        error_file_id="file-err",
        in_progress_at=1_790_000_100,
        request_counts={"total": 3, "completed": 2, "failed": 1},
        errors={
            "object": "list",
            "data": [{"code": "c", "message": "m", "line": 3, "param": None}],
        },
        usage={"total_tokens": 77},
    )
    assert read_batch(shown) == RemoteBatch(
        id="batch_1",
        status="expired",
        input_file_id="file-in",
        created_at=1_790_000_000,
        output_file_id="file-out",
        error_file_id="file-err",
        in_progress_at=1_790_000_100,
        expires_at=1_790_086_400,
        endpoint="/v1/responses",
        window="24h",
        total_count=3,
        completed_count=2,
        failed_count=1,
        metadata={"batchrun": "br-1"},
        errors=({"code": "c", "message": "m", "line": "3", "param": None},),
        usage_total_tokens=77,
        raw=shown,
    )


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"status": "IN_PROGRESS"}, "status", "in_progress"),
        ({"status": "canceled"}, "status", "cancelled"),
        ({"status": "Canceling"}, "status", "cancelling"),
        ({"status": "dreaming"}, "status", "dreaming"),
        ({"id": 17}, "id", "17"),
        ({"input_file_id": None}, "input_file_id", None),
        ({"output_file_id": ""}, "output_file_id", None),
        ({"error_file_id": ""}, "error_file_id", None),
        ({"error_file_id": 5}, "error_file_id", None),
        ({"created_at": "1790000001"}, "created_at", 1_790_000_001),
        ({"created_at": 1_790_000_001.9}, "created_at", 1_790_000_001),
        ({"created_at": 1_790_000_001_500}, "created_at", 1_790_000_001),
        ({"created_at": "2026-09-21T14:13:21Z"}, "created_at", 1_790_000_001),
        ({"created_at": "2026-09-21T14:13:21"}, "created_at", 1_790_000_001),
        ({"created_at": None}, "created_at", 0),
        ({"created_at": "soon"}, "created_at", 0),
        ({"created_at": True}, "created_at", 0),
        ({"created_at": float("nan")}, "created_at", 0),
        ({"created_at": -5}, "created_at", 0),
        ({"in_progress_at": None}, "in_progress_at", None),
        ({"in_progress_at": 0}, "in_progress_at", None),
        ({"request_counts": None}, "total_count", 0),
        ({"request_counts": {"total": None}}, "total_count", 0),
        ({"request_counts": {"total": "12"}}, "total_count", 12),
        ({"request_counts": {"total": 12.0}}, "total_count", 12),
        ({"request_counts": {"total": -1}}, "total_count", 0),
        ({"metadata": None}, "metadata", {}),
        ({"metadata": {"n": 1}}, "metadata", {"n": "1"}),
        ({"errors": None}, "errors", ()),
        ({"errors": {"data": None}}, "errors", ()),
        ({"errors": ""}, "errors", ()),
        ({"usage": None}, "usage_total_tokens", 0),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, "usage_total_tokens", 7),
    ],
)
def test_a_deviation_is_read(changes: dict[str, Json], field: str, expected: Json) -> None:
    assert getattr(read_batch(batch(**changes)), field) == expected


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ("plain words", "plain words"),
        (["plain words"], "plain words"),
        ({"message": "one object"}, "one object"),
        ([{"message": "a list"}], "a list"),
        ({"data": "plain words"}, "plain words"),
    ],
)
def test_errors_are_read_in_every_shape(errors: Json, message: str) -> None:
    (error,) = read_batch(batch(errors=errors)).errors
    assert error == {"code": None, "message": message, "line": None, "param": None}


def test_a_batch_in_a_wrapper_is_unwrapped() -> None:
    assert read_batch({"job": batch(status="VALIDATING")}).status == "validating"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "batch",
        5,
        {},
        {"id": "batch_1"},
        {"status": "x"},
        batch(id=""),
        batch(id=None),
        batch(status=3),
    ],
)
def test_what_is_no_batch_is_unreadable(answer: Json) -> None:
    with pytest.raises(UnreadableError):
        read_batch(answer)


@pytest.mark.parametrize(
    ("answer", "ids", "has_more"),
    [
        ({"data": [batch()], "has_more": True}, ["batch_1"], True),
        ({"data": [batch()], "has_more": False}, ["batch_1"], False),
        ({"data": [], "has_more": True}, [], True),
        ({"data": []}, [], False),
        ({"data": None}, [], False),
        ([batch()], ["batch_1"], False),
        ([batch(), batch(id="batch_2")], ["batch_1", "batch_2"], True),
        ({"data": [batch(), batch(id="batch_2")]}, ["batch_1", "batch_2"], True),
        ({"data": [batch()], "has_more": None}, ["batch_1"], False),
    ],
)
def test_a_page_is_read(answer: Json, ids: list[str], has_more: bool) -> None:
    page = read_page(answer, limit=2, server_time=7)
    assert [entry.id for entry in page.batches] == ids
    assert page.has_more is has_more
    assert page.server_time == 7


@pytest.mark.parametrize(
    "answer", [{}, {"data": {}}, {"data": ["x"]}, "x", None, {"data": [batch(created_at=None)]}]
)
def test_a_page_that_could_hide_a_batch_is_unreadable(answer: Json) -> None:
    with pytest.raises(UnreadableError):
        read_page(answer, limit=100, server_time=None)


def test_a_file_is_read_and_a_missing_count_is_told_from_zero() -> None:
    expected = RemoteFile(id="file-1", bytes=12, created_at=1_790_000_000, filename="br-1.jsonl")
    assert read_file(file()) == expected
    assert read_file({"id": "file-1"}) == RemoteFile(id="file-1", bytes=0, created_at=0)
    assert reported_bytes(file(bytes=0)) == 0
    assert reported_bytes(file(bytes=None)) is None
    with pytest.raises(UnreadableError):
        read_file(file(id=""))


@given(any_json | st.dictionaries(st.sampled_from(BATCH_KEYS), any_json))
def test_any_json_is_a_value_or_unreadable(answer: Json) -> None:
    for read in (
        read_batch,
        read_file,
        read_deleted,
        lambda given: read_page(given, limit=2, server_time=None),
    ):
        with contextlib.suppress(UnreadableError):
            read(answer)


def test_dates_of_http_are_read_and_nonsense_is_none() -> None:
    assert read_date("Mon, 21 Sep 2026 14:13:20 GMT") == 1_790_000_000
    assert read_date("Monday, 21-Sep-26 14:13:20 GMT") == 1_790_000_000
    for nonsense in (None, "", "today", "Mon, 99 Sep 2026 14:13:20 GMT"):
        assert read_date(nonsense) is None


@given(st.text())
def test_printable_text_is_one_short_line_without_controls(text: str) -> None:
    shown = printable(text)
    assert len(shown) <= FOREIGN_TEXT_LIMIT
    assert len(shown.splitlines()) <= 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    shown.encode()


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc_DEF-123.",
        "Incorrect API key provided: sk-ab***************************yz.",
        "header Bearer abc.def",
        "found secret-of-mine here",
        "x" * (FOREIGN_TEXT_LIMIT - 8) + " secret-of-mine",
    ],
)
def test_keys_are_blotted_out_before_anything_is_cut(text: str) -> None:
    shown = printable(text, secrets=("secret-of-mine", ""))
    for secret in ("sk-", "abc", "secret-o", "yz"):
        assert secret not in shown
