"""`check` tells all that is wrong with a job in one go: its keys, its parameters, its files, its first items, and what may disappoint."""

import contextlib
import sqlite3
from typing import Any

import pytest
from clikit import Desk

JOB = {"job": "faq", "model": "gpt-5-mini", "prompt": "{{ text }}"}
ITEM = {"id": "q1", "text": "one"}


@pytest.mark.parametrize(
    ("keys", "items", "wanted"),
    [
        (
            {"body": {"stream": True, "max_tokens": 5, "n": 2, "temperature": "hot"}},
            [{**ITEM, "body": {"top_pee": 1}}, {"id": "q2"}],
            [
                "'stream' in 'body'",
                "unknown parameter 'max_tokens'",
                "unknown parameter 'n'",
                "'temperature' must be",
                "faq.jsonl:2: unknown parameter 'top_pee'",
                "faq.jsonl:3: the item has no field 'text'",
            ],
        ),
        (
            {"promt": "x", "attempts": 0, "body": {"temperature": 0}, "rounds": 2},
            [{"id": "q2"}],
            [
                "unknown key 'promt'",
                "'attempts' must be",
                "no file of functions was named",
                "no field 'text'",
                "'temperature' with the reasoning model",
                "no 'max_output_tokens'",
            ],
        ),
        (
            {
                "items": {"sqlite": "gone.db", "query": "select 1"},
                "output": {"sqlite": {"path": "no/where.db", "table": "t", "key": "k"}},
                "body": {"tempratur": 1},
                "bad_items": -1,
            },
            [],
            [
                "gone.db: ",
                "'output.sqlite': ",
                "unknown parameter 'tempratur'",
                "'bad_items' must be",
            ],
        ),
        (
            {"schema": {"$ref": "x.json"}, "repair": {"attempts": 1}, "body": {"n": 1}},
            [ITEM],
            ["refers to 'x.json'", "unknown parameter 'n'", "the root must be of type"],
        ),
        (
            {"body": {"input": "x", "nn": 1}},
            [{"id": "q2"}],
            ["both 'prompt' and 'body.input'", "unknown parameter 'nn'", "no field 'text'"],
        ),
    ],
    ids=["parameters", "keys", "databases", "schema", "asked twice"],
)
def test_all_that_is_wrong_is_told_at_once(
    desk: Desk, keys: dict[str, Any], items: list[Any], wanted: list[str]
) -> None:
    source = "items" in keys
    called = desk.call(
        "check", desk.write("faq.jsonl", {**JOB, **keys}, *([] if source else items))
    )
    assert called.code == 5
    for words in wanted:
        assert words in called.err, words
    lines = called.err.splitlines()
    assert len(set(lines)) == len(lines), "each is told once"
    assert "nothing to check answers by" not in called.err


@pytest.mark.parametrize(
    "keys", [{"prompt": "{{ text"}, {"endpoint": "/v1/respons"}, {"id": 7}, {"prompt": 5}]
)
def test_what_follows_from_another_fault_is_not_told(desk: Desk, keys: dict[str, Any]) -> None:
    called = desk.call("check", desk.write("faq.jsonl", {**JOB, **keys}, {"id": "q1"}))
    assert len([x for x in called.err.splitlines() if "(warning)" not in x]) == 1


def test_every_column_that_a_table_lacks_is_told(desk: Desk) -> None:
    with contextlib.closing(sqlite3.connect(desk.folder / "d.db")) as connection:
        connection.execute("create table t (k)")
    columns = {"mood": "output", "why": "cause"}
    target = {"path": "d.db", "table": "t", "key": "k", "columns": columns}
    called = desk.call(
        "check", desk.write("faq.jsonl", {**JOB, "output": {"sqlite": target}}, ITEM)
    )
    for column in columns:
        assert f"has no column {column!r}. Add it: alter table" in called.err
