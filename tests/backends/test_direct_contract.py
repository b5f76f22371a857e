"""A direct backend keeps the contract of all backends: its lines go over a socket to a server, which is asked for nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import BackendContract, Rig, Script, scripted

from batchrun.backends.base import DIRECT_TRAITS
from batchrun.backends.credentials import KeySource
from batchrun.backends.embedded import EmbeddedBackend
from batchrun.backends.opening import open_backend
from batchrun.model import Rates
from batchrun.profiles import BackendKind, Profile
from batchrun.service.running import running
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock


class TestDirectBackend(BackendContract):
    @pytest.fixture
    def rig(self, tmp_path: Path, key: KeySource) -> Iterator[Rig]:
        clock, script = ManualClock(), Script()
        server = BatchService(tmp_path / "server", scripted(script, clock), clock)
        with running(server, api_key=key.reveal(), works=False) as base_url:
            profile = Profile(
                name="x",
                kind=BackendKind.DIRECT,
                base_url=base_url,
                key=key,
                rates=Rates(concurrency=1),
                traits=DIRECT_TRAITS,
            )
            backend = open_backend(profile, home=tmp_path, clock=clock)
            assert isinstance(backend, EmbeddedBackend)
            yield Rig(backend=backend, service=backend.service, clock=clock, script=script)
            backend.close()
        assert server.truth()["batches"] == []
        server.close()
