"""Result files are read in bounded memory, and a line over the limit harms no other."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ledger.resultlines import result_lines

LIMIT = 10


def read(path: Path, data: bytes) -> list[bytes]:
    path.write_bytes(data)
    with path.open("rb") as file:
        return list(result_lines(file, limit=LIMIT))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "1.output.jsonl"


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb", [b"a\n", b"b"]),
        (b"a\n" + b"x" * 10 + b"\nb\n", [b"a\n", b"x" * 10 + b"\n", b"b\n"]),
        (b"a\n" + b"x" * 11 + b"\nb\n", [b"a\n", b"\0" * 11, b" ", b"b\n"]),
        (b"a\n" + b"x" * 40, [b"a\n", b"\0" * 11, b" " * 11, b" " * 11, b" " * 7]),
        (b"x" * 22 + b"\n\nb\n", [b"\0" * 11, b" " * 11, b" ", b"\n", b"b\n"]),
        (b"x" * 21 + b"\nb\n", [b"\0" * 11, b" " * 11, b"b\n"]),
    ],
)
@pytest.mark.fault(46)
def test_a_line_over_the_limit_is_one_unreadable_line_and_white_space(
    path: Path, data: bytes, lines: list[bytes]
) -> None:
    assert read(path, data) == lines


@given(st.lists(st.integers(0, 35), max_size=8), st.booleans())
def test_lengths_add_up_and_short_lines_are_themselves_where_they_were(
    path: Path, lengths: list[int], has_end: bool
) -> None:
    written = [b"%d" % (n % 10) * length + b"\n" for n, length in enumerate(lengths)]
    data = b"".join(written) if has_end else b"".join(written)[:-1]
    found, offset = {}, 0
    for line in read(path, data):
        found[offset] = line
        offset += len(line)
    assert offset == len(data)
    at = 0
    for line in written:
        whole = line if has_end or at + len(line) <= len(data) else line[:-1]
        if 0 < len(whole) <= LIMIT:
            assert found[at] == whole
        at += len(line)


@pytest.mark.fault(39, 46)
def test_a_line_of_hundreds_of_megabytes_is_never_held(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"n":1}\n')
        file.seek(400_000_000)
        file.write(b'\n{"n":2}\n')
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            lines = [line for line in result_lines(file) if line.startswith(b"{")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == [b'{"n":1}\n', b'{"n":2}\n']
    assert peak < 300_000_000
