"""CSV and TSV: strings by column name, bad rows by the line on which they start."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.jobfile.lines import BLOCK_BYTES, read_blocks
from batchrun.jobfile.problems import Fault, Problems
from batchrun.jobfile.sources.tables import read_table

Rows = list[tuple[int, dict[str, Any]]]


def table(data: str | bytes, delimiter: str = ",", **how: Any) -> tuple[Rows, list[str]]:
    problems = Problems()
    raw = data.encode() if isinstance(data, str) else data
    options = {"block_count": 100} | how
    blocks = read_table(io.BytesIO(raw), "d.csv", delimiter, problems, **options)
    rows = [row for block in blocks for row in zip(block.lines, block.fields, strict=True)]
    return rows, [f"{problem.line}: {problem.what}" for problem in problems]


def test_every_value_is_a_string_and_blank_lines_are_passed_over() -> None:
    rows, problems = table("\ufeffid,n\r\n1,2.50\r\n\r\nx,\r\n")
    assert rows == [(2, {"id": "1", "n": "2.50"}), (4, {"id": "x", "n": ""})]
    assert problems == []


def test_tabs_separate_a_tsv() -> None:
    assert table("a\tb\n1,5\t2\n", "\t")[0] == [(2, {"a": "1,5", "b": "2"})]


def test_a_row_is_named_by_the_line_on_which_it_starts() -> None:
    rows, problems = table('a,b\n1,"x\n\ny"\n2,"z\r\nz"\nonly one\n3,w\n')
    assert [(line, row["a"]) for line, row in rows] == [(2, "1"), (5, "2"), (8, "3")]
    assert rows[1][1]["b"] == "z\r\nz"
    assert problems == ["7: 1 cell, fewer than the 2 columns of the header"]


def test_ragged_rows_are_problems_and_the_rest_is_read() -> None:
    rows, problems = table("a,b\n1,2,3\n1\n1,2\n")
    assert [line for line, _ in rows] == [4]
    assert problems == [
        "2: 3 cells, more than the 2 columns of the header",
        "3: 1 cell, fewer than the 2 columns of the header",
    ]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "None: the table is empty"),
        ("\n\n", "None: the table is empty"),
        ("a,b,a\n", "1: duplicate column 'a' in the header"),
        ("\na,,b\n", "2: column 2 of the header has no name"),
        ("a, \n", "1: column 2 of the header has no name"),
        ("a;b\n1;2\n", "1: the header is one column, separated by semicolons"),
        ("a\tb\n1\t2\n", "1: the header is one column, separated by tabs"),
        ('"a"b,c\n1,2\n', "1: text after a closing quote"),
        ('"a\n', "1: a quoted cell is never closed"),
        ("a,b\r1,2\r", "1: a bare carriage return"),
        (b"a,\xff\n1,2\n", "1: invalid UTF-8: byte 0xff at offset 2 of the line"),
    ],
)
def test_a_table_without_a_usable_header_has_no_items(data: str | bytes, what: str) -> None:
    assert table(data) == ([], [what])


def test_a_header_without_rows_is_an_empty_table_and_no_problem() -> None:
    assert table("a,b\n") == ([], [])


def test_a_header_of_one_column_is_fine() -> None:
    assert table("text\nhello\n")[0] == [(2, {"text": "hello"})]


def test_a_row_that_is_not_csv_is_a_problem_and_the_next_is_read() -> None:
    rows, problems = table('a,b\n1,"x"y\n2,"ok"\n3,"open\n4,5')
    assert [line for line, _ in rows] == [3]
    assert problems == ["2: text after a closing quote", "4: a quoted cell is never closed"]


def test_invalid_utf8_is_a_problem_of_its_line_also_inside_a_quoted_cell() -> None:
    rows, problems = table(b'a,b\n1,\xff\n2,"x\ny\xc3("\n3,z\n')
    assert [line for line, _ in rows] == [5]
    assert problems == [
        "2: invalid UTF-8: byte 0xff at offset 2 of the line",
        "4: invalid UTF-8: byte 0xc3 at offset 1 of the line",
    ]


def test_a_quote_that_never_closes_is_given_up_at_the_limit() -> None:
    data = 'a,b\n1,2\n3,"' + "x\n" * 100
    rows, problems = table(data, row_limit=50)
    assert [line for line, _ in rows] == [2]
    assert problems == ["3: a row of more than 50 bytes starts here: a quote that never closes?"]


def test_a_line_over_the_limit_is_a_problem_of_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def small_blocks(stream: io.BytesIO) -> Any:
        return read_blocks(stream, block_bytes=16, limit=20)

    monkeypatch.setattr("batchrun.jobfile.sources.tables.read_blocks", small_blocks)
    rows, problems = table("a,b\n1,2\n" + "x" * 60 + "\n3,4\n")
    assert [line for line, _ in rows] == [2, 4]
    assert [problem.split(":")[0] for problem in problems] == ["3"]


def test_huge_cells_are_read() -> None:
    cell = "x" * 1_000_000
    assert table(f"a\n{cell}\n")[0] == [(2, {"a": cell})]


def test_blocks_are_cut_by_count_and_by_size() -> None:
    data = io.BytesIO(b"a\n" + b"1\n" * 5)
    blocks = list(read_table(data, "d.csv", ",", Problems(), 2))
    assert [list(block.lines) for block in blocks] == [[2, 3], [4, 5], [6]]
    data = io.BytesIO(b"a\n" + (b"x" * (BLOCK_BYTES * 6 // 10) + b"\n") * 3)
    assert [len(block.fields) for block in read_table(data, "d.csv", ",", Problems(), 9)] == [2, 1]


cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
) | st.sampled_from(['"', "\n", "\r\n", ",", "é\u2028", 'a "b" c', " "])


@given(
    st.lists(st.tuples(cells, cells), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", "\t"]),
)
def test_what_the_csv_module_writes_is_read_back_with_the_right_lines(
    rows: list[tuple[str, str]], newline: str, delimiter: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b"])
    starts = []
    for row in rows:
        starts.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    read, problems = table(out.getvalue(), delimiter)
    assert problems == []
    assert read == [(start, {"a": a, "b": b}) for start, (a, b) in zip(starts, rows, strict=True)]


@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"\t"]), max_size=20
    ).map(b"".join)
)
def test_any_bytes_are_rows_or_problems(data: bytes) -> None:
    try:
        rows, problems = table(b"a,b\n" + data)
    except Fault:
        pytest.fail("a table has its problems reported")
    last = data.count(b"\n") + 2
    assert all(2 <= line <= last for line, _ in rows)
    assert all(1 <= int(problem.split(":")[0]) <= last for problem in problems)
