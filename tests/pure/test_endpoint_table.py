"""The committed parameter table is the one that the installed SDK's types give."""

import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from batchrun.endpoints import generate
from batchrun.endpoints.generate import TABLE_PATH, parameter_of, render
from batchrun.endpoints.parameters import Parameter
from batchrun.endpoints.tables import parameters_of
from batchrun.model import Json


def test_the_table_is_what_the_generator_writes() -> None:
    """If this fails after an upgrade: `python -m batchrun.endpoints.generate`, and read the diff."""
    assert TABLE_PATH.read_text(encoding="utf-8") == render()


def test_the_generator_writes_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generate, "TABLE_PATH", tmp_path / "table.json")
    generate.main()
    assert (tmp_path / "table.json").read_text(encoding="utf-8") == render()


def test_the_table_is_part_of_what_is_installed() -> None:
    root = TABLE_PATH.parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["batchrun"]
    assert any(TABLE_PATH.relative_to(root / "batchrun").match(pattern) for pattern in patterns)


def test_no_table_is_read_before_a_body_is_checked() -> None:
    code = (
        "import batchrun.cli, batchrun.requests\n"
        "from batchrun.endpoints import endpoint_of, tables\n"
        "assert tables._endpoints.cache_info().currsize == 0\n"
        "endpoint_of('/v1/responses').check_body({})\n"
        "assert tables._endpoints.cache_info().currsize == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_upload_of_the_sdk_is_a_reference_in_json() -> None:
    reference = Parameter(
        ("object",),
        fields={"file_id": Parameter(("string",)), "image_url": Parameter(("string",))},
    )
    assert parameters_of("/v1/images/edits")["mask"] == reference
    assert parameters_of("/v1/videos")["input_reference"] == reference
    assert "image" not in parameters_of("/v1/images/edits")


def test_nothing_but_the_generator_needs_the_sdk() -> None:
    code = (
        "import sys, batchrun.endpoints.reading, batchrun.planning.causes\n"
        "heavy = {'openai', 'pydantic', 'jsonschema_rs', 'sqlite_utils', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Inner(typing.TypedDict, total=False):
    depth: "Inner"
    size: typing.Literal["s", "m"]


@pytest.mark.parametrize(
    ("annotation", "parameter"),
    [
        (str, Parameter(("string",))),
        (float | None, Parameter(("number", "null"))),
        (bool, Parameter(("boolean",))),
        (list[int], Parameter(("array",))),
        (str | Iterable[str], Parameter(("string", "array"))),
        (typing.Literal["a", "b"] | None, Parameter(("string", "null"), ("a", "b"))),
        (str | typing.Literal["a"], Parameter(("string",))),  # noqa: PYI051 (the SDK writes so)
        (typing.Literal[False], Parameter(("boolean",))),
        (dict[str, str], Parameter(("object",))),
        (Mapping[str, object] | Inner, Parameter(("object",))),
        (
            object,
            Parameter(("string", "integer", "number", "boolean", "array", "object", "null")),
        ),
    ],
)
def test_an_annotation_becomes_json_kinds(annotation: Json, parameter: Parameter) -> None:
    assert parameter_of(annotation) == parameter


def test_a_record_becomes_fields_down_to_a_limit() -> None:
    size = Parameter(("string",), ("s", "m"))
    bottom = Parameter(("object",))
    middle = Parameter(("object",), fields={"depth": bottom, "size": size})
    assert parameter_of(Inner) == Parameter(("object",), fields={"depth": middle, "size": size})
