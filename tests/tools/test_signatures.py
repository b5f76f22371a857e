"""Typed functions become tools: what a model is shown, what it may send, and which functions cannot be offered."""

import datetime as dt
import sys
from types import ModuleType
from typing import Any

import pytest

from batchrun.jobfile.strictschema import breaches
from batchrun.tools.signatures import Function, WrongArguments, functions_of

HEAD = """
import dataclasses, datetime, enum, functools, typing
from typing import Any, Literal
from typing_extensions import TypedDict
from pydantic import BaseModel, Field
"""


def read(text: str) -> tuple[list[Function], list[str]]:
    module = ModuleType("functions_under_test")
    sys.modules[module.__name__] = module
    exec(compile(HEAD + text, "tools.py", "exec"), vars(module))
    functions, problems = functions_of(module)
    return functions, [f"{problem.line}: {problem.what}" for problem in problems]


def only(text: str) -> Function:
    (found,), problems = read(text)
    assert problems == []
    return found


def shown(annotation: str, default: str = "") -> Any:
    function = only(f"def f(x: {annotation}{default}) -> None: ...")
    assert list(breaches(function.tool["parameters"])) == []
    return function.tool["parameters"]["properties"]["x"]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float | None", {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        ("list[bool]", {"type": "array", "items": {"type": "boolean"}}),
        ("set[int]", {"type": "array", "items": {"type": "integer"}}),
        ("Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}),
        ("datetime.date", {"type": "string", "format": "date"}),
        ("typing.Annotated[int, Field(ge=1, description='From 1.')]", {"type": "integer", "minimum": 1, "description": "From 1."}),
    ],
)  # fmt: skip
def test_types_become_strict_schemas(annotation: str, schema: Any) -> None:
    assert shown(annotation) == schema


def test_a_default_is_asked_for_by_null() -> None:
    assert shown("int", " = 5") == {
        "anyOf": [{"type": "integer"}, {"type": "null"}],
        "description": "null: 5",
    }
    function = only("def f(x: int = 5, y: str | None = None) -> object: return [x, y]")
    assert function.call('{"x": null, "y": null}') == [5, None]
    assert function.call('{"x": 6, "y": "z"}') == [6, "z"]
    assert function.call("") == [5, None]


def test_nested_models_are_strict_all_the_way_down() -> None:
    function = only(
        "class Place(BaseModel):\n    title: str\n    floor: int | None = None\n"
        "class Colour(enum.Enum):\n    RED = 'red'\n"
        "@dataclasses.dataclass\nclass Size:\n    wide: float\n"
        "class Kind(TypedDict):\n    name: str\n"
        "def f(a: Place, b: list[Size], c: Colour, d: Kind, schema: str) -> object:\n"
        "    return [a.title, a.floor, b[0].wide, c, d['name'], schema]"
    )
    parameters = function.tool["parameters"]
    assert list(breaches(parameters)) == []
    assert parameters["$defs"]["Place"]["required"] == ["title", "floor"]
    assert parameters["$defs"]["Place"]["properties"]["title"] == {"type": "string"}
    given = '{"a": {"title": "t", "floor": null}, "b": [{"wide": 1}], "c": "red", "d": {"name": "n"}, "schema": "s"}'
    title, floor, wide, colour, name, schema = function.call(given)
    assert (title, floor, wide, colour.name, name, schema) == ("t", None, 1.0, "RED", "n", "s")


def test_what_the_model_is_told_of_a_function() -> None:
    functions, _ = read(
        "from datetime import timedelta\n"
        "async def later(day: datetime.date) -> datetime.date:\n"
        "    '''The day\n    after.\n\n    Not told.\n    '''\n"
        "    return day + timedelta(days=1)\n"
        "def _loud(f):\n"
        "    @functools.wraps(f)\n"
        "    def inner(*a: Any, **k: Any) -> Any: return f(*a, **k) + '!'\n"
        "    return inner\n"
        "@_loud\n"
        "def say(word: str) -> str: return word\n"
    )
    assert [f.tool["name"] for f in functions] == ["later", "say"]
    assert functions[0].tool["description"] == "The day after."
    assert "description" not in functions[1].tool
    assert functions[0].call('{"day": "2026-01-31"}') == dt.date(2026, 2, 1)
    assert functions[1].call('{"word": "a"}') == "a!"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(x) -> int: return 1", "6: f(): parameter 'x' has no type"),
        ("def f(*x: int) -> int: return 1", "6: f(): parameter 'x' takes any number of arguments"),
        ("def f(**x: int) -> int: return 1", "6: f(): parameter 'x' takes any names"),
        ("def f(x: int, /) -> int: return 1", "6: f(): parameter 'x' is positional only"),
        ("def f(x: 'Gone') -> int: return 1", "6: f(): a type cannot be resolved: name 'Gone'"),
        ("def f(x: Any) -> int: return 1", "6: f(): $.x: its type says nothing"),
        ("def f(x: list) -> int: return 1", "6: f(): $.x[]: its type says nothing"),
        ("def f(x: tuple[int, str]) -> int: return 1", "6: f(): $.x: a list of what?"),
        ("def f(x: dict[str, int]) -> int: return 1", "6: f(): $.x: a dictionary of any keys"),
        ("def f(x: dict) -> int: return 1", "Name its keys: a TypedDict, a dataclass or"),
        ("def f(x: list[dict[str, int]]) -> int: return 1", "$.x[]: a dictionary of any keys"),
        ("class C: ...\ndef f(x: C) -> int: return 1", "7: f(): a type that no JSON gives"),
        ("class C(BaseModel):\n    n: int = 3\ndef f(x: C) -> int: return 1", "'required'"),
        ("import typing\n\nx = typing.Any", "1: no function"),
        ("def prüfe() -> int: return 1", "6: prüfe(): the API takes names of"),
    ],
)  # fmt: skip
def test_functions_that_cannot_be_offered_are_told_with_their_line(text: str, told: str) -> None:
    functions, problems = read(text)
    assert functions == []
    assert len(problems) == 1
    assert told in problems[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"n": "many", "y": 1}', "wrong arguments: n: Input should be a valid integer"),
        ('{"n": 1, "m": 2}', "wrong arguments: m: Extra inputs are not permitted"),
        ("[1]", "wrong arguments: Input should be an object"),
        ("{", "wrong arguments: Invalid JSON: EOF"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(given: str, told: str) -> None:
    function = only("def f(n: int) -> int: return n")
    with pytest.raises(WrongArguments, match=told):
        function.call(given)
