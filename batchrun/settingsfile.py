"""Where the settings are: the nearest `batchrun.toml`. Light on purpose: `batchrun status` asks for it."""

import os
from pathlib import Path
from typing import Final

from batchrun.errors import UsageError

FILE_NAME: Final = "batchrun.toml"


def find_settings(near: Path | None, home: Path | None) -> Path | None:
    """The first `batchrun.toml` upwards from the job file's folder, else upwards from the folder that holds the home; both may be missing.

    Raises UsageError for one that someone else could have planted: it may name a command to run.
    """
    for start in (near, home):
        if start is None:
            continue
        folder = start.absolute()
        found = _nearest(folder if start is near and folder.is_dir() else folder.parent)
        if found is not None:
            return found
    return None


def _nearest(folder: Path) -> Path | None:
    for parent in (folder, *folder.parents):
        path = parent / FILE_NAME
        try:
            found = path.stat()
        except OSError:
            continue
        if hasattr(os, "geteuid"):
            trusted = {0, os.geteuid(), folder.stat().st_uid if folder.exists() else 0}
            if found.st_uid not in trusted or found.st_mode & 0o002:
                raise UsageError(
                    f"{path}: another user can change this file, so it is not read. "
                    "Own it and take away the others' right to write, or remove it."
                )
        return path
    return None
