"""The keys of a job line: what each takes, what is refused, and what is only warned of."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from batchrun.jobfile import job_line_schema, load
from batchrun.jobfile.job import EXPECTED, validate_job_line

STRICT_SCHEMA = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}},
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"a": {"type": "string"}},
}


def problems(folder: Path, **keys: Any) -> list[str]:
    path = folder / "j.jsonl"
    path.write_text(json.dumps({"job": "a"} | keys), encoding="utf-8")
    (job,) = load(path).jobs
    return [f"{problem.what} {problem.fix}".strip() for problem in job.problems]


def warnings(folder: Path, **keys: Any) -> list[str]:
    path = folder / "j.jsonl"
    path.write_text(json.dumps({"job": "a"} | keys), encoding="utf-8")
    (job,) = load(path).jobs
    assert job.problems == ()
    return [warning.what for warning in job.warnings]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"job": "a b"}, "'job' must be a name of 1 to 64 letters, digits, '.', '_' or '-', not 'a b'"),
    ({"job": "x" * 65}, f"'job' must be a name of 1 to 64 letters, digits, '.', '_' or '-', not '{'x' * 65}'"),
    ({"job": "a\n"}, "'job' must be a name of 1 to 64 letters, digits, '.', '_' or '-', not 'a\\n'"),
    ({"job": None}, "'job' must be a name of 1 to 64 letters, digits, '.', '_' or '-', not null"),
    ({"job": ".."}, "'job' must not be '..' It names a folder of the outputs."),
    ({"endpoint": "/v1/response"}, "'endpoint' must be one of '/v1/responses', '/v1/chat/completions', '/v1/embeddings', '/v1/completions', '/v1/moderations', '/v1/images/generations', '/v1/images/edits', '/v1/videos', not '/v1/response'"),
    ({"model": 5}, "'model' must be a model's name, not 5"),
    ({"model": ""}, "'model' must be a model's name, not ''"),
    ({"prompt": 5}, "'prompt' must be a string or {\"file\": path}, not 5"),
    ({"prompt": {"fil": "x"}}, "'prompt' must be a string or {\"file\": path}; the trouble is 'fil'"),
    ({"prompt": {}}, "'prompt' must be a string or {\"file\": path}; there is no 'file'"),
    ({"instructions": ["x"]}, "'instructions' must be a string or {\"file\": path}, not a list"),
    ({"prompt": {"file": "no.md"}}, "prompt file 'no.md': No such file or directory It is relative to the job file."),
    ({"labels": "x"}, "'labels' must be a list of strings, not 'x'"),
    ({"labels": ["a", 2]}, "'labels' must be a list of strings; the trouble is 'labels[1]'"),
    ({"labels": list(range(9))}, "'labels' must be a list of strings; the trouble is 'labels[0]', 'labels[1]', 'labels[2]', 'labels[3]', 'labels[4]' and 4 more"),
    ({"output": {"xlsx": True, "parquet": 1}}, "'output' must be an object such as {\"files\": \"{{ id }}.md\", \"csv\": true}; the trouble is 'parquet' and 'xlsx'"),
    ({"output": {"sqlite": {"path": 1, "table": "t", "key": "k", "insert": 3}}}, "'output.sqlite' must be an object such as {\"path\": \"shop.db\", \"table\": \"reviews\", \"key\": \"id\", \"columns\": {\"mood\": \"output\"}}; the trouble is 'path' and 'insert'"),
    ({"labels": ["x"]}, "'labels' needs at least two Add the others."),
    ({"labels": ["x", " "]}, "an empty label Remove it, or name it."),
    ({"labels": ["x", "y", "x"]}, "duplicate label 'x' Remove one of them."),
    ({"labels": ["x", "y"], "schema": {}}, "both 'labels' and 'schema' Labels build a schema: keep one of them."),
    ({"schema": 5}, "'schema' must be a JSON Schema object or the path of one, not 5"),
    ({"schema": "no.json"}, "schema 'no.json': No such file or directory Check the path."),
    ({"schema": {"file": "no.json"}}, "schema 'no.json': No such file or directory Check the path."),
    ({"schema": {"$ref": "http://localhost/x"}, "strict": False}, "'schema' refers to 'http://localhost/x', at $ Only references within the schema are followed."),
    ({"schema": {"allOf": [{"$ref": "file:///etc/passwd"}]}, "strict": False}, "'schema' refers to 'file:///etc/passwd', at $.allOf[0] Only references within the schema are followed."),
    ({"schema": {"$ref": "#/$defs/no"}, "strict": False}, "'schema' is not a valid JSON Schema: at $, Pointer '/$defs/no' does not exist"),
    ({"body": []}, "'body' must be an object, not a list"),
    ({"body": {"model": "m"}}, "'model' inside 'body'; it stands beside it, since a batch has one model"),
    ({"body": {"stream": True}}, "'stream' in 'body': a batch has nobody to stream to. Remove it"),
    ({"body": {"background": True}}, "'background' in 'body': a batch line is answered in the output file. Remove it"),
    ({"body_unchecked": 1}, "'body_unchecked' must be true or false, not 1"),
    ({"max_output_tokens": 0}, "'max_output_tokens' must be a whole number from 1, not 0"),
    ({"max_output_tokens": 1.5}, "'max_output_tokens' must be a whole number from 1, not 1.5"),
    ({"max_output_tokens": "9"}, "'max_output_tokens' must be a whole number from 1, not '9'"),
    ({"items": [{"x": 1}]}, "'items' must be a path, a glob or a query, not a list Put items on lines of their own."),
    ({"items": ""}, "'items' must be a path, a glob or {\"sqlite\": path, \"query\": sql}, not ''"),
    ({"items": {"x": 1}}, "'items' must be a path, a glob or {\"sqlite\": path, \"query\": sql}; the trouble is 'x'"),
    ({"items": {"sqlite": "x.db"}}, "'items' must be a path, a glob or {\"sqlite\": path, \"query\": sql}; there is no 'query'"),
    ({"items": {"sqlite": "x.db", "query": 1}}, "'items' must be a path, a glob or {\"sqlite\": path, \"query\": sql}; the trouble is 'query'"),
    ({"items": {"job": "b"}}, 'items from {"job": …} are not in this version Name the results.jsonl of that job.'),
    ({"items": "x.db"}, 'a database, and no query that says what of it Write it into the job line: "items": {"sqlite": path, "query": "select …"}.'),
    ({"items": "*.gz"}, "compressed data is not in this version Unpack it first."),
    ({"items": "x.json"}, "a .json file is one document, and items come one a line Convert it: jq -c '.[]' data.json > data.jsonl"),
    ({"id": ""}, "'id' must be a template, not ''"),
    ({"id": "{{ x"}, "'id': syntax error on line 1 of the template: unexpected end of input, expected end of variable block"),
    ({"missing": "delete"}, "'missing' must be 'drop' or 'keep', not 'delete'"),
    ({"bad_items": -1}, "'bad_items' must be a whole number from 0, not -1"),
    ({"bad_items": True}, "'bad_items' must be a whole number from 0, not True"),
    ({"max_new": 0}, "'max_new' must be a whole number from 1, not 0"),
    ({"window": "soon"}, "'window' must be a time such as '24h', not 'soon'"),
    ({"attempts": 101}, "'attempts' must be a whole number from 1 to 100, not 101"),
    ({"backend": "a b"}, "'backend' must be 'openai', 'local', 'direct' or the name of a profile in batchrun.toml, not 'a b'"),
    ({"output": {"csv": 1}}, "'output' must be an object such as {\"files\": \"{{ id }}.md\", \"csv\": true}; the trouble is 'csv'"),
    ({"output": {"npy": True}}, "'output.npy' is the matrix of embeddings Leave it out, or ask for \"endpoint\": \"/v1/embeddings\"."),
    ({"output": {"sqlite": {"path": "x.db", "table": "t"}}}, "'output.sqlite' must be an object such as {\"path\": \"shop.db\", \"table\": \"reviews\", \"key\": \"id\", \"columns\": {\"mood\": \"output\"}}; there is no 'key'"),
    ({"output": {"sqlite": {"path": "x.db", "table": "t", "key": "id", "columns": {"ID": "output"}}}}, "a column is named twice in 'output.sqlite' (upper and lower case are one to SQLite) The key is written by itself: leave it out of 'columns'."),
    ({"output": {"sqlite": {"path": "x.db", "table": "t", "key": "id", "columns": {"a": "ouput"}}}}, "'output.sqlite' has nothing called 'ouput' for column 'a' Did you mean 'output'?"),
    ({"output": {"sqlite": {"path": "x.db", "table": "t", "key": "id", "columns": {"a": "zzz"}}}}, "'output.sqlite' has nothing called 'zzz' for column 'a' There is output, finish, model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, status, cause, message, attempts, and output.KEY for a key of answers that are objects."),
    ({"output": {"files": "{{ x"}}, "'output': syntax error on line 1 of the template: unexpected end of input, expected end of variable block"),
    ({"metadata": {"a": 1}}, "'metadata' must be an object of strings; the trouble is 'a'"),
    ({"metadata": {str(n): "" for n in range(11)}}, "'metadata' has 11 pairs, more than 10"),
    ({"metadata": {"batchrun": "x"}}, "metadata key 'batchrun' is reserved Use another name."),
    ({"metadata": {"": "x"}}, "metadata key '' is not 1 to 64 characters long"),
    ({"metadata": {"k" * 65: "x"}}, f"metadata key '{'k' * 65}' is not 1 to 64 characters long"),
    ({"metadata": {"k": "x" * 513}}, "metadata 'k' is longer than 512 characters"),
    ({"note": 1}, "'note' must be a string, not 1"),
    ({"modle": "m"}, "unknown key 'modle' Did you mean 'model'?"),
    ({"zzz": 1}, "unknown key 'zzz' Request parameters go into 'body'."),
    ({"base_url": "http://x"}, "key 'base_url' does not belong in a job file Put it into a [profile.NAME] of batchrun.toml and name that: \"backend\": \"NAME\"."),
    ({"api_key": "x"}, "key 'api_key' does not belong in a job file Put it into a [profile.NAME] of batchrun.toml and name that: \"backend\": \"NAME\"."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "problem"), WRONG, ids=[json.dumps(keys)[:60] for keys, _ in WRONG]
)
def test_a_wrong_value_is_one_problem_that_says_what_would_be_right(
    tmp_path: Path, keys: dict[str, Any], problem: str
) -> None:
    assert problems(tmp_path, **keys) == [problem]


@pytest.mark.parametrize("schema", [{"type": "foo"}, {"properties": 3}, {"pattern": "("}])
def test_a_schema_that_is_none_is_a_problem(tmp_path: Path, schema: dict[str, Any]) -> None:
    (problem,) = problems(tmp_path, schema=schema, strict=False)
    assert problem.startswith("'schema' is not a valid JSON Schema: at $.")


@pytest.mark.parametrize("meta", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_all_that_is_wrong_with_a_schema_is_told_with_its_place(
    tmp_path: Path, meta: dict[str, Any]
) -> None:
    wrong = {"a": {"type": "strng"}, "b": {"items": 5}, "c": {"$ref": "x.json"}}
    schema = {**meta, "type": "object", "properties": wrong}
    told = "\n".join(problems(tmp_path, schema=schema))
    assert 'at $.properties.a.type, "strng" is no type: there is string, number' in told
    assert "at $.properties.b.items, 5 is not " in told
    assert "refers to 'x.json', at $.properties.c" in told
    assert "not for strict output: at $.properties.c: it" not in told
    assert told.count("$.properties.b.items") == 1


@pytest.mark.fault(58)
def test_a_schema_that_points_outside_through_its_id_is_never_fetched(tmp_path: Path) -> None:
    (problem,) = problems(
        tmp_path, schema={"$id": "http://localhost/", "$dynamicRef": "other"}, strict=False
    )
    assert problem.startswith("'schema' refers to 'other'")
    (problem,) = problems(tmp_path, schema={"$schema": "http://localhost/meta"}, strict=False)
    assert problem.startswith("'schema' is not a valid JSON Schema: ")


def test_a_schema_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(STRICT_SCHEMA, indent=1))
    for schema in ("s.json", {"file": "s.json"}):
        assert problems(tmp_path, schema=schema) == []
    (tmp_path / "s.json").write_text('{"type": "object", "type": "string"}')
    assert problems(tmp_path, schema="s.json") == [
        "schema 's.json': duplicate key 'type' Keep one of them."
    ]


def test_a_property_called_ref_is_no_reference(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "file": {"type": "string"}},
    }
    assert problems(tmp_path, schema=schema, strict=False) == []


def test_a_prompt_file_that_is_no_utf8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_bytes(b"ab\xff")
    assert problems(tmp_path, prompt={"file": "p.md"}) == [
        "prompt file 'p.md': invalid UTF-8 at offset 2 Save the file as UTF-8."
    ]


def test_the_background_of_an_image_is_none_of_a_response(tmp_path: Path) -> None:
    body = {"background": "transparent"}
    assert problems(tmp_path, model="m", endpoint="/v1/images/generations", body=body) == []
    assert problems(tmp_path, model="m", body={"background": True}) != []


def test_everything_wrong_with_a_job_line_is_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, modle="m", attempts=0, prompt="{{ x", body={"stream": True}, labels=["x"], tags=1
    )
    assert len(found) == 6


def test_a_long_value_is_shortened_in_the_message(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, missing="x" * 10_000)
    assert len(problem) < 200
    assert problem.endswith("…")


def test_a_job_line_without_a_name_says_what_a_name_is() -> None:
    ((key, fault),) = validate_job_line({"model": "m"})
    assert (key, fault.what) == ("job", "no 'job'")
    assert fault.fix.startswith("It is a name of 1 to 64 letters")


def test_a_null_stands_for_no_value_where_there_is_no_default(tmp_path: Path) -> None:
    assert problems(tmp_path, model=None, prompt=None, output=None, items=None) == []


# --- warnings


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"max_output_tokens": 2000}, []),
        ({}, ["no 'max_output_tokens'"]),
        ({"body": {"max_completion_tokens": 2000}}, []),
        ({"body": {"max_tokens": 10}}, []),
        ({"body": {"max_tokens": "10"}}, ["no 'max_output_tokens'"]),
        ({"model": "gpt-4.1", "max_output_tokens": 10}, []),
        ({"model": "gpt-5-mini", "max_output_tokens": 999}, ["'max_output_tokens' of 999 is small for the reasoning model 'gpt-5-mini'"]),
        ({"model": "o4-mini", "body": {"max_output_tokens": 50}}, ["'max_output_tokens' of 50 is small for the reasoning model 'o4-mini'"]),
        ({"model": "gpt-5-chat-latest", "max_output_tokens": 10}, []),
        ({"model": "gpt-5", "max_output_tokens": 1000}, []),
        ({"model": "o3", "max_output_tokens": 5000, "body": {"temperature": 0}}, ["'temperature' with the reasoning model 'o3'"]),
        ({"max_output_tokens": 10, "body": {"temperature": 0}}, []),
        ({"max_output_tokens": 10, "window": "1h"}, []),
        ({"max_output_tokens": 10, "prompt": "Say hello"}, ["the prompt uses no field of the item: each item gets the same request"]),
        ({"max_output_tokens": 10, "prompt": "{{ x }}"}, []),
        ({"max_output_tokens": 10, "labels": ["a", "b"]}, []),
        ({"max_output_tokens": 10, "schema": STRICT_SCHEMA}, []),
    ],
)  # fmt: skip
def test_what_is_likely_to_disappoint_is_warned_of(
    tmp_path: Path, keys: dict[str, Any], found: list[str]
) -> None:
    assert warnings(tmp_path, **keys) == found


# --- the schema of the job line


def test_the_json_schema_describes_every_key() -> None:
    properties = job_line_schema()["properties"]
    assert set(properties) == set(EXPECTED)
    assert all(one.get("description") for one in properties.values())


def test_the_json_schema_is_valid_and_agrees_with_loading(tmp_path: Path) -> None:
    schema = job_line_schema()
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid({"job": "a", "prompt": {"file": "x"}, "output": {"csv": True}})
    assert not validator.is_valid({"model": "m"})
    assert not validator.is_valid({"job": "a", "modle": "m"})
    for keys, _ in WRONG:
        if not validator.is_valid({"job": "a"} | keys):
            assert problems(tmp_path, **keys)


def test_the_json_schema_comes_as_its_own_copy() -> None:
    job_line_schema()["properties"].clear()
    assert job_line_schema()["properties"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "openai", "sqlite_utils", "rich", "minijinja", "jsonschema_rs")
    code = f"import sys, batchrun.jobfile; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_what_to_do_about_a_schema_that_is_not_strict_is_said_once(tmp_path: Path) -> None:
    wrong = {name: {"type": "object", "properties": {}} for name in "abc"}
    told = problems(
        tmp_path, schema={"type": "object", "properties": wrong, "required": list("abc")}
    )
    assert len(told) == 4
    assert [told.index(one) for one in told if "mere wish" in one] == [3]


CLOSED = {
    "type": "object",
    "properties": {"mood": {"type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({}, "the answers are texts: the job line has no 'schema'"),
        ({"labels": ["a", "b"]}, "an answer with 'labels' is a text"),
        ({"schema": CLOSED}, "the schema has no such property"),
        ({"schema": {"type": "object"}, "strict": False}, None),
        ({"body": {"text": {"format": {"type": "json_object"}}}}, None),
        ({"endpoint": "/v1/moderations", "max_output_tokens": None}, None),
    ],
)
def test_a_column_that_no_answer_can_fill_is_warned_of(
    tmp_path: Path, keys: dict[str, Any], why: str | None
) -> None:
    columns = {"m": "output.foo", "whole": "output"}
    table = {"path": "x.db", "table": "t", "key": "id", "columns": columns}
    line = {
        "model": "m",
        "prompt": "{{ a }}",
        "max_output_tokens": 2000,
        "output": {"sqlite": table},
    }
    told = [what for what in warnings(tmp_path, **(line | keys)) if "output.sqlite" in what]
    expected = f"'output.sqlite' gives column 'm' the key 'output.foo', and {why}"
    assert told == ([expected] if why else [])
