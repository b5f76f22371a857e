"""Ids that attack file systems and people, through the whole program: from a job file to a file for each answer."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from runnerkit import World

HOSTILE = (
    *("../../etc/passwd", "/etc/passwd", "..", ".", "../", "a/../../b", "~", "~root/.ssh/id_rsa", "C:\\x"),
    *("CON", "con.md", "NUL", "nul.txt", "COM1", "LPT9.jsonl", "aux", "PRN ", "trailing.", "trailing ", " lead", ".hidden"),
    *("results.jsonl", "manifest.json", "files", "files.jsonl", "-rf", "--help", "$(id)", "`id`", "a;b", "a|b", "%2e%2e%2f", "%00"),
    *("Café", "cafe\u0301", "CAFÉ", "caf\u00e9 ", "case", "CASE", "Case", "ﬁ", "fi", "ß", "ss", "SS", "\u212a", "K", "k"),
    *("x" * 300, "x" * 301, "é" * 150, "あ" * 100, "\u202egpj.exe", "a\u2028b", "a\u00a0b", "=1+1", "@x", "+1", "{{ id }}", "{{ 7*7 }}"),
)  # fmt: skip
REFUSED = ("a\0b", "\0", "a\nb", "\x1b[2J", "", "x" * 513)
FILES: dict[str, Any] = {"output": {"files": "{{ id }}.md", "csv": True}}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.fault(51)
def test_every_id_gets_its_own_file_inside_the_folder(world: World) -> None:
    outside = contents(world.folder.parent)
    world.write([{"id": id_, "text": f"for {n}"} for n, id_ in enumerate(HOSTILE)], **FILES)
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": len(HOSTILE)}
    folder = world.home.outputs / "reviews"
    index = [json.loads(line) for line in (folder / "files.jsonl").read_bytes().splitlines()]
    assert [line["id"] for line in index] == list(HOSTILE)
    for n, line in enumerate(index):
        path = folder / line["file"]
        assert path.resolve().parent == (folder / "files").resolve()
        assert path.read_text() == f"Review: for {n}"
        assert path.name.isascii()
        assert len(os.fsencode(path.name)) <= 255
    names = [line["file"] for line in index]
    assert len({name.lower() for name in names}) == len(HOSTILE), "a Mac would make one of two"
    new = {
        name
        for name, data in contents(world.folder.parent).items()
        if outside.get(name) != data and ".batchrun/" not in name and "/far" not in name
    }
    assert {name.split("/")[1] for name in new} <= {"outputs", "reviews.jsonl", "wire.json"}


@pytest.mark.parametrize("command", ["explain", "retry", "forget"])
def test_every_id_is_found_again_by_the_commands_that_take_one(world: World, command: str) -> None:
    world.write([{"id": id_, "text": "t"} for id_ in HOSTILE], **FILES)
    world.submit()
    world.run()
    api = world.api()
    for id_ in HOSTILE[:12]:
        match command:
            case "explain":
                assert api.explain("reviews", id_).id == id_
            case "retry":
                assert api.retry("reviews", [id_], redo=True) == 1
            case _:
                assert api.forget("reviews", [id_]).item_count == 1
    left = contents(world.home.outputs / "reviews" / "files")
    if command == "forget":
        world.run()
        left = contents(world.home.outputs / "reviews" / "files")
    assert len(left) == len(HOSTILE) - (12 if command == "forget" else 0)


@pytest.mark.parametrize("id_", REFUSED, ids=lambda value: repr(value)[:12])
@pytest.mark.fault(42, 51)
def test_ids_that_no_file_or_terminal_can_hold_are_refused_with_their_line(
    world: World, id_: str
) -> None:
    world.write([{"id": "fine", "text": "t"}, {"id": id_, "text": "t"}], **FILES)
    error = world.submit().error
    assert error is not None
    assert "reviews.jsonl:3: " in str(error)
    assert world.remotes() == []


@pytest.mark.fault(51)
def test_a_job_is_named_by_what_is_a_folder_name(world: World) -> None:
    for name in ("../up", "/etc", "..", ".", "a/b", "a\0", "x" * 300, "a b", "é", "a\n", ""):
        world.write([{"id": "a", "text": "t"}], job=name)
        prepared = world.submit()
        assert prepared.error is not None, name
    assert world.remotes() == []
    assert not (world.folder / "up").exists()
