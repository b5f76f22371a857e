"""A machine on which the local model is installed, without the model: a fake xllamacpp and an empty GGUF."""

import os
from pathlib import Path

import pytest

from batchrun.service.llama import discovery

HERE = Path(__file__).parent


def install_fake(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "fake.gguf") -> Path:
    """Make `import xllamacpp` find the fake, here and in the model's process; returns a model file."""
    (folder / "xllamacpp.py").write_text("from llama_fake_server import *\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(HERE)]))
    monkeypatch.setattr(discovery, "OPENMP_LIBRARY", "libc.so.6")
    return gguf(folder / name)


def gguf(path: Path) -> Path:
    """A file that begins as a GGUF does."""
    path.write_bytes(discovery.GGUF_MAGIC + b"\x03\x00\x00\x00")
    return path


def is_alive(pid: int) -> bool:
    """Whether the process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
