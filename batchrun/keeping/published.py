"""The outputs of a job without what was forgotten: written again, or removed with the folder where the whole job goes.

Only what batchrun wrote is touched. What somebody else put into the folder, or edited there, is named and stays.
"""

from array import array
from bisect import bisect_left
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import sweep_temps
from batchrun.outputs.disk import own_lines, read_own, remove
from batchrun.outputs.indexed import INDEXED, IndexedFolder
from batchrun.outputs.writing import MANIFEST, write_outputs

_ALWAYS: Final = (
    "results.jsonl",
    "results.csv",
    "failures.jsonl",
    "report.json",
    "report.md",
    *(indexed.index for indexed in INDEXED),
)
_NAMED_MOST: Final = 3


class _Entry(msgspec.Struct):
    name: str


class _Manifest(msgspec.Struct):
    files: list[_Entry]


class _Listed(msgspec.Struct):
    file: str


def write_again(ledger: Ledger, job: int, *, now: int) -> tuple[str, ...]:
    """Write the outputs of a job again, where it has any; what of somebody else's stays in its folders, in words."""
    folder = Path(str(ledger.value("select outputs from jobs where id = ?", (job,))))
    if not folder.is_dir():
        return ()
    write_outputs(ledger, job, now=now)
    return tuple(
        told
        for indexed in INDEXED
        for told in _told(folder / indexed.name, _unlisted(folder, indexed))
    )


def remove_outputs(ledger: Ledger, job: int, *, now: int) -> tuple[str, ...]:
    """Remove the outputs folder of a forgotten job, and its name from the ledger; what of somebody else's stays, in words.

    A job that was submitted under the same name meanwhile has the same folder: then that one's outputs are written again.
    """
    text = str(ledger.value("select outputs from jobs where id = ?", (job,)))
    if not text:
        return ()
    folder = Path(text)
    heir = ledger.value(
        "select id from jobs where outputs = ? and id <> ? and submission is not null", (text, job)
    )
    left: tuple[str, ...] = ()
    if heir is not None:
        left = write_again(ledger, int(heir), now=now)
    elif folder.is_dir() and not folder.is_symlink():
        left = _remove(folder)
    with ledger.transaction():
        ledger.execute("update jobs set outputs = '' where id = ?", (job,))
    return left


def _remove(folder: Path) -> tuple[str, ...]:
    sweep_temps(folder, *(folder / indexed.name for indexed in INDEXED))
    names = {*_ALWAYS, *_manifest_names(folder)} - {MANIFEST}
    for indexed in INDEXED:
        indexed.remove(folder)
    for name in sorted(names):
        remove(folder / name)
    remove(folder / MANIFEST)
    try:
        folder.rmdir()
    except OSError:
        return _told(folder, sorted(path.name for path in folder.iterdir()))
    return ()


def _manifest_names(folder: Path) -> list[str]:
    """Files of this very folder that the manifest lists."""
    try:
        manifest = msgspec.json.decode(read_own(folder / MANIFEST) or b"{}", type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    folders = {indexed.name for indexed in INDEXED}
    return [e.name for e in manifest.files if Path(e.name).name == e.name and e.name not in folders]


def _unlisted(folder: Path, indexed: IndexedFolder) -> list[str]:
    """Names in an indexed folder that its index does not list: edited since they were written, or put there by somebody."""
    inner = folder / indexed.name
    if inner.is_symlink() or not inner.is_dir():
        return []
    listed = array("Q")
    for line in own_lines(folder / indexed.index):
        listed.append(_mark(msgspec.json.decode(line, type=_Listed).file.partition("/")[2]))
    listed = array("Q", sorted(listed))
    found = []
    for path in inner.iterdir():
        at = bisect_left(listed, _mark(path.name))
        if at == len(listed) or listed[at] != _mark(path.name):
            found.append(path.name)
    return sorted(found)


def _mark(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogateescape"))


def _told(folder: Path, names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    some = ", ".join(names[:_NAMED_MOST]) + (", …" if len(names) > _NAMED_MOST else "")
    told = (
        f"{folder} holds {len(names):,} files that batchrun did not write, or that were edited since ({some}): "
        "look at them and remove what is not wanted"
    )
    return (told,)
