"""The embedded backend keeps the contract of all backends, and a few promises of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import BackendContract, Rig, Script, request, scripted, write_lines

from batchrun.backends.base import RemoteBatch
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.errors import Ambiguous, LedgerError
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.words import What
from batchrun.service.responders.base import Responder
from batchrun.testing import ManualClock


class TestEmbeddedBackend(BackendContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[Rig]:
        clock, script = ManualClock(), Script()
        backend = EmbeddedBackend(tmp_path / "service", lambda: scripted(script, clock), clock)
        yield Rig(backend=backend, service=backend.service, clock=clock, script=script)
        backend.close()


def no_responder() -> Responder:
    raise AssertionError("a responder was made although nothing was to be answered")


def test_submitting_makes_no_responder_and_constructing_touches_no_disk(tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "service", no_responder, ManualClock())
    assert not (tmp_path / "service").exists()
    path = write_lines(tmp_path / "input.jsonl", [request("a")])
    file = backend.upload(path, name="a.jsonl", expires_after_s=None)
    batch = backend.create(
        input_file_id=file.id, endpoint="/v1/responses", window="24h", metadata={}
    )
    assert backend.retrieve(batch.id) == batch
    backend.close()


def test_a_backend_opened_again_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    clock, script = ManualClock(), Script()
    first = EmbeddedBackend(tmp_path / "service", no_responder, clock)
    path = write_lines(tmp_path / "input.jsonl", [request("a")])
    file = first.upload(path, name="a.jsonl", expires_after_s=None)
    batch = first.create(input_file_id=file.id, endpoint="/v1/responses", window="24h", metadata={})
    first.close()

    second = EmbeddedBackend(tmp_path / "service", lambda: scripted(script, clock), clock)
    assert second.account(b"salt") == first.account(b"pepper")
    assert second.work(60.0) is None
    assert second.retrieve(batch.id).status == "completed"
    second.close()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "service", no_responder, ManualClock())
    with pytest.raises(LedgerError, match=r"missing\.jsonl"):
        backend.upload(tmp_path / "missing.jsonl", name="a.jsonl", expires_after_s=None)
    backend.close()


def test_a_download_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "service", no_responder, ManualClock())
    path = write_lines(tmp_path / "input.jsonl", [request("a")])
    file = backend.upload(path, name="a.jsonl", expires_after_s=None)
    with pytest.raises(LedgerError, match="cannot be written"):
        backend.download(file.id, tmp_path / "no-such-folder" / "copy.part")
    backend.close()


@pytest.mark.fault(4, 11)
def test_a_create_that_a_script_gives_up_is_ambiguous_and_may_land_later(tmp_path: Path) -> None:
    clock, script = ManualClock(), Script()
    late = Fault(at="POST /batches", what=What.LATE, seconds=600, calls=1)
    backend = EmbeddedBackend(
        tmp_path / "service", lambda: scripted(script, clock), clock, script=FaultScript([late])
    )
    path = write_lines(tmp_path / "input.jsonl", [request("a")])
    file = backend.upload(path, name="a.jsonl", expires_after_s=None)

    def create() -> RemoteBatch:
        return backend.create(
            input_file_id=file.id, endpoint="/v1/responses", window="24h", metadata={"n": "1"}
        )

    with pytest.raises(Ambiguous):
        create()
    assert backend.list_batches(after=None, limit=10).batches == ()
    clock.advance(600)
    (landed,) = backend.list_batches(after=None, limit=10).batches
    assert landed.input_file_id == file.id
    assert create().id != landed.id
    backend.close()
