"""From options to a home, the settings near it, and a `Batchrun`: where things are is decided here and nowhere else."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchrun.cli.invocation import Invocation
from batchrun.errors import JobFileError, Problem
from batchrun.ledger.home import Home, find_home, home_to_create, require_home

if TYPE_CHECKING:
    from batchrun.api import Batchrun
    from batchrun.config import Config
    from batchrun.ledger.connection import Ledger

LOCK_WAIT_S = 600.0


def existing_home(home: str | None) -> Home:
    """The home of a command that starts none. Raises UsageError saying where it was looked for."""
    environ = _environ("BATCHRUN_HOME")
    found, start = find_home(explicit=home, environ=environ, near=None)
    return require_home(found, start, named=home or environ)


def read_ledger(home: str | None) -> "Ledger":
    """The ledger for looking only; the caller closes it."""
    from batchrun.ledger.connection import open_for_reading

    return open_for_reading(existing_home(home))


def wanted_profile(backend: str | None) -> str | None:
    """Of jobs that several backends answered, the one that is meant."""
    return backend or _environ("BATCHRUN_BACKEND")


def open_batchrun(
    invocation: Invocation,
    home: str | None,
    *,
    backend: str | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
) -> "Batchrun":
    """Over the home that there is, with the settings beside it."""
    from batchrun.api import Batchrun

    found = existing_home(home)
    return Batchrun(
        home=found,
        config=_config(None, found.path, backend),
        clock=invocation.clock,
        backend=backend,
        lock_wait_s=lock_wait_s,
    )


def with_tools(
    batchrun: "Batchrun", tools: str | None, timeout_s: float | None = None
) -> "Batchrun":
    """The same with the functions of the file that --tools names, if it names one."""
    if tools is None:
        return batchrun
    import dataclasses

    from batchrun.api import ToolsFile

    named = ToolsFile(path=Path(tools))
    if timeout_s is not None:
        named = dataclasses.replace(named, timeout_s=timeout_s)
    return dataclasses.replace(batchrun, tools=named)


def open_for_files(
    invocation: Invocation,
    files: Sequence[Path],
    home: str | None,
    *,
    backend: str | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
) -> "tuple[Batchrun, bool]":
    """Over the home of these job files, and whether it is there already; where it is not, this says where it will be.

    The first file decides. Raises JobFileError where none of them can be read: no home is started for those.
    """
    from batchrun.api import Batchrun

    first = _first_readable(files)
    environ = _environ("BATCHRUN_HOME")
    found, _ = find_home(explicit=home, environ=environ, near=first.parent)
    path = found or home_to_create(explicit=home, environ=environ, job_file=first)
    opened = Batchrun(
        home=Home(path),
        config=_config(first, path, backend),
        clock=invocation.clock,
        backend=backend,
        lock_wait_s=lock_wait_s,
    )
    return opened, found is not None


def open_or_begin(
    invocation: Invocation,
    home: str | None,
    *,
    backend: str | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
) -> "tuple[Batchrun, bool]":
    """Over the home that there is, or over one that is to be made in the current folder; and whether it is there already."""
    from batchrun.api import Batchrun

    environ = _environ("BATCHRUN_HOME")
    found, start = find_home(explicit=home, environ=environ, near=None)
    path = found or home_to_create(explicit=home, environ=environ, job_file=start / "adopted.jsonl")
    opened = Batchrun(
        home=Home(path),
        config=_config(None if found else start, path, backend),
        clock=invocation.clock,
        backend=backend,
        lock_wait_s=lock_wait_s,
    )
    return opened, found is not None


def find_for_doctor(home: str | None) -> "tuple[Home | None, Path, Config]":
    """The home, or None where there is none yet; the folder that it is or would be in; and the settings there. Starts nothing.

    Raises UsageError where a home was named that is none, or where the settings are wrong.
    """
    environ = _environ("BATCHRUN_HOME")
    found, start = find_home(explicit=home, environ=environ, near=None)
    if found is None and (home or environ):
        require_home(found, start, named=home or environ)
    path = found or start
    near = None if found else start
    return (None if found is None else Home(found)), path, _config(near, path, None)


def home_option(home: Home) -> str:
    """` --home DIR` for a command to paste, or nothing where the command finds this home by itself."""
    found, _ = find_home(explicit=None, environ=_environ("BATCHRUN_HOME"), near=None)
    if found is not None and found.resolve() == home.path.resolve():
        return ""
    import shlex

    return f" --home {shlex.quote(str(home.path))}"


def _config(near: Path | None, home: Path, backend: str | None) -> "Config":
    from batchrun.config import load_config

    config = load_config(near, home, os.environ)
    name = backend or config.backend
    if name:
        config.profile(name)  # a name that means nothing is told before anything is read
    return config


def _first_readable(files: Sequence[Path]) -> Path:
    problems = []
    for path in files:
        problem = _unreadable(path)
        if problem is None:
            return path
        problems.append(problem)
    raise JobFileError(tuple(problems))


def _unreadable(path: Path) -> Problem | None:
    from batchrun.jobfile.problems import os_fault

    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return os_fault(error, is_job_file=True).at(str(path), None)


def _environ(name: str) -> str | None:
    return os.environ.get(name) or None
