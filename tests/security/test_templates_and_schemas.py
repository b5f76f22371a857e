"""Job files come from anywhere: their templates see the item and nothing else, their schemas fetch nothing, and both end."""

import json
from pathlib import Path
from typing import Any

import pytest
from clikit import Desk
from misbehaving import serving
from processkit import in_process
from runnerkit import World, items

SECRET = "the-secret-of-this-machine"
REACHING = (
    *("{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ text.__init__.__globals__ }}"),
    *("{{ text|attr('__class__') }}", "{{ item.__class__ }}", "{{ self.__init__ }}", "{{ lipsum.__globals__.os.popen('id') }}"),
    *("{{ cycler.__init__.__globals__ }}", "{{ config }}", "{{ request }}", "{{ environ }}", "{{ os.environ }}", "{{ debug() }}"),
    *("{% include 'secret.txt' %}", "{% include '/etc/passwd' %}", "{% import 'secret.txt' as x %}{{ x }}", "{% extends 'secret.txt' %}"),
    *("{% from 'secret.txt' import x %}", "{% include '../secret.txt' ignore missing %}", "{{ open('secret.txt').read() }}"),
    *("{{ '{0.__class__}'.format(text) }}", "{{ '%(x)s'|format(x=text.__class__) }}", "{{ text.format(x=1) }}", "{{ env('HOME') }}"),
)  # fmt: skip
ENDLESS = (
    "{% for a in range(99999999) %}x{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for i in range(9999) recursive %}{{ loop(range(9999)) }}{% endfor %}",
    "{{ 'x' * 999999999 }}",
    "{{ ('x' * 9999) * 99999 }}",
    "{{ range(99999999)|join(',') }}",
)
GREEDY = (
    "{% set ns = namespace(x='xxxxxxxxxx') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ '%99999999999d' | format(1) }}",
)


@pytest.mark.parametrize("template", REACHING)
@pytest.mark.parametrize("key", ["prompt", "instructions", "id", "files"])
@pytest.mark.fault(58)
def test_a_template_reaches_neither_python_nor_files_nor_the_environment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, template: str, key: str
) -> None:
    """Whatever comes of it, an error or a text, there is nothing in it that is not the item's."""
    monkeypatch.setenv("HOME", f"/{SECRET}")
    (desk.folder / "secret.txt").write_text(SECRET)
    settings: dict[str, Any] = (
        {"output": {"files": template}} if key == "files" else {key: template}
    )
    called = desk.call("check", desk.job("faq", "one", **settings))
    assert called.code in {0, 5}
    told = called.out + called.err
    for inside in (SECRET, "<class", "built-in", "root:x", "0x7f", "<function"):
        assert inside not in told.replace(template, "")
    if called.code == 0:
        called = desk.call("submit", "faq.jsonl", "--dry-run")
        assert called.code == 0


@pytest.mark.parametrize("template", REACHING)
@pytest.mark.fault(58)
def test_what_is_sent_holds_nothing_but_the_item(world: World, template: str) -> None:
    (world.folder / "secret.txt").write_text(SECRET)
    world.write(items(1), prompt="start " + template)
    world.submit(send=False)
    for path in world.home.requests.iterdir():
        sent = path.read_text()
        for inside in (SECRET, "<class", "built-in", "root:x", "<function"):
            assert inside not in sent


@pytest.mark.parametrize("template", ENDLESS)
@pytest.mark.fault(39, 58)
def test_a_template_without_end_is_an_error_of_its_line(world: World, template: str) -> None:
    world.write(items(1), prompt=template)
    error = world.submit().error
    assert error is not None
    assert "reviews.jsonl" in str(error)
    assert len(str(error)) < 5_000
    assert world.remotes() == []


