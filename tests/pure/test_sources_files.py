"""Items from JSON Lines, text files, globs and standard input."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from batchrun.jobfile import ItemBlock, Problems, read_items
from batchrun.jobfile.problems import PROBLEMS_KEPT
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JobSettings, Json

Read = tuple[list[tuple[str, int, dict[str, Json]]], list[str]]


def settings(path: Path, **more: Any) -> JobSettings:
    keys: dict[str, Any] = {"name": "a", "path": str(path), "line": 1}
    return JobSettings(**(keys | more))


def read(job: JobSettings, **how: Any) -> Read:
    problems = Problems()
    blocks = list(read_items(job, problems, **how))
    assert all(block.fields and len(block.fields) == len(block.lines) for block in blocks)
    items = [
        (Path(block.path).name, line, fields)
        for block in blocks
        for line, fields in zip(block.lines, block.fields, strict=True)
    ]
    return items, [str(problem) for problem in problems]


def read_data(folder: Path, items: str, **how: Any) -> Read:
    return read(settings(folder / "jobs.jsonl", items=str(folder / items)), **how)


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# --- JSON Lines


@pytest.mark.parametrize("name", ["data.jsonl", "data.ndjson", "DATA.JSONL"])
def test_json_lines_are_read_with_their_line_numbers(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, '\ufeff{"a":1}\r\n\r\n{"a":[2],"job":"no job line here"}')
    items, problems = read_data(tmp_path, name)
    assert items == [(name, 1, {"a": 1}), (name, 3, {"a": [2], "job": "no job line here"})]
    assert problems == []


def test_every_bad_line_is_a_problem_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "d.jsonl", b'{"a":1}\n[2]\n{"a":"\xff"}\n{"a":4}\n{"a":')
    items, problems = read_data(tmp_path, "d.jsonl")
    assert [line for _, line, _ in items] == [1, 4]
    assert problems == [
        f"{path}:2: a list, not an object. Each line is one JSON object: {{...}}.",
        f"{path}:3: invalid UTF-8: byte 0xff at offset 6 of the line. Save the file as UTF-8.",
        f"{path}:5: half a line: the JSON ends before it is complete. Write the file again; each object stands on one line.",
    ]


@pytest.mark.fault(46)
def test_a_line_over_16_mb_is_a_problem_of_its_line(tmp_path: Path) -> None:
    long = b'{"a":"' + b"x" * ITEM_LINE_LIMIT_BYTES + b'"}'
    path = write(tmp_path, "d.jsonl", b'{"a":1}\n' + long + b'\n{"a":3}\n')
    items, problems = read_data(tmp_path, "d.jsonl")
    assert [line for _, line, _ in items] == [1, 3]
    assert [problem.split(". ")[0] for problem in problems] == [
        f"{path}:2: a line of more than 16,000,000 bytes"
    ]


@pytest.mark.parametrize("data", ["", "\n \n"])
def test_an_empty_data_file_is_a_problem(tmp_path: Path, data: str) -> None:
    path = write(tmp_path, "d.jsonl", data)
    assert read_data(tmp_path, "d.jsonl") == ([], [f"{path}: the file is empty: no items."])


def test_utf16_data_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "d.jsonl", '{"a":1}'.encode("utf-16"))
    assert read_data(tmp_path, "d.jsonl")[1] == [
        f"{path}: the file is UTF-16, not UTF-8. Save it as UTF-8."
    ]


def test_blocks_hold_no_more_items_than_asked_for_and_keep_line_numbers(tmp_path: Path) -> None:
    write(tmp_path, "d.jsonl", "".join(f'{{"a":{n}}}\n' for n in range(1, 8)))
    blocks = list(
        read_items(
            settings(tmp_path / "j", items=str(tmp_path / "d.jsonl")), Problems(), block_count=3
        )
    )
    assert [list(block.lines) for block in blocks] == [[1, 2, 3], [4, 5, 6], [7]]
    assert [fields["a"] for block in blocks for fields in block.fields] == [1, 2, 3, 4, 5, 6, 7]


def test_reading_is_lazy(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", '{"a":1}\n')
    blocks = read_items(settings(tmp_path / "j", items=str(tmp_path / "*.jsonl")), Problems())
    assert isinstance(next(blocks), ItemBlock)


def test_problems_beyond_the_first_thousand_are_counted_and_not_kept() -> None:
    problems = Problems()
    data = io.BytesIO(b"x\n" * (PROBLEMS_KEPT + 5))
    assert list(read_items(settings(Path("j")), problems, items="-", stdin=data)) == []
    assert (len(problems), len(list(problems))) == (PROBLEMS_KEPT + 5, PROBLEMS_KEPT)


# --- standard input, and overriding


def test_items_from_standard_input_are_json_lines(tmp_path: Path) -> None:
    stream = io.BytesIO(b'{"a":1}\n{"a":\n')
    items, problems = read(settings(tmp_path / "j", items="other.csv"), items="-", stdin=stream)
    assert items == [("<stdin>", 1, {"a": 1})]
    assert problems[0].startswith("<stdin>:2: half a line")


def test_empty_standard_input_is_a_problem(tmp_path: Path) -> None:
    assert read(settings(tmp_path / "j"), items="-", stdin=io.BytesIO()) == (
        [],
        ["<stdin>: the file is empty: no items."],
    )


def test_a_path_given_on_the_command_line_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "here/d.jsonl", '{"a":1}\n[]\n')
    monkeypatch.chdir(tmp_path / "here")
    items, problems = read(settings(tmp_path / "elsewhere/j.jsonl"), items="d.jsonl")
    assert items == [("d.jsonl", 1, {"a": 1})]
    assert problems[0].startswith("d.jsonl:2: a list")


# --- item lines in the job file


def test_item_lines_are_those_between_their_job_line_and_the_next(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "j.jsonl",
        '{"job":"a"}\n{"n":1}\n\n{"n":"the \\"job\\" is"}\n{"job":"b"}\n{"n":3}\n{"n":4}',
    )
    items, problems = read(settings(path, line=1))
    assert [(line, fields["n"]) for _, line, fields in items] == [(2, 1), (4, 'the "job" is')]
    items, problems = read(settings(path, line=5))
    assert [(line, fields["n"]) for _, line, fields in items] == [(6, 3), (7, 4)]
    assert problems == []


@pytest.mark.parametrize(
    "next_job",
    ['{"\\u006aob":"b"}', '{"x":1,"job" : "b"}', '{"job": "b", "model": ', '{"x":1,"job":"b","x":2}'],
)  # fmt: skip
def test_items_under_a_broken_or_disguised_job_line_never_go_to_the_job_above(
    tmp_path: Path, next_job: str
) -> None:
    path = write(tmp_path, "j.jsonl", '{"job":"a"}\n{"n":1}\n' + next_job + '\n{"n":2}\n')
    items, problems = read(settings(path, line=1))
    assert [fields for _, _, fields in items] == [{"n": 1}]
    assert problems == []


def test_an_item_that_speaks_of_a_job_is_an_item(tmp_path: Path) -> None:
    path = write(tmp_path, "j.jsonl", '{"job":"a"}\n{"n":{"job":"inner"}}\n{"n":"\\u006aob"}\n')
    items, problems = read(settings(path))
    assert [line for _, line, _ in items] == [2, 3]
    assert problems == []


def test_a_job_without_item_lines_or_items_is_a_problem_of_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "j.jsonl", '{"job":"a"}\n{"job":"b"}\n\n')
    for line in (1, 2):
        items, problems = read(settings(path, line=line))
        assert items == []
        assert problems[0].startswith(f"{path}:{line}: job 'a' has no items. Put item lines")


def test_a_job_line_without_its_newline_has_no_items(tmp_path: Path) -> None:
    path = write(tmp_path, "j.jsonl", '{"job":"a"}')
    assert "has no items" in read(settings(path))[1][0]


def test_item_lines_are_found_in_files_of_many_blocks(tmp_path: Path) -> None:
    filler = "".join(f'{{"n":{n},"text":"{"x" * 1000}"}}\n' for n in range(3000))
    path = write(tmp_path, "j.jsonl", '{"job":"a"}\n' + filler + '{"job":"b"}\n{"n":-1}\n' + filler)
    items, _ = read(settings(path, line=1))
    assert [(line, fields["n"]) for _, line, fields in items] == [(n + 2, n) for n in range(3000)]
    items, _ = read(settings(path, line=3002))
    assert [line for _, line, _ in items] == list(range(3003, 6004))


def test_a_line_over_the_limit_before_a_job_line_keeps_the_numbers_right(tmp_path: Path) -> None:
    long = '{"a":"' + "x" * ITEM_LINE_LIMIT_BYTES + '"}\n'
    path = write(tmp_path, "j.jsonl", '{"job":"a"}\n' + long + '{"job":"b"}\n{"n":1}\n' + long)
    items, problems = read(settings(path, line=3))
    assert [line for _, line, _ in items] == [4]
    assert [problem.split(": ")[0] for problem in problems] == [f"{path}:5"]


def test_a_ready_batch_file_gives_all_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "r.jsonl", '{"custom_id":"1"}\n{"custom_id":"2","job":"x"}\n')
    items, problems = read(settings(path, line=0, is_raw=True))
    assert [line for _, line, _ in items] == [1, 2]
    assert problems == []


def test_a_job_file_that_vanished_is_a_problem(tmp_path: Path) -> None:
    assert read(settings(tmp_path / "gone.jsonl"))[1] == [
        f"{tmp_path / 'gone.jsonl'}: there is no such file. Check the path; it is relative to the job file."
    ]


# --- text files and globs


def test_text_files_are_items_named_by_their_path_under_the_fixed_part(tmp_path: Path) -> None:
    write(tmp_path, "docs/b/two.md", "\ufeffzwei\r\n")
    write(tmp_path, "docs/a.md", "eins")
    write(tmp_path, "docs/skip.txt", "")
    (tmp_path / "docs/folder.md").mkdir()
    items, problems = read_data(tmp_path, "docs/**/*.md")
    assert problems == []
    assert items == [
        ("a.md", 1, {"id": "a.md", "path": str(tmp_path / "docs/a.md"), "name": "a.md", "text": "eins"}),
        ("two.md", 1, {"id": "b/two.md", "path": str(tmp_path / "docs/b/two.md"), "name": "two.md", "text": "zwei\r\n"}),
    ]  # fmt: skip


def test_one_text_file_is_one_item(tmp_path: Path) -> None:
    write(tmp_path, "x/a.txt", "")
    items, _ = read_data(tmp_path, "x/a.txt")
    assert [(fields["id"], fields["text"]) for _, _, fields in items] == [("a.txt", "")]


def test_a_text_file_that_is_none_is_a_problem(tmp_path: Path) -> None:
    binary = write(tmp_path, "a.txt", b"ab\xff")
    utf16 = write(tmp_path, "b.txt", "ab".encode("utf-16"))
    large = write(tmp_path, "c.txt", b"x" * (ITEM_LINE_LIMIT_BYTES + 1))
    write(tmp_path, "d.txt", "fine")
    items, problems = read_data(tmp_path, "*.txt")
    assert [name for name, _, _ in items] == ["d.txt"]
    assert [problem.split(". ")[0] for problem in problems] == [
        f"{binary}: invalid UTF-8: byte 0xff at offset 2",
        f"{utf16}: the file is UTF-16, not UTF-8",
        f"{large}: a file of more than 16,000,000 bytes",
    ]


def test_a_glob_of_data_files_reads_each_by_its_ending_with_its_own_line_numbers(
    tmp_path: Path,
) -> None:
    write(tmp_path, "2.jsonl", '{"a":1}\n')
    write(tmp_path, "1.csv", "a\nx\n")
    write(tmp_path, "3.tsv", "a\tb\ny\tz\n")
    items, problems = read_data(tmp_path, "?.*")
    assert items == [
        ("1.csv", 2, {"a": "x"}),
        ("2.jsonl", 1, {"a": 1}),
        ("3.tsv", 2, {"a": "y", "b": "z"}),
    ]
    assert problems == []


def test_a_glob_that_matches_nothing_is_a_problem(tmp_path: Path) -> None:
    assert read_data(tmp_path, "*.md") == (
        [],
        [f"{tmp_path / '*.md'}: no file matches. Check the glob; it is relative to the job file."],
    )


def test_a_file_whose_name_looks_like_a_glob_is_itself(tmp_path: Path) -> None:
    write(tmp_path, "a[1].txt", "this")
    write(tmp_path, "a1.txt", "not this")
    items, _ = read_data(tmp_path, "a[1].txt")
    assert [fields["text"] for _, _, fields in items] == ["this"]


def test_an_escaped_folder_is_part_of_the_fixed_part(tmp_path: Path) -> None:
    write(tmp_path, "in [2]/sub/a.md", "text")
    items, _ = read_data(tmp_path, "in [[]2]/*/*.md")
    assert [fields["id"] for _, _, fields in items] == ["sub/a.md"]


def test_a_fully_escaped_pattern_names_one_file(tmp_path: Path) -> None:
    write(tmp_path, "a[1].md", "text")
    items, _ = read_data(tmp_path, "a[[]1].md")
    assert [fields["id"] for _, _, fields in items] == ["a[1].md"]


def test_a_kind_of_data_that_comes_later_is_said_to(tmp_path: Path) -> None:
    path = write(tmp_path, "d.jsonl.gz", "x")
    what = "compressed data is not in this version. Unpack it first."
    assert read_data(tmp_path, "d.jsonl.gz") == ([], [f"{path}: {what}"])


def test_a_missing_file_a_folder_and_a_forbidden_file_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no such file" in read_data(tmp_path, "gone.csv")[1][0]
    assert "a folder, not a file" in read_data(tmp_path, ".")[1][0]
    path = write(tmp_path, "d.csv", "a\n1\n")
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser may read anything

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
    assert "permission denied" in read_data(tmp_path, "d.csv")[1][0]


def test_an_error_while_reading_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", lambda *_: Torn())
    for name in ("d.csv", "d.jsonl", "d.txt"):
        (tmp_path / name).touch()
        _, problems = read_data(tmp_path, name)
        assert problems == [f"{tmp_path / name}: not readable: Input/output error."]


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.txt"])
def test_a_pipe_is_a_problem_and_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    _, problems = read_data(tmp_path, name)
    (told,) = problems
    assert told.startswith(f"{tmp_path / name}: a pipe or a device, not a file. Save")
    assert told.endswith("or pipe it in as JSON Lines with `--items -`.")
