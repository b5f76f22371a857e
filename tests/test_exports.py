"""What other people's programs may rely on: the names of the library face, and how little importing batchrun costs."""

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import batchrun
from batchrun import errors
from batchrun.api import Batchrun, worst_exit_code
from batchrun.backends.base import Backend
from batchrun.errors import BatchrunError
from batchrun.ledger.connection import open_ledger
from batchrun.ledger.home import Home

ROOT = Path(__file__).parents[1]
SLOW = (
    "openai",
    "sqlite_utils",
    "rich",
    "pydantic",
    "filelock",
    "tenacity",
    "starlette",
    "xllamacpp",
    "toktok",
    "genai_prices",
)


def public(owner: object) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def test_the_library_does_what_the_command_line_does() -> None:
    """A name that goes from here breaks somebody's program: say so in CHANGELOG.md."""
    fields = {field.name for field in dataclasses.fields(Batchrun)}
    assert fields == {
        *("home", "config", "clock", "observer", "backend", "lock_wait_s", "tools", "open_backend"),
        "on_delta",
    }
    assert public(Batchrun) - fields >= {
        *("submit", "check", "try_out", "tick", "wait", "cancel", "retry"),
        *("status", "results", "job", "last_pass_at", "failures", "explain", "verify"),
        *("recover", "resolve", "take_over", "prune", "forget"),
    }


def test_a_backend_has_these_calls_and_no_others() -> None:
    assert {name for name, _ in inspect.getmembers(Backend) if not name.startswith("_")} == {
        *(
            "traits",
            "limits",
            "account",
            "upload",
            "get_file",
            "delete_file",
            "list_files",
            "download",
        ),
        *("create", "retrieve", "cancel", "list_batches", "work", "close"),
    }


def error_classes() -> dict[str, type[BatchrunError]]:
    return {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, BatchrunError)
    }


def test_each_error_owns_its_exit_code() -> None:
    assert {name: kind.exit_code for name, kind in error_classes().items()} == {
        "BatchrunError": 1,
        "IllegalTransition": 1,
        "Unexpected": 1,
        "UsageError": 2,
        "NotFinished": 4,
        "JobFileError": 5,
        "BackendError": 6,
        "Transient": 6,
        "Ambiguous": 6,
        "Refused": 6,
        "NotFound": 6,
        "AuthError": 6,
        "WrongAccount": 6,
        "LedgerError": 7,
        "GuardError": 8,
        "UnknownPrice": 8,
        "Unbounded": 8,
        "HomeLocked": 75,
    }


@pytest.mark.parametrize(
    ("codes", "worst"),
    [((), 0), ((0, 0), 0), ((4, 3), 3), ((3, 5, 4), 5), ((5, 8), 8), ((8, 6), 6), ((6, 7), 7)],
)
def test_of_several_exit_codes_the_most_urgent_wins(codes: tuple[int, ...], worst: int) -> None:
    assert worst_exit_code(codes) == worst


def test_the_tree_of_errors_is_drawn_whole() -> None:
    """The picture at the top of errors.py names every class."""
    picture = inspect.getdoc(errors) or ""
    assert [name for name in error_classes() if name not in picture] == []


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert batchrun.__version__ == project["version"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(batchrun.__file__).parent / "py.typed").exists()


def modules_loaded_by(statement: str) -> set[str]:
    """Names in `sys.modules` after a statement, in a process of its own."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "batchrun").rglob("*.py")
    # Run as scripts; imported by `serve` alone; imported at a terminal alone.
    if path.name not in {"__main__.py", "child.py", "generate.py", "http.py", "progress.py"}
    and path.name != "__init__.py"
)


def test_no_module_of_batchrun_loads_a_slow_package() -> None:
    """All of them in one process: one import at the top of any file would be seen here."""
    # By their names: one of them is called as a keyword is.
    loaded = modules_loaded_by(
        f"from importlib import import_module\nfor name in {MODULES!r}: import_module(name)"
    )
    assert loaded & {*SLOW} == set()


def run_here(*arguments: str) -> str:
    """A statement that runs one command."""
    return f"from batchrun.cli.main import run; run({list(arguments)!r})"


def test_help_is_light() -> None:
    """`batchrun --help` loads neither the slow packages nor batchrun's own machinery."""
    loaded = modules_loaded_by(run_here("--help"))
    assert loaded & {*SLOW, "msgspec", "jsonschema_rs", "minijinja", "batchrun.api"} == set()


def test_status_is_light(tmp_path: Path) -> None:
    home = Home(tmp_path / ".batchrun")
    home.create()
    open_ledger(home, create=True).close()
    loaded = modules_loaded_by(run_here("status", "--home", str(home.path)))
    assert "batchrun.ledger.connection" in loaded
    assert loaded & {*SLOW} == set()


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_and_says_what_it_owns(module: str) -> None:
    assert inspect.getdoc(importlib.import_module(module))
