"""Answers that are no item's: kept for people in `outputs/recovered-<batch>/`, named as the service names the batch.

`results.jsonl` has one line an answer, by custom_id; `output.jsonl` and `error.jsonl` hold the same lines byte for byte as the service gave
them. They were paid for: nothing of them is thrown away, whatever the job files at hand ask.
"""

import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from batchrun.endpoints.answer import Reading
from batchrun.endpoints.reading import make_reader
from batchrun.errors import UsageError
from batchrun.ledger.home import Home
from batchrun.model import JobSettings
from batchrun.outputs.disk import make_folder, put, remove
from batchrun.outputs.names import safe_name
from batchrun.planning.classify import Outcome

_encode: Final = msgspec.json.Encoder().encode
_BUFFER_BYTES: Final = 1 << 18
_RAW: Final = {0: "output.jsonl", 1: "error.jsonl"}
_RESULTS: Final = "results.jsonl"


def write_unplaced(
    home: Home,
    remote_id: str,
    endpoint: str,
    files: Iterable[tuple[int, Path]],
    placed: Collection[str],
) -> tuple[Path | None, int]:
    """Write the lines of result files (kind, path) whose custom_id is not in `placed`; returns their folder, None without any, and how many.

    May be repeated: the same lines make the same files. Raises LedgerError where the disk refuses.
    """
    folder = home.outputs / f"recovered-{safe_name(remote_id)}"
    files, read = list(files), _Reader(endpoint)
    if not any(read.has_unplaced(path, placed) for _, path in files):
        _clear(folder)
        return None, 0
    make_folder(home.outputs)
    make_folder(folder)
    for kind, path in files:
        put(folder / _RAW[kind], (line for line, _ in read.unplaced(path, placed)))
    count = 0

    def results() -> Iterator[bytes]:
        nonlocal count
        for _, path in files:
            for _, reading in read.unplaced(path, placed):
                count += 1
                yield _result_line(reading)

    put(folder / _RESULTS, results())
    return folder, count


def custom_ids_in(files: Iterable[tuple[int, Path]], endpoint: str) -> Iterator[str]:
    """The custom_ids that result files speak of."""
    read = _Reader(endpoint)
    for _, path in files:
        for _, reading in read.unplaced(path, ()):
            if reading.custom_id is not None:
                yield reading.custom_id


class _Reader:
    """Reads the result lines of an endpoint; of one that batchrun does not know, as far as all endpoints are alike."""

    def __init__(self, endpoint: str) -> None:
        plain = JobSettings(name="recovered", path="", line=0)
        try:
            self._read = make_reader(replace(plain, endpoint=endpoint))
        except UsageError:
            self._read = make_reader(plain)

    def has_unplaced(self, path: Path, placed: Collection[str]) -> bool:
        with contextlib.closing(self.unplaced(path, placed)) as found:
            return next(found, None) is not None

    def unplaced(self, path: Path, placed: Collection[str]) -> Generator[tuple[bytes, Reading]]:
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            for line in file:
                if line.strip():
                    reading = self._read(line)
                    if reading.custom_id is None or reading.custom_id not in placed:
                        yield line, reading


def _result_line(reading: Reading) -> bytes:
    """One line of `results.jsonl`. The answer's JSON may hold line breaks between its tokens: there they are spaces."""
    status = "succeeded" if reading.outcome == Outcome.SUCCEEDED else "failed"
    output = b"null" if reading.output is None else reading.output.replace(b"\n", b" ")
    rest = {
        "cause": reading.cause,
        "message": reading.message,
        "partial": reading.partial,
        "finish": str(reading.finish),
        "usage": {
            "input_tokens": reading.input_tokens,
            "cached_tokens": reading.cached_tokens,
            "cache_write_tokens": reading.cache_write_tokens,
            "output_tokens": reading.output_tokens,
            "reasoning_tokens": reading.reasoning_tokens,
        },
        "model": reading.model,
    }
    return b'{"custom_id":%b,"status":"%b","output":%b,%b\n' % (
        _encode(reading.custom_id),
        status.encode(),
        output,
        _encode(rest)[1:],
    )


def _clear(folder: Path) -> None:
    """What an earlier recovery wrote here has found its items since."""
    if folder.is_dir() and not folder.is_symlink():
        for name in (_RESULTS, *_RAW.values()):
            remove(folder / name)
        if not any(folder.iterdir()):
            folder.rmdir()
