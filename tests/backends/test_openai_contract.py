"""The OpenAI backend keeps the contract of all backends, over a socket and through the official SDK, against the Batch service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import BackendContract, Rig, Script, scripted

from batchrun.backends.credentials import KeySource
from batchrun.backends.openai import OpenAIBackend
from batchrun.errors import AuthError
from batchrun.profiles import Profile
from batchrun.service.running import running
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock


class TestOpenAIBackend(BackendContract):
    @pytest.fixture
    def rig(self, tmp_path: Path, key: KeySource) -> Iterator[Rig]:
        clock, script = ManualClock(), Script()
        service = BatchService(tmp_path / "service", scripted(script, clock), clock)
        with running(service, api_key=key.reveal(), works=False) as base_url:
            backend = OpenAIBackend(Profile(name="x", base_url=base_url, key=key), clock=clock)
            yield Rig(backend=backend, service=service, clock=clock, script=script)
            backend.close()
        service.close()


def test_a_wrong_key_is_refused_by_name_of_its_variable_and_not_shown(tmp_path: Path) -> None:
    clock = ManualClock()
    service = BatchService(tmp_path / "service", scripted(Script(), clock), clock)
    wrong = KeySource(variable="MY_KEY", environ={"MY_KEY": "not-the-key-of-this-server"})
    with running(service, api_key="sk-right", works=False) as base_url:
        backend = OpenAIBackend(Profile(name="x", base_url=base_url, key=wrong), clock=clock)
        with pytest.raises(AuthError, match="Check the key from MY_KEY") as caught:
            backend.list_batches(after=None, limit=1)
        assert caught.value.status == 401
        assert "not-the-key" not in str(caught.value)
        backend.close()
    service.close()
