"""The rules of strict structured output, each broken once and told with its path."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchrun.jobfile.file import load
from batchrun.jobfile.strictschema import breaches
from batchrun.model import JsonObject


def obj(**properties: Any) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels: int) -> JsonObject:
    schema = obj(end={"type": "string"})
    for _ in range(levels - 1):
        schema = obj(inner=schema)
    return schema


T = {"type": "string"}
SOUND = obj(
    name={"type": ["string", "null"]},
    tags={
        "type": "array",
        "items": obj(word={"type": "string", "enum": ["a", "b"]}),
        "maxItems": 3,
    },
    either={"anyOf": [{"type": "integer", "minimum": 1}, {"$ref": "#/$defs/part"}]},
) | {"$defs": {"part": obj(size={"type": "number"})}}


@pytest.mark.parametrize(
    "schema", [SOUND, nested(10), obj(a={"enum": [str(n) for n in range(1000)]})]
)
def test_what_strict_output_takes_breaks_nothing(schema: JsonObject) -> None:
    assert list(breaches(schema)) == []


@pytest.mark.parametrize(
    ("schema", "path", "word"),
    [
        ({"type": "array", "items": obj(a=T)}, "$", "type 'object'"),
        ({"anyOf": [obj(a=T)]}, "$", "'anyOf' may not stand at the root"),
        (obj(a={"type": "array", "items": {"type": "object"}}), "$.properties.a.items", "additionalProperties"),
        (obj(a={**obj(b=T), "required": []}), "$.properties.a.properties.b", "not in 'required'"),
        (obj(a={"type": ["object", "null"], "properties": {}}), "$.properties.a", "additionalProperties"),
        (obj(a={"type": "array"}), "$.properties.a", "an array without 'items'"),
        (obj(a={"type": ["array", "null"]}), "$.properties.a", "an array without 'items'"),
        (obj(a={}), "$.properties.a", "it has no 'type'"),
        (obj(a={"description": "anything"}), "$.properties.a", "it has no 'type'"),
        (obj(a=True), "$.properties.a", "true says nothing of its 'type'"),
        (obj(a={"type": "array", "items": True}), "$.properties.a.items", "true says nothing"),
        (obj(a={"type": "array", "items": {}}), "$.properties.a.items", "it has no 'type'"),
        (obj(a={"anyOf": [T, {}]}), "$.properties.a.anyOf[1]", "it has no 'type'"),
        (obj(a={"allOf": [{"type": "string"}]}), "$.properties.a", "'allOf' is not supported"),
        (obj(a={"anyOf": [T, {"not": {}}]}), "$.properties.a.anyOf[1]", "'not' is not supported"),
        ({**obj(a={"$ref": "#/$defs/x"}), "$defs": {"x": {"oneOf": [{}]}}}, "$.$defs.x", "'oneOf'"),
        (nested(11), "$" + ".properties.inner" * 10, "nested more than 10 deep"),
        (obj(**{f"p{n}": T for n in range(5001)}), "$", "5,001 properties"),
        (obj(a={"enum": [str(n) for n in range(600)]}, b={"enum": list(range(401))}), "$", "1,001 enum values"),
        (obj(a={"enum": [f"{n:060}" for n in range(251)]}), "$.properties.a", "15,060 characters"),
        (obj(a={"const": "x" * 120_000}), "$", "120,001 characters"),
    ],
)  # fmt: skip
def test_each_rule_is_told_with_its_path(schema: JsonObject, path: str, word: str) -> None:
    (breach,) = breaches(schema)
    assert breach.path == path
    assert word in breach.what


def line(tmp_path: Path, **keys: Any) -> list[str]:
    path = tmp_path / "job.jsonl"
    row = {"job": "j", "model": "m", "prompt": "{{ text }}", "max_output_tokens": 9, **keys}
    path.write_text(json.dumps(row) + '\n{"id": "a", "text": "b"}\n')
    return [str(problem) for job in load(path).jobs for problem in job.problems]


LOOSE = {"type": "object", "properties": {"a": T}}


def test_a_schema_that_the_service_would_refuse_is_refused_here(tmp_path: Path) -> None:
    missing, optional = line(tmp_path, schema=LOOSE)
    assert 'at $, "additionalProperties": false is missing' in missing
    assert "at $.properties.a, it is not in 'required'" in optional
    assert '"strict": false' in optional


def test_a_wish_may_be_any_schema(tmp_path: Path) -> None:
    assert line(tmp_path, schema=LOOSE, strict=False) == []


def test_too_many_labels_are_told_as_labels(tmp_path: Path) -> None:
    (told,) = line(tmp_path, labels=[str(n) for n in range(1001)])
    assert "'labels' is not for strict output: at $, 1,001 enum values" in told
