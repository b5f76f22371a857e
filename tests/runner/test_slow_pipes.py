"""Items that come through a pipe, from a program that takes its time: the ledger stays open for others meanwhile."""

import io
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

import pytest
from runnerkit import World

from batchrun.takingitems import SubmitOptions

COUNT: Final = 3_000


class _Watched(io.FileIO):
    """A pipe's reading end that notes, before each read, whether another process could write to the ledger."""

    def __init__(self, descriptor: int, database: Path) -> None:
        super().__init__(descriptor, "rb")
        self._database = database
        self.was_free: list[bool] = []

    def read(self, size: int | None = -1, /) -> bytes:
        """As FileIO's."""
        other = sqlite3.connect(self._database, timeout=0, isolation_level=None)
        try:
            other.execute("begin immediate")
            other.execute("rollback")
            self.was_free.append(True)
        except sqlite3.OperationalError:
            self.was_free.append(False)
        finally:
            other.close()
        return super().read(-1 if size is None else size) or b""


@pytest.mark.fault(33, 40)
def test_others_can_write_while_a_pipe_is_waited_for(world: World) -> None:
    world.write([])
    world.submit(send=False)  # refused, since it has no items; the ledger is there now
    lines = [json.dumps({"id": f"i{n}", "text": "x" * 200}) + "\n" for n in range(COUNT)]
    reader, writer = os.pipe()

    def feed() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write("".join(lines).encode())

    feeder = threading.Thread(target=feed)
    feeder.start()
    with _Watched(reader, world.home.database) as pipe:
        options = SubmitOptions(items="-")
        prepared, _ = world.api().submit((world.job_file,), options, stdin=pipe, send=False)
    feeder.join()
    assert prepared[0].tally is not None
    assert prepared[0].tally.new == COUNT
    assert len(pipe.was_free) > 3
    assert all(pipe.was_free)
