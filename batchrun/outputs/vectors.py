"""Embeddings as arrays of 32-bit floats: what they are computed in, and half of what a 64-bit float takes.

An item has one vector, or one for each of its inputs. A number beyond the range of a 32-bit float becomes infinity, as in numpy.
"""

import contextlib
import json
import sys
from array import array
from typing import Final

import msgspec

from batchrun.outputs.rows import JobView

ENDPOINT: Final = "/v1/embeddings"
_one: Final = msgspec.json.Decoder(list[float]).decode
_several: Final = msgspec.json.Decoder(list[list[float]]).decode


def has_vectors(job: JobView) -> bool:
    """Whether the job's answers are embeddings."""
    return job.settings.endpoint == ENDPOINT


def is_several(output: bytes) -> bool:
    """Whether an answer is a list of vectors."""
    return output[1:].lstrip()[:1] == b"["


def vectors(output: bytes) -> "list[array[float]]":
    """The vectors of an answer, in the order of the item's inputs."""
    with contextlib.suppress(msgspec.ValidationError):  # a whole number beyond any float
        found = _several(output) if is_several(output) else [_one(output)]
        return [array("f", vector) for vector in found]
    read = json.loads(output, parse_int=float)
    return [array("f", vector) for vector in (read if is_several(output) else [read])]


def little_endian(vector: "array[float]") -> bytes:
    """The bytes of a vector as files have them."""
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return vector.tobytes()
