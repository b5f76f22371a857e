"""Files of a service for as long as they are read: what is no batch row's yet has no place in the spool."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.errors import Refused
from batchrun.ledger.home import Home
from batchrun.ledger.spool import temp_beside
from batchrun.running.results import ERROR, OUTPUT


@contextlib.contextmanager
def downloaded(backend: Backend, home: Home, file_id: str | None) -> Iterator[Path | None]:
    """A file for this block; None where the service has none, or refuses to give it out any more. Raises BackendError."""
    if file_id is None:
        yield None
        return
    temp = temp_beside(home.results / "recovered")
    try:
        try:
            backend.download(file_id, temp)
        except Refused:
            yield None
        else:
            yield temp
    finally:
        temp.unlink(missing_ok=True)


@contextlib.contextmanager
def result_files(
    backend: Backend, home: Home, remote: RemoteBatch
) -> Iterator[list[tuple[int, Path]]]:
    """Those of a batch's two result files that the service still has, as (kind, path), for this block. Raises BackendError."""
    ids = ((OUTPUT, remote.output_file_id), (ERROR, remote.error_file_id))
    with contextlib.ExitStack() as stack:
        paths = [(kind, stack.enter_context(downloaded(backend, home, name))) for kind, name in ids]
        yield [(kind, path) for kind, path in paths if path is not None]
