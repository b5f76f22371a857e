"""The machine: its Python, its SQLite, and the proxies that a connection would take."""

import platform
import sqlite3
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from batchrun.doctoring.diagnosis import Area, Diagnosis, Level

SQLITE_LEAST: Final = (3, 38, 0)  # STRICT tables, RETURNING, and `->>`
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def python_version() -> Diagnosis:
    """The interpreter that runs this; an older one could not."""
    return Diagnosis(
        area=Area.MACHINE, name="python", level=Level.OK, what=f"Python {platform.python_version()}"
    )


def sqlite_version(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Diagnosis:
    """The SQLite that this Python was built with."""
    shown = ".".join(map(str, version))
    is_old = version < SQLITE_LEAST
    return Diagnosis(
        area=Area.MACHINE,
        name="sqlite",
        level=Level.FAIL if is_old else Level.OK,
        what=f"SQLite {shown}"
        + (f", and batchrun needs {'.'.join(map(str, SQLITE_LEAST))}" if is_old else ""),
        fix="Use a Python with a newer SQLite, such as those of conda or uv." if is_old else "",
    )


def proxies(environ: Mapping[str, str]) -> Diagnosis:
    """Which proxies connections to other machines take; user and password in them are never shown."""
    found = {
        name: value
        for name in _PROXIES
        if (value := environ.get(name) or environ.get(name.lower()) or "")
    }
    wrong = [name for name, value in found.items() if not _host_of(value)]
    if wrong:
        return Diagnosis(
            area=Area.MACHINE,
            name="proxies",
            level=Level.WARN,
            what=f"{wrong[0]} is set to something that is no address",
            fix=f"unset {wrong[0]}",
        )
    shown = ", ".join(f"{name} is {_host_of(value)}" for name, value in found.items())
    return Diagnosis(
        area=Area.MACHINE, name="proxies", level=Level.OK, what=shown or "none in the environment"
    )


def _host_of(value: str) -> str:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return parts.netloc.rpartition("@")[2] if parts.hostname else ""
    except ValueError:
        return ""
