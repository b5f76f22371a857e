"""Loading a job file: its job lines, every mistake at once with its line, and ready Batch files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.jobfile import JobFile, Problems, load, read_items
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JobSettings

RAW = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/responses",
    "body": {"model": "m", "input": "x"},
}


def loaded(folder: Path, text: str | bytes, name: str = "jobs.jsonl") -> JobFile:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path)


def whole(file: JobFile) -> list[str]:
    """All problems, each without its folder."""
    problems = [*file.problems, *(problem for job in file.jobs for problem in job.problems)]
    return [str(problem).replace(str(file.path.parent) + "/", "") for problem in problems]


def test_job_lines_are_found_between_item_lines(tmp_path: Path) -> None:
    file = loaded(
        tmp_path,
        '\ufeff{"job":"a","model":"m"}\r\n{"id":"1","text":"a \\"job\\": b"}\n\n{"model":"m","\\u006aob":"b"}\n{"id":"2"}',
    )
    assert [(job.name, job.settings.line) for job in file.jobs if job.settings] == [
        ("a", 1),
        ("b", 4),
    ]
    assert whole(file) == []


def test_all_keys_arrive_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/p.md").write_text("\ufeff{{ text }}\n")
    line = {
        "job": "a-1._",
        "endpoint": "/v1/chat/completions",
        "model": "m",
        "instructions": "be brief",
        "prompt": {"file": "prompts/p.md"},
        "labels": ["x", "y"],
        "body": {"temperature": 0},
        "body_unchecked": True,
        "max_output_tokens": 50,
        "items": "data/*.csv",
        "id": "{{ n }}",
        "missing": "keep",
        "bad_items": 2,
        "max_new": 10,
        "window": "24h",
        "attempts": 5,
        "backend": "local",
        "output": {"files": "{{ id }}.md", "csv": True},
        "metadata": {"team": "x"},
        "note": "hello",
    }
    file = loaded(tmp_path, json.dumps(line))
    assert whole(file) == []
    settings = file.jobs[0].settings
    assert settings is not None
    assert settings == JobSettings(
        name="a-1._",
        path=str(tmp_path / "jobs.jsonl"),
        line=1,
        endpoint="/v1/chat/completions",
        model="m",
        instructions="be brief",
        prompt="{{ text }}\n",
        labels=("x", "y"),
        schema={
            "type": "object",
            "properties": {"label": {"type": "string", "enum": ["x", "y"]}},
            "required": ["label"],
            "additionalProperties": False,
        },
        body={"temperature": 0},
        body_unchecked=True,
        max_output_tokens=50,
        items=str(tmp_path / "data/*.csv"),
        id="{{ n }}",
        missing="keep",
        bad_items=2,
        max_new=10,
        window="24h",
        attempts=5,
        profile="local",
        output=type(settings.output)(files="{{ id }}.md", csv=True),
        metadata={"team": "x"},
        note="hello",
    )


def test_the_defaults_are_those_of_the_settings(tmp_path: Path) -> None:
    file = loaded(tmp_path, '{"job":"a"}\n{"id":"1"}\n')
    assert file.jobs[0].settings == JobSettings(name="a", path=str(tmp_path / "jobs.jsonl"), line=1)


def test_paths_are_relative_to_the_job_file_and_its_folder_is_no_glob(tmp_path: Path) -> None:
    folder = tmp_path / "in[1]"
    folder.mkdir()
    (folder / "a.txt").write_text("x")
    for items in ("*.txt", "./a.txt", "../in[[]1]/*.txt"):
        file = loaded(folder, json.dumps({"job": "a", "items": items}))
        settings = file.jobs[0].settings
        assert settings is not None
        problems = Problems()
        blocks = list(read_items(settings, problems))
        assert [block.fields[0]["id"] for block in blocks] == ["a.txt"]
        assert list(problems) == []


def test_an_absolute_items_path_stays(tmp_path: Path) -> None:
    file = loaded(tmp_path, '{"job":"a","items":"/data/x.csv"}')
    assert file.jobs[0].settings is not None
    assert file.jobs[0].settings.items == "/data/x.csv"


# --- the file as a whole


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "jobs.jsonl: the file is empty. A job file begins with a job line."),
        ("\n \r\n", "jobs.jsonl: the file is empty. A job file begins with a job line."),
        (b'\xff\xfe{\0"\0', "jobs.jsonl: the file is UTF-16, not UTF-8. Save it as UTF-8."),
        ("hello\n", "jobs.jsonl:1: not JSON: expecting value at character 1."),
        ("\n[1]\n", "jobs.jsonl:2: a list, not an object. Each line is one JSON object: {...}."),
        ('{"jo', "jobs.jsonl:1: half a line: the JSON ends before it is complete. Write the file again; each object stands on one line."),
        ('{\n  "job": "a"\n}\n', "jobs.jsonl:1: JSON over several lines; a job file has one object on each. Rewrite it: jq -c . FILE (for a list, jq -c '.[]' FILE)."),
        ('{"id":"1"}\n', 'jobs.jsonl:1: an item without a job. Put a job line above it: {"job": "name", "model": "...", "prompt": "..."}.'),
        ('{"id":"1"}\n{"job":"a"}\n{"id":"2"}', "jobs.jsonl:1: an item without a job. Items stand below their job line: move the job line up."),
        ('x\n{"job":"a"}\n{"id":"2"}', "jobs.jsonl:1: an item without a job. Items stand below their job line: move the job line up."),
    ],
)  # fmt: skip
def test_a_file_that_is_no_job_file_says_why(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    assert whole(loaded(tmp_path, text)) == [problem]


def test_a_missing_file_and_a_folder_are_problems(tmp_path: Path) -> None:
    assert "there is no such file" in str(load(tmp_path / "gone.jsonl").problems[0])
    assert "a folder, not a file" in str(load(tmp_path).problems[0])


def test_problems_name_the_file_as_seen_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/faq.jsonl").write_text('{"job":"a","modle":"m"}')
    monkeypatch.chdir(tmp_path)
    file = load(Path("jobs/faq.jsonl"))
    assert [str(problem) for problem in file.jobs[0].problems] == [
        "jobs/faq.jsonl:1: unknown key 'modle'. Did you mean 'model'?"
    ]


# --- jobs among each other


def test_one_bad_job_leaves_the_others_usable_and_all_its_problems_are_told(tmp_path: Path) -> None:
    file = loaded(
        tmp_path,
        '{"job":"a"}\n{"id":"1"}\n{"job":"b","modle":"m","attempts":0,"base_url":"x","prompt":"{{ x"}\n{"job":"c",\n{"job":"d"}',
    )
    assert [(job.name, job.settings is not None) for job in file.jobs] == [
        ("a", True),
        ("b", False),
        (None, False),
        ("d", True),
    ]
    assert [problem.split(". ")[0] for problem in whole(file)] == [
        "jobs.jsonl:3: unknown key 'modle'",
        "jobs.jsonl:3: key 'base_url' does not belong in a job file",
        "jobs.jsonl:3: 'attempts' must be a whole number from 1 to 100, not 0.",
        "jobs.jsonl:3: 'prompt': syntax error on line 1 of the template: unexpected end of input, expected end of variable block.",
        "jobs.jsonl:4: half a line: the JSON ends before it is complete",
    ]


def test_a_job_name_stands_for_one_job_of_a_file(tmp_path: Path) -> None:
    file = loaded(tmp_path, '{"job":"a"}\n{"job":"b"}\n{"job":"a"}\n')
    assert whole(file) == [
        "jobs.jsonl:3: duplicate job 'a' (first on line 1). Give each job its own name."
    ]
    assert [job.settings is not None for job in file.jobs] == [True, True, False]


def test_a_job_name_of_the_wrong_type_is_no_name(tmp_path: Path) -> None:
    file = loaded(tmp_path, '{"job":1}\n{"job":null}\n')
    assert [job.name for job in file.jobs] == [None, None]
    assert "not 1" in whole(file)[0]


def test_item_lines_under_a_job_with_items_are_a_problem(tmp_path: Path) -> None:
    text = '{"job":"a","items":"d.csv"}\n\n{"id":"1"}\n{"id":"2"}\n{"job":"b","items":"d.csv"}\n'
    assert whole(loaded(tmp_path, text)) == [
        "jobs.jsonl:3: an item line under a job that has 'items' (line 1). Remove the line, or the key 'items'."
    ]


def test_item_lines_are_noticed_in_a_later_block(tmp_path: Path) -> None:
    text = '{"job":"a","items":"d.csv"}\n' + " " * 70 + "\n" * 1_100_000 + '{"id":"1"}\n'
    assert "jobs.jsonl:1100002: an item line" in whole(loaded(tmp_path, text))[0]


def test_a_line_over_the_limit_among_items_is_left_to_the_reading_of_items(tmp_path: Path) -> None:
    long = '{"job":"' + "x" * ITEM_LINE_LIMIT_BYTES + '"}\n'
    file = loaded(tmp_path, '{"job":"a"}\n{"id":"1"}\n' + long + '{"job":"b"}\n')
    assert [job.settings.line for job in file.jobs if job.settings] == [1, 4]


@pytest.mark.fault(39)
def test_millions_of_item_lines_are_passed_over_without_being_held(tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "j.jsonl").open("w") as out:
        out.write('{"job":"a"}\n')
        out.writelines('{"text":"' + "x" * 90 + '"}\n' for _ in range(200_000))
        out.write('{"job":"b"}\n')
    tracemalloc.start()
    try:
        file = load(tmp_path / "j.jsonl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [job.settings.line for job in file.jobs if job.settings] == [1, 200_002]
    assert peak < 10_000_000


# --- ready Batch files


def test_a_ready_batch_file_is_one_job_named_after_the_file(tmp_path: Path) -> None:
    file = loaded(tmp_path, "\n" + json.dumps(RAW) + "\n{broken\n", "My night (2).jsonl")
    assert whole(file) == []
    assert file.jobs[0].settings == JobSettings(
        name="My-night-2-", path=str(file.path), line=0, endpoint="/v1/responses", is_raw=True
    )


@pytest.mark.parametrize(
    ("stem", "name"), [("日本", "batch"), ("..", "batch"), ("x" * 99, "x" * 64)]
)
def test_a_file_name_becomes_a_valid_job_name(tmp_path: Path, stem: str, name: str) -> None:
    assert loaded(tmp_path, json.dumps(RAW), stem + ".jsonl").jobs[0].name == name


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"url": "/v1/audio/speech"}, "the Batch API has no endpoint '/v1/audio/speech'"),
        ({"url": 3}, "a 'url' that is a number"),
    ],
)  # fmt: skip
def test_a_batch_file_for_an_endpoint_that_no_batch_has_is_refused(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    assert f"jobs.jsonl:1: {problem}" in whole(loaded(tmp_path, json.dumps(RAW | change)))[0]


@pytest.mark.parametrize("missing", ["method", "url", "body"])
def test_a_batch_file_without_one_of_its_keys_says_which(tmp_path: Path, missing: str) -> None:
    line = {key: value for key, value in RAW.items() if key != missing}
    assert whole(loaded(tmp_path, json.dumps(line))) == [
        f"jobs.jsonl:1: a line of a Batch file without {missing!r}."
    ]


def test_an_item_that_has_a_field_url_is_no_batch_file(tmp_path: Path) -> None:
    assert "an item without a job" in whole(loaded(tmp_path, '{"url":"x","text":"y"}'))[0]


# --- anything

lines = st.sampled_from(
    [b'{"job":"a"}', b'{"job":"b","items":"x.csv"}', b'{"job":', b'{"x":1}', b"[]", b"", b"\xff", b'{"x":1,"x":2}', b'{"job":["a"]}',
     b"\xef\xbb\xbf", json.dumps(RAW).encode(), b'{"job":"a","labels":["x"]}', b'{"j\\u006fb":"c"}', b'{"job":"d","schema":{"type":1}}']
)  # fmt: skip


@given(st.lists(lines | st.binary(max_size=12), max_size=8).map(b"\n".join))
def test_any_bytes_load_as_jobs_or_problems_and_every_line_belongs_to_one_job(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    file = load(path)
    assert file.jobs or file.problems
    seen: list[int] = []
    for job in file.jobs:
        assert (job.settings is None) == bool(job.problems)
        if job.settings and job.settings.items is None:
            problems = Problems()
            for block in read_items(job.settings, problems):
                seen.extend(block.lines)
            seen.extend(
                problem.line
                for problem in problems
                if problem.line and "no items" not in problem.what
            )
    assert len(seen) == len(set(seen))
    assert all(1 <= line <= data.count(b"\n") + 1 for line in seen)


def test_a_job_file_is_the_same_by_whatever_path_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    plain = tmp_path / "jobs" / "a.jsonl"
    plain.write_text('{"job": "a", "model": "m", "prompt": "{{ x }}"}\n{"x": "y"}\n')
    link = tmp_path / "link.jsonl"
    link.symlink_to(plain)
    paths = {plain, tmp_path / "jobs" / ".." / "jobs" / "a.jsonl", link}
    settings = [load(path).jobs[0].settings for path in paths]
    assert {s.path for s in settings if s is not None} == {str(plain.resolve())}
    assert None not in settings