@pytest.mark.parametrize("template", GREEDY)
@pytest.mark.fault(39, 58)
def test_a_template_that_takes_all_memory_ends_its_process_and_nothing_else(
    world: World, template: str
) -> None:
    """Steps and length of a text are counted, memory is not: the job file's own author is the one who is harmed."""
    world.write(items(1), prompt=template)
    done = in_process(
        world,
        "assert world.submit().error is None",
        before="resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))",
    )
    assert done.returncode != 0
    assert world.remotes() == []
    world.write(items(1))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 1}


@pytest.mark.fault(58)
def test_data_is_never_a_template(world: World) -> None:
    nasty = "{{ ''.__class__ }}{% for i in range(9) %}x{% endfor %}{0.__class__}%(x)s"
    world.write([{"id": "a", "text": nasty}])
    world.submit()
    world.run()
    assert world.answers() == {"a": f"Review: {nasty}"}


FETCHING = (
    "{server}/schema.json",
    "http://127.0.0.1:9/schema.json",
    "https://nowhere.invalid/schema.json",
    "file:///etc/passwd",
    "file://{folder}/secret.json",
    "secret.json",
    "../secret.json",
    "/etc/passwd",
    "urn:x",
    "jar:file:///x",
    "//nowhere.invalid/x",
)


@pytest.mark.parametrize("reference", FETCHING)
@pytest.mark.parametrize("key", ["$ref", "$dynamicRef", "$schema", "$id"])
@pytest.mark.parametrize("is_used", [False, True], ids=["in $defs", "in use"])
@pytest.mark.fault(58)
def test_a_schema_fetches_and_reads_nothing(
    world: World, tmp_path: Path, reference: str, key: str, is_used: bool
) -> None:
    (world.folder / "secret.json").write_text(json.dumps({"const": SECRET}))
    with serving() as server:
        where = reference.format(server=server.base_url, folder=world.folder)
        inner = {key: where, "type": "object"}
        schema = (
            {"type": "object", "properties": {"a": inner}}
            if is_used
            else {"type": "object", "$defs": {"a": inner}, "properties": {"a": {"type": "string"}}}
        )
        world.write(items(1), schema=schema, strict=False)
        prepared = world.submit(send=False)
        assert server.seen == []
    if prepared.error is not None:
        assert SECRET not in str(prepared.error)
        assert "reviews.jsonl:1" in str(prepared.error)
    else:
        assert key != "$ref" or not is_used


def doubling(depth: int) -> dict[str, Any]:
    """A schema whose reading in full would take 2 to the power of `depth` steps."""
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, depth):
        inner = {"$ref": f"#/$defs/d{n - 1}"}
        definitions[f"d{n}"] = {"anyOf": [inner, {"allOf": [inner, inner]}]}
    return {"$ref": f"#/$defs/d{depth - 1}", "$defs": definitions}


def deep(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


BOMBS: dict[str, dict[str, Any]] = {
    "itself": {"$ref": "#"},
    "in a ring": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "its own items": {"type": "array", "items": {"$ref": "#"}},
    "not itself": {"not": {"$ref": "#"}},
    "deep": deep(400),
    "a doubling": doubling(12),
    "a slow pattern": {"type": "string", "pattern": "^(a+)+$"},
    "a huge repetition": {"type": "string", "pattern": "^(a{1000}){1000}$"},
    "many items": {"type": "array", "maxItems": 10**30, "uniqueItems": True},
}


@pytest.mark.parametrize("schema", BOMBS.values(), ids=BOMBS)
@pytest.mark.fault(47, 58)
def test_a_schema_bomb_ends_as_an_error_or_a_verdict(world: World, schema: dict[str, Any]) -> None:
    world.write([{"id": "a", "text": "a" * 40 + "!"}], schema=schema, prompt="{{ text }}")
    prepared = world.submit()
    if prepared.error is None:
        world.run()
        assert set(world.states().values()) <= {"succeeded", "failed"}
    else:
        assert "reviews.jsonl" in str(prepared.error)
        assert len(str(prepared.error)) < 5_000
