"""Power loss: what of a folder is still there when everything that was not synced is gone.

SIGKILL leaves the kernel's cache alone, so it cannot show a missing fsync. Here the process that dies keeps a record of what it synced: of
a file the bytes that it had at its fsync, of a folder the names that it had at its own. What is left after the loss is the strictest that
POSIX allows: a file that was never synced is empty, later bytes are gone, a name exists once its folder was synced after it came, and
a removed or replaced file is back unless its folder was synced since.

SQLite's files stay as they were written: its syncs happen inside the library, and what they depend on is a setting, which a test checks.
"""

import json
import os
import stat
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final

_OF_SQLITE: Final = ("batchrun.db", "batchrun.db-wal", "batchrun.db-journal")
_REBUILT: Final = "batchrun.db-shm"


class Record:
    """What is durable below `root`; everything that is there at the beginning is."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, dict[str, int]] = {}
        self._bytes: dict[int, bytes] = {}
        self._held: list[
            int
        ] = []  # descriptors: an inode that is open is not given to another file
        for folder, _, files in os.walk(root):
            self._note_names(folder)
            for name in files:
                path = Path(folder) / name
                if path.name not in (*_OF_SQLITE, _REBUILT):
                    self._bytes[path.stat().st_ino] = path.read_bytes()
                    self._held.append(os.open(path, os.O_RDONLY))

    def synced(self, descriptor: int) -> None:
        """This file or folder was fsynced just now."""
        found, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}").readlink()
        if self._root not in (path, *path.parents):
            return
        if stat.S_ISDIR(found.st_mode):
            self._note_names(str(path))
        else:
            self._bytes[found.st_ino] = path.read_bytes()
            self._held.append(os.dup(descriptor))

    def _note_names(self, folder: str) -> None:
        self._names[folder] = {entry.name: entry.inode() for entry in os.scandir(folder)}

    def left(self) -> dict[str, Any]:
        """The tree after the loss: a dict is a folder, a text the bytes of a file in base64."""
        return self._folder(self._root)

    def _folder(self, path: Path) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, inode in self._names.get(str(path), {}).items():
            inner = path / name
            if str(inner) in self._names or inner.is_dir():
                tree[name] = self._folder(inner)
            elif name not in (*_OF_SQLITE, _REBUILT):
                tree[name] = b64encode(self._bytes.get(inode, b"")).decode()
        return tree


def write_left(record: Record, path: Path) -> None:
    """For the harness, which brings it about with `lose`."""
    path.write_text(json.dumps(record.left()))


def lose(root: Path, left: Path) -> None:
    """Make the folder what is left of it, in place: a power loss changes no inode of what stays."""
    _lose(root, json.loads(left.read_text()))


def _lose(folder: Path, tree: dict[str, Any]) -> None:
    for path in list(folder.iterdir()):
        if path.name == _REBUILT or (path.name not in tree and path.name not in _OF_SQLITE):
            _remove(path)
    for name, inner in tree.items():
        path = folder / name
        if isinstance(inner, dict):
            path.mkdir(mode=0o700, exist_ok=True)
            _lose(path, inner)
        elif not path.exists() or path.read_bytes() != b64decode(inner):
            path.unlink(missing_ok=True)
            path.write_bytes(b64decode(inner))
            path.chmod(0o600)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink()
