"""JSON Lines: the fast reading and the strict one agree on every line, and every refusal names its cause."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrun.jobfile.jsonl import decode_block, decode_line
from batchrun.jobfile.lines import Block
from batchrun.jobfile.problems import Fault
from batchrun.jobfile.strict import parse_strict

Found = tuple[list[tuple[int, dict[str, Any]]], list[tuple[int, str]]]


def decoded(data: bytes, first: int = 1) -> Found:
    faults: list[tuple[int, str]] = []
    values, lines = decode_block(
        Block(line=first, data=data), lambda line, fault: faults.append((line, fault.what))
    )
    return list(zip(lines, values, strict=True)), faults


def strictly(data: bytes, first: int = 1) -> Found:
    """What the block holds, line by line and by the strict reading alone."""
    values: list[tuple[int, dict[str, Any]]] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(Block(line=first, data=data).lines(), first):
        if line.strip():
            try:
                values.append((number, parse_strict(line)))
            except Fault as fault:
                faults.append((number, fault.what))
    return values, faults


CAUSES = [
    (b'{"a":1,"a":2}', "duplicate key 'a'"),
    (b'{"a" :1,"a":2,"b":"\\":"}', "duplicate key 'a'"),
    (b'{"a"\t:1,"a":2,"b":"\\":"}', "duplicate key 'a'"),
    (b'{"a"\r:1,"a":2,"b":"\\":"}', "duplicate key 'a'"),
    (b'{"x":1,"x":2,"a\\\\":3}', "duplicate key 'x'"),
    (b'{"x":1,"x":2,"a\\":":3}', "duplicate key 'x'"),
    (b'{"o":{"k":1,"k":1}}', "duplicate key 'k'"),
    (b'{"o":[[{"k":1},{"k":1,"k":2}]]}', "duplicate key 'k'"),
    (b'{"a":1,"\\u0061":2}', "duplicate key 'a'"),
    (b'{"a":NaN}', "NaN is not JSON"),
    (b'{"a":-Infinity}', "-Infinity is not JSON"),
    (b'{"a":1e999}', "a number out of range"),
    (b'{"a":-1e999}', "a number out of range"),
    (b'{"a":' + b"9" * 4301 + b"}", "a number of more than 4,300 digits"),
    (b'{"a":"\xff"}', "invalid UTF-8: byte 0xff at offset 6 of the line"),
    (b'{"\xc3":1}', "invalid UTF-8: byte 0xc3 at offset 2 of the line"),
    (b'{"a":"\xed\xa0\x80"}', "invalid UTF-8: byte 0xed at offset 6 of the line"),
    (b'{"a":"\\ud800"}', "half a character: \\ud800 without its other half"),
    (b'{"a":"\\udc00!"}', "half a character: \\udc00 without its other half"),
    (b'{"\\ud800":1}', "half a character: \\ud800 without its other half"),
    (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
    (b'\xef\xbb\xbf{"a":1}', "a byte order mark in the middle of the file"),
    (b'{"a":1', "half a line: the JSON ends before it is complete"),
    (b'{"a":"b', "half a line: the JSON ends before it is complete"),
    (b"{", "half a line: the JSON ends before it is complete"),
    (b"[1]", "a list, not an object"),
    (b"[]", "a list, not an object"),
    (b'""', "a string, not an object"),
    (b'":::"', "a string, not an object"),
    (b"1", "a number, not an object"),
    (b"1.5", "a number, not an object"),
    (b"true", "true or false, not an object"),
    (b"null", "null, not an object"),
    (b"hello", "not JSON: expecting value at character 1"),
    (b'{"a":1}{"b":2}', "not JSON: extra data at character 8"),
    (b'{"a":1,}', "not JSON: illegal trailing comma before end of object at character 7"),
    (b'{"a":"\x01"}', "not JSON: invalid control character at at character 7"),
]


@pytest.mark.parametrize(("line", "what"), CAUSES, ids=[what for _, what in CAUSES])
@pytest.mark.fault(42, 43, 47, 48, 50)
def test_a_refused_line_names_its_cause_and_the_lines_around_it_are_read(
    line: bytes, what: str
) -> None:
    values, faults = decoded(b'{"id":1}\n' + line + b'\n{"id":3}\n', first=41)
    assert values == [(41, {"id": 1}), (43, {"id": 3})]
    assert [number for number, _ in faults] == [42]
    if not what.startswith("not JSON"):  # the wording there is Python's
        assert faults[0][1] == what
    else:
        assert faults[0][1].startswith("not JSON: ")


CLEAN = [
    b'{"a":1}\r',
    b'{"a": "b: c"}',
    b'{"a": "b : c"}',
    b'{"a": "\\"b\\": c"}',
    b'{"a\\"":1, "b":"x:"}',
    b'{"o":{"a":1,"b":[{"c":2}]}}',
    b'{"o":{}, "p":[], "q":":"}',
    b'{"code":"{\\"a\\": {\\"b\\": 1}}", "o":{"k":1}}',
    b'{"path":"C:\\\\", "b":1}',
    b'\t{"a"\t:\t1}',
    b'{"a":123456789012345678901234567890}',
    b'{"a":0.1, "b":-0.0, "c":1e5, "d":"\\u00e9\\ud83d\\ude00"}',
    b"{}",
]


@pytest.mark.parametrize("line", CLEAN)
def test_a_clean_line_reads_as_json_reads_it_alone_and_in_a_block(line: bytes) -> None:
    expected = json.loads(line)
    assert decode_line(line) == expected
    assert decoded(line + b"\n" + line) == ([(1, expected), (2, expected)], [])


def test_blank_lines_are_passed_over_and_counted() -> None:
    assert decoded(b'\n{"a":1}\n \r\n\n{"a":2}\n') == ([(2, {"a": 1}), (5, {"a": 2})], [])


def test_a_document_that_spans_lines_is_no_item() -> None:
    """The line decoder of msgspec takes these two lines as two objects."""
    values, faults = decoded(b'{"a":\n1} {"b":2}\n')
    assert values == []
    assert [number for number, _ in faults] == [1, 2]


def test_only_the_bad_lines_of_a_doubtful_block_are_left_out() -> None:
    data = b'{"a":"x: y"}\n{"a":1,"a":2}\n{"a":"\\": : "}\n'
    assert decoded(data) == (
        [(1, {"a": "x: y"}), (3, {"a": '": : '})],
        [(2, "duplicate key 'a'")],
    )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(['":', '" :', "\\", '\\":', "{", "job", "\u2028"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(
    st.text(max_size=4) | st.sampled_from(['a":', "a\\", "\t:"]), json_values, max_size=4
)
separators = st.sampled_from(
    [(",", ":"), (", ", ": "), (" , ", " : "), (",\t", "\t:"), (",", "\r:")]
)


@given(
    st.lists(st.tuples(objects, separators, st.booleans()), max_size=5),
    st.sampled_from([b"\n", b"\r\n"]),
)
@pytest.mark.fault(49)
def test_any_objects_written_in_any_style_are_read_exactly(
    written: list[tuple[dict[str, Any], tuple[str, str], bool]], newline: bytes
) -> None:
    lines = [
        json.dumps(value, separators=style, ensure_ascii=ascii_only).encode()
        for value, style, ascii_only in written
    ]
    data = b"".join(line + newline for line in lines)
    expected = [(number, value) for number, (value, _, _) in enumerate(written, 1)]
    values, faults = decoded(data)
    assert (values, faults) == (expected, [])
    assert [json.dumps(value) for _, value in values] == [
        json.dumps(value) for _, value in expected
    ]


tokens = st.sampled_from(
    [b'"a"', b'"b"', b'"a\\\\"', b'"\\":"', b":", b":", b",", b"{", b"}", b"[", b"]", b" ", b"\t", b"\r", b"\n", b"1", b"null",
     b'"\\u0061"', b"1e999", b"NaN", b'{"a":1}', b'"\xc3\xa9"', b"\xff", b'"\\ud800"', b"\xef\xbb\xbf"]
)  # fmt: skip
near_json = st.lists(tokens, max_size=14).map(b"".join)
objects_of_tokens = st.lists(
    st.tuples(tokens, st.sampled_from([b":", b" :", b"\t:"]), tokens), min_size=1, max_size=4
).map(lambda pairs: b"{" + b",".join(k + colon + v for k, colon, v in pairs) + b"}")


@given(near_json | st.binary(max_size=40) | st.lists(objects_of_tokens, max_size=4).map(b"\n".join))
@example(b'{"a" :1,"a":"\\":"}')
def test_the_fast_reading_gives_for_any_bytes_what_the_strict_one_gives(data: bytes) -> None:
    assert decoded(data) == strictly(data)
