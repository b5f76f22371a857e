"""What the tests of house-keeping share: looking for a text in every byte, and dying at every effect."""

import os
import sqlite3
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from runnerkit import World

CANARY: Final = "zq7-canary"  # in no source, no path and no number
_KILLED: Final = 9


def holders(text: str, *folders: Path) -> list[str]:
    """Every file under these folders that holds the text, or bears it in its name; also where SQLite no longer shows it."""
    return [
        str(path.relative_to(folder))
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]


def spool(world: World) -> list[str]:
    """Names of all files in the spool."""
    return sorted(p.name for p in (world.home.path / "spool").rglob("*") if p.is_file())


class _Deaths:
    """Ends this process at its n-th effect: a commit, a removed file, a rename, half of a write in place."""

    def __init__(self, kill: int) -> None:
        self._left = kill

    def at(self) -> None:
        self._left -= 1
        if not self._left:
            os._exit(_KILLED)

    def install(self, world: World) -> None:
        deaths = self

        class Watched(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql in {"commit", "vacuum"}:
                    deaths.at()
                cursor = super().execute(sql, *arguments)
                if sql in {"commit", "vacuum"}:
                    deaths.at()
                return cursor

        connect, unlink, rename, pwrite = sqlite3.connect, os.unlink, Path.rename, os.pwrite

        def watched_connect(database: Any, **settings: Any) -> sqlite3.Connection:
            if Path(database) == world.home.database:
                settings["factory"] = Watched
            connection: sqlite3.Connection = connect(database, **settings)
            return connection

        def watched_unlink(path: Any, **settings: Any) -> None:
            deaths.at()
            unlink(path, **settings)

        def watched_rename(path: Path, target: Path) -> Path:
            deaths.at()
            return rename(path, target)

        def watched_pwrite(descriptor: int, data: bytes, at: int) -> int:
            deaths.at()
            pwrite(descriptor, data[: len(data) // 2], at)
            deaths.at()
            return pwrite(descriptor, data, at)

        sqlite3.connect = watched_connect  # type: ignore[assignment]
        os.unlink = watched_unlink
        Path.rename = watched_rename  # type: ignore[assignment,method-assign]
        os.pwrite = watched_pwrite  # type: ignore[assignment]


def dies(world: World, do: Callable[[], object], kill: int) -> bool:
    """Do it in a process that ends, without any clean-up, at its effect number `kill`; whether it came that far."""
    world.embedded.close()  # no SQLite connection may cross a fork
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: a fork beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            _Deaths(kill).install(world)
            do()
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it must not run on in the parent's code
            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, _KILLED}, f"the process ended with {code}: see its traceback above"
    return code == _KILLED
