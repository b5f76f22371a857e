"""`batchrun new`: the proposed job line fits the data and loads."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import Problems, job_line_text, load, read_items, write_job_line
from batchrun.jobfile.template import Where, compile_template


def proposed(folder: Path, name: str, data: str) -> dict[str, Any]:
    path = folder / name
    path.write_text(data, encoding="utf-8")
    return write_job_line(path)


def test_the_columns_are_told_apart(tmp_path: Path) -> None:
    rows = "".join(
        f"r{n},Title {n},A longer text that is worth asking about {n},{label}\n"
        for n, label in enumerate(["good", "bad", "", "good"])
    )
    line = proposed(tmp_path, "my reviews.csv", "review_id,title,text,gold_label\n" + rows)
    assert line == {
        "job": "my-reviews",
        "model": "gpt-5-mini",
        "prompt": "title: {{ title }}\ntext: {{ text }}",
        "labels": ["good", "bad"],
        "max_output_tokens": 2000,
        "items": "my reviews.csv",
        "id": "{{ review_id }}",
    }


def test_a_column_that_says_id_and_repeats_is_none(tmp_path: Path) -> None:
    line = proposed(tmp_path, "d.csv", "productId,text\n1,aaaa\n1,bbbb\n")
    assert "id" not in line


def test_a_field_called_id_needs_no_template(tmp_path: Path) -> None:
    line = proposed(tmp_path, "d.jsonl", '{"id":1,"text":"some text"}\n{"id":2,"text":"more"}\n')
    assert "id" not in line
    assert line["prompt"] == "{{ text }}"


def test_a_column_whose_name_is_no_identifier_is_reached_through_item(tmp_path: Path) -> None:
    line = proposed(tmp_path, "d.csv", 'Review "Text",Order No\nsome long enough text,17\n')
    assert line["prompt"] == '{{ item["Review \\"Text\\""] }}'
    assert line["id"] == '{{ item["Order No"] }}'
    fields = {'Review "Text"': "x", "Order No": "17"}
    assert compile_template(line["prompt"], where=Where(path="")).render(fields) == "x"


def test_many_different_answers_are_no_labels(tmp_path: Path) -> None:
    rows = "".join(f"text number {n},{n}\n" for n in range(20))
    assert "labels" not in proposed(tmp_path, "d.csv", "text,answer\n" + rows)


def test_a_file_of_ids_only_still_gets_a_prompt(tmp_path: Path) -> None:
    assert proposed(tmp_path, "d.csv", "id\n1\n2\n")["prompt"] == "{{ id }}"


def test_the_proposal_loads_and_reads_the_data(tmp_path: Path) -> None:
    line = proposed(tmp_path, "d[1].csv", "id,text,label\n1,héllo,x\n2,wörld,y\n")
    text = job_line_text(line)
    assert json.loads(text) == line
    assert text.endswith("}\n")
    (tmp_path / "j.jsonl").write_text(text, encoding="utf-8")
    (job,) = load(tmp_path / "j.jsonl").jobs
    assert job.problems == ()
    assert job.warnings == ()
    assert job.settings is not None
    problems = Problems()
    assert sum(len(block.fields) for block in read_items(job.settings, problems)) == 2
    assert len(problems) == 0


@pytest.mark.parametrize(
    ("data", "what"),
    [("a,a\n1,2\n", "duplicate column 'a'"), ("a,b\n", "no items to write a job line for")],
)
def test_data_without_readable_items_gets_no_job_line(tmp_path: Path, data: str, what: str) -> None:
    with pytest.raises(JobFileError, match=what):
        proposed(tmp_path, "d.csv", data)


def test_items_without_fields_get_no_job_line(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="no items"):
        proposed(tmp_path, "d.jsonl", "{}\n")


def test_a_column_that_is_empty_here_and_there_is_asked_for_with_a_default(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "1", "n": 1},
        {"id": "2", "text": "a text", "n": 2},
        {"id": "3", "text": None},
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows)
    line = proposed(tmp_path, "d.jsonl", data)
    gap = '{{ text | default("") }}'
    assert line["prompt"] == f'n: {{{{ n | default("") }}}}\ntext: {gap}'
    for row in rows:
        compile_template(line["prompt"], where=Where(path="d")).render(row)
