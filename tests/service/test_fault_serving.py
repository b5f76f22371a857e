"""Fault scripts at the command line and in their documentation."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import pytest
from faultkit import KEY

from batchrun.cli.main import run
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.kinds import COURSE, EXECUTION, LINES, SERVICE, WIRE, Kind
from batchrun.service.faults.script import read_faults
from batchrun.service.faults.words import ANY_CALL, Place, What

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "rehearsal.md").read_text("utf-8")


def sections() -> dict[str, str]:
    """The text under each heading of the page."""
    found = re.split(r"^#+ (.*)\n", PAGE, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def described(tables: list[dict[What, Kind]]) -> list[str]:
    return sorted(what for table in tables for what in table)


def test_the_page_has_every_kind_in_its_table() -> None:
    wire, service, lines = (
        rows(sections()[name]) for name in ("On the wire", "In the service", "In result files")
    )
    assert sorted(code(row[0])[0] for row in wire) == described([WIRE])
    assert sorted(code(row[0])[0] for row in service) == described([SERVICE, COURSE, EXECUTION])
    assert sorted(code(row[0])[0] for row in lines) == described([LINES])


def test_the_page_tells_moments_and_keys_as_the_tables_have_them() -> None:
    for cells in rows(sections()["On the wire"]):
        kind = WIRE[What(code(cells[0])[0])]
        assert cells[1].split(", ") == [str(moment) for moment in kind.moments], cells[0]
        assert set(code(cells[2])) == {*kind.needs, *kind.takes}, cells[0]
    for cells in rows(sections()["In result files"]):
        kind = LINES[What(code(cells[0])[0])]
        assert set(code(cells[1])) == {*kind.needs, *kind.takes}, cells[0]


def test_the_page_tells_where_the_kinds_of_the_service_exist() -> None:
    places: dict[str, set[str]] = {}
    for cells in rows(sections()["In the service"]):
        what = code(cells[0])[0]
        named = {*code(cells[1])}
        if cells[1].startswith("the same"):
            named |= places["lag"]
        places[what] = named
        tables = [EXECUTION] if named == {"execution"} else [SERVICE, COURSE]
        (kind,) = (table[What(what)] for table in tables if what in table)
        assert named == {place.value for place in kind.places}, what
        assert set(code(cells[2])) >= {*kind.needs, *kind.takes}, what


def test_the_page_names_every_place_and_every_key() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    words = set(code(prose)) | set(re.findall(r"^(\w+) =", PAGE, flags=re.MULTILINE))
    assert {place.value for place in Place} | {ANY_CALL} <= words
    assert set(Fault.__struct_fields__) <= words


def test_the_script_on_the_page_can_be_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "night.toml"
    path.write_text(example)
    assert len(read_faults(path).named) == example.count("[[fault]]") == 5


def test_a_bad_script_ends_the_command_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHRUN_SERVE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    Path("night.toml").write_text('[[fault]]\nat = "POST /batches"\nwhat = "dorp"\n')
    Path("rules.json").write_text('{"rules": []}')
    assert run(["serve", "--script", "rules.json", "--faults", "night.toml"]) == 2
    assert "night.toml:3: fault 1: 'what'" in capsys.readouterr().err
    assert not Path(".batchrun-serve").exists()


def ask(url: str, body: object = None) -> tuple[int, object]:
    sent = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, sent, headers), timeout=30
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_server_that_is_started_again_goes_on_with_its_faults_and_its_rules(
    tmp_path: Path,
) -> None:
    (tmp_path / "rules.json").write_text('{"rules": [{"times": 1, "status": 418}]}')
    (tmp_path / "night.json").write_text(
        '{"fault": [{"at": "GET /batches", "what": "status", "status": 503, "calls": [1, 3]}]}'
    )
    seen = []
    for _ in range(2):
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "batchrun", "serve", "--port", "0", "--data", "data"),
                *("--script", "rules.json", "--faults", "night.json"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BATCHRUN_SERVE_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            base_url = process.stdout.readline().strip()
            body = {"model": "m", "input": "hello"}
            seen += [ask(f"{base_url}/batches")[0] for _ in range(2)]
            seen.append(ask(f"{base_url}/responses", body)[0])
            _, truth = ask(base_url.removesuffix("/v1") + "/truth")
            process.kill()
            told = process.stderr.read().splitlines()
    assert told[1:] == [
        "Fault 1, GET /batches, status (before): answers with this HTTP status and an error object as the API words it."
    ]
    assert seen == [503, 200, 418, 503, 200, 200]
    assert truth == {
        "batches": [],
        "charges": {},
        "faults": [{"at": "GET /batches", "what": "status", "fired": 2}],
    }
