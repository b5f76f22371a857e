"""The reference pages, held to the program: every command, option, JSON key, job-line key and exit code, and no more than those."""

import re
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Final

import click
import pytest

from batchrun import errors
from batchrun.cli.main import COMMANDS
from batchrun.cli.options import _SHARED, _SUBMITTING
from batchrun.errors import BatchrunError
from batchrun.jobfile import job_line_schema
from batchrun.looking import _EXIT_ORDER

DOCS: Final = Path(__file__).parents[1] / "docs"
COMMAND_LINE: Final = (DOCS / "command-line.md").read_text("utf-8")
JOB_FILE: Final = (DOCS / "job-file.md").read_text("utf-8")
EXIT_CODES: Final = (DOCS / "exit-codes.md").read_text("utf-8")


def section(name: str) -> str:
    """The text under a heading of the command-line page, up to the next one."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", COMMAND_LINE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {name!r}"
    return found[1]


def options_of(name: str) -> dict[str, click.Option]:
    """The options of a command, by each of their spellings."""
    command: click.Command = import_module(f"batchrun.cli.{name}").command
    options = [p for p in command.params if isinstance(p, click.Option)]
    return {word: option for option in options for word in option.opts}


def named_in(text: str) -> set[str]:
    """Options that stand in code in a text."""
    spans = re.findall(r"`([^`\n]+)`", text)
    return {word for span in spans for word in re.findall(r"(?<![\w-])--?[a-z][\w-]*", span)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section_with_its_usage(name: str) -> None:
    assert f"`batchrun {name}" in section(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_stands_in_its_section(name: str) -> None:
    assert set(options_of(name)) - {"--verbose"} - named_in(section(name)) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_promises_no_option_that_the_command_has_not(name: str) -> None:
    """In its tables and its list of shared options; prose may speak of other commands."""
    lines = [line for line in section(name).splitlines() if line.startswith(("| `-", "Shared:"))]
    cells = [line.split("|")[1] if line.startswith("|") else line for line in lines]
    assert named_in("\n".join(cells)) - set(options_of(name)) == set()


def test_shared_options_are_explained_once() -> None:
    words = {word for decorate in _SHARED.values() for word in _made_by(decorate)}
    assert words - named_in(section("Options of many commands")) == set()
    submitting = {word for decorate in _SUBMITTING for word in _made_by(decorate)}
    assert submitting - named_in(section("run")) == set()


def _made_by(decorate: object) -> Iterator[str]:
    def command() -> None:
        """Nothing."""

    assert callable(decorate)
    decorate(command)
    for option in command.__click_params__:  # type: ignore[attr-defined]  # as click keeps them
        yield from option.opts


def test_defaults_in_the_docs_are_those_of_the_program() -> None:
    assert "default `10m`" in section("Options of many commands")
    assert options_of("run")["--lock-wait"].default == "10m"
    assert options_of("tick")["--for"].default == "5m"
    assert options_of("status")["--max-age"].default == "1h"
    assert options_of("serve")["--port"].default == 8765
    assert options_of("serve")["--data"].default == ".batchrun-serve"
    assert options_of("serve")["--api-key-env"].default == "BATCHRUN_SERVE_KEY"
    for name, word in (("tick", "`5m`"), ("status", "`1h`"), ("serve", "8765")):
        assert f"default {word}" in section(name)


@pytest.mark.parametrize("key", job_line_schema()["properties"])
def test_every_key_of_the_job_line_is_documented(key: str) -> None:
    assert re.search(rf"^\| `?{key}`? ", JOB_FILE, re.MULTILINE), f"no row for {key!r}"


def error_classes() -> list[type[BatchrunError]]:
    found = [e for e in vars(errors).values() if isclass(e) and issubclass(e, BatchrunError)]
    return [e for e in found if e is not BatchrunError]


def rows() -> dict[int, str]:
    """The table of exit codes: the number and the rest of its row."""
    return {int(n): rest for n, rest in re.findall(r"^\| (\d+) \|(.*)$", EXIT_CODES, re.MULTILINE)}


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_error_stands_in_the_row_of_its_exit_code(error: type[BatchrunError]) -> None:
    assert [n for n, rest in rows().items() if f"`{error.__name__}`" in rest] == [error.exit_code]


def test_the_exit_codes_table_is_whole_and_no_larger() -> None:
    codes = {error.exit_code for error in error_classes()}
    assert set(rows()) == codes | {0, 3, 130, 143}


def test_the_order_of_urgency_is_the_one_that_is_used() -> None:
    assert ", ".join(map(str, _EXIT_ORDER)) in EXIT_CODES
