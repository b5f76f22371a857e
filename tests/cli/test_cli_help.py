"""Help, and what it costs: names and one-line helps are known without importing any command."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from clikit import ROOT, Desk

from batchrun import __version__
from batchrun.cli.main import COMMANDS

HEAVY = {
    "openai",
    "sqlite_utils",
    "rich",
    "pydantic",
    "filelock",
    "msgspec",
    "minijinja",
    "jsonschema_rs",
    "xxhash",
    "tenacity",
    "xllamacpp",
    "starlette",
    "asyncio",
    "logging",
}


def command_of(name: str) -> click.Command:
    command: click.Command = import_module(f"batchrun.cli.{name}").command
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_each_command_what_the_command_says(name: str) -> None:
    command = command_of(name)
    assert command.get_short_help_str(200) == COMMANDS[name]
    assert command.help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    options = [p for p in command_of(name).params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page(desk: Desk, name: str) -> None:
    called = desk.call(name, "--help")
    assert called.code == 0
    assert called.out.startswith(f"Usage: batchrun {name}")
    assert called.err == ""


@pytest.mark.parametrize("words", [("--help",), ("-h",)])
def test_the_help_lists_all_commands(desk: Desk, words: tuple[str, ...]) -> None:
    called = desk.call(*words)
    assert called.code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in called.out] == []


def test_without_a_command_the_help_is_shown_as_a_usage_error(desk: Desk) -> None:
    called = desk.call()
    assert (called.code, called.out) == (2, "")
    assert "Commands:" in called.err


def test_the_version_is_printed(desk: Desk) -> None:
    assert desk.call("--version").out == f"batchrun, version {__version__}\n"


def imported_by(words: list[str], cwd: Path) -> set[str]:
    """The modules that a call of the program has imported when it ends."""
    code = (
        "import sys; from batchrun.cli.main import run; code = run(sys.argv[1:]); "
        "print('\\n' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_no_command_and_nothing_heavy(desk: Desk) -> None:
    loaded = imported_by(["--help"], desk.folder)
    assert loaded & (HEAVY | {"json", "sqlite3", "dataclasses"}) == set()
    assert not any(name.startswith("batchrun.ledger") for name in loaded)


def test_status_imports_nothing_heavy(desk: Desk, service: object) -> None:
    assert desk.call("run", desk.job()).code == 0
    loaded = imported_by(["status"], desk.folder)
    assert loaded & HEAVY == set()
    assert loaded & {"batchrun.api", "batchrun.config", "batchrun.outputs.rows"} == set()
    assert loaded & {"json", "logging", "dataclasses", "batchrun.model"} == set()


def test_cycles_are_collected_while_a_command_works_but_not_among_its_imports(
    desk: Desk, service: object
) -> None:
    assert desk.call("run", desk.job()).code == 0
    code = (
        "import atexit, gc, sys; from batchrun.cli import main; "
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status"],
        cwd=desk.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "True True"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("sta", "status\n"), ("", "schema\n"), ("run --bac", "--backend\n")],
)
def test_shells_complete_commands_and_options(desk: Desk, typed: str, offered: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "batchrun"],
        cwd=desk.folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_BATCHRUN_COMPLETE": "zsh_complete",
            "COMP_WORDS": f"batchrun {typed}",
            "COMP_CWORD": str(len(typed.split()) or 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert offered in done.stdout
