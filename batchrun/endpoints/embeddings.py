"""/v1/embeddings: text in, a vector out."""

import base64
import binascii
import math
import struct
from typing import ClassVar

import msgspec

from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, Reading
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.fast import Line, PlainBody, PromptUsage, success
from batchrun.endpoints.tolerant import as_text, error_of, objects, usage_of
from batchrun.model import Json, JsonObject

_NUMBER_CHARACTERS = b"0123456789+-.e,"
# "any array must be 2048 dimensions or less". Source: the SDK on EmbeddingCreateParams.input.
_ARRAY_MOST = 2_048


class Embeddings(Endpoint):
    """Builds `input`: a text, or whatever else it takes (texts, a token array, token arrays). Reads one vector, or one per input."""

    url: ClassVar = "/v1/embeddings"
    prompt_key: ClassVar = "input"
    unused_keys: ClassVar = {
        "instructions": "Put it into the prompt, if it is to be part of what is embedded.",
        "labels": "A vector has no label: leave it out.",
        "schema": "A vector has no structure: leave it out.",
        "max_output_tokens": "A vector costs by its input only: leave it out.",
        "attach": "Only text is embedded: put it into the prompt.",
    }
    required: ClassVar = ("model", "input")
    synonyms: ClassVar = {"prompt": "input", "messages": "input", "text": "input"}

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint. A service refuses the whole request for one input of these."""
        given = body.get("input")
        if given == "":
            return ("'input' is empty. Leave the item out.",)
        if not isinstance(given, list):
            return ()
        if not 1 <= len(given) <= _ARRAY_MOST:
            return (
                f"'input' must be an array of 1 to {_ARRAY_MOST:,}, not {len(given):,}. Make more items of it.",
            )
        empty = next((index for index, one in enumerate(given) if one in ("", [])), None)
        if empty is not None:
            return (f"'input[{empty}]' is empty. Leave it out.",)
        is_known = (
            all(type(one) is str for one in given)
            or _are_tokens(given)
            or all(type(one) is list and _are_tokens(one) for one in given)
        )
        return (
            ()
            if is_known
            else ("'input' must be texts, or tokens, or arrays of tokens, all alike.",)
        )

    def input_count(self, body: JsonObject) -> int:
        """One for a text or one array of tokens, else the length of the array."""
        given = body.get("input")
        if isinstance(given, list) and given and not isinstance(given[0], int):
            return len(given)
        return 1

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint. `value` is a vector, or the vectors in input order; None where any of them cannot be read."""
        entries = list(objects(body.get("data")))
        # Sorting is stable: entries without an index stay as they came.
        entries.sort(key=lambda entry: index if isinstance(index := entry.get("index"), int) else 0)
        vectors = [_vector(entry.get("embedding")) for entry in entries]
        gap = _gap(entries)
        value: Json = None
        if gap is None and vectors and all(vector is not None for vector in vectors):
            value = vectors[0] if len(vectors) == 1 else vectors
        return Answer(
            finish=Finish.STOP,
            value=value,
            mismatch=gap,
            error=error_of(body.get("error")),
            usage=usage_of(body, given="prompt", made="completion"),
            model=as_text(body.get("model")),
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:  # noqa: ARG002 (there is no text)
        """See Endpoint. Takes one vector of numbers and copies their digits: decoding 1,536 floats to encode them again costs more
        than all the rest of the line.
        """
        decode = msgspec.json.Decoder(Line[_Body]).decode

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            data = result.response.body.data
            if len(data) != 1 or data[0].index != 0:
                return None
            vector = bytes(data[0].embedding).translate(None, b" \t")
            # Raw has been through the JSON scanner, so an array of nothing but number characters is an array of numbers.
            if vector.translate(None, _NUMBER_CHARACTERS) != b"[]" or len(vector) == 2:
                return None
            # 1e999 is JSON, and no number that a reader of the output could hold: only small exponents are taken unseen.
            if not all(part.startswith(b"-") for part in vector.split(b"e")[1:]):
                return None
            return success(result, vector)

        return read


def _are_tokens(values: list[Json]) -> bool:
    return all(type(value) is int for value in values)


def _gap(entries: list[JsonObject]) -> Mismatch | None:
    """Where a vector's number is beyond how many there are, one before it is missing: to take what is there for all would be wrong by one place."""
    last = max((n for entry in entries if type(n := entry.get("index")) is int), default=0)
    if not entries or last < len(entries):
        return None
    return Mismatch(
        cause="malformed_result",
        message=f"{len(entries)} vectors came, and one of them is number {last}, counted from 0: some are missing",
    )


def _vector(value: Json) -> list[int | float] | None:
    """A vector from an array of finite numbers or from base64 of little-endian float32; None if it is neither."""
    if isinstance(value, str):
        try:
            packed = base64.b64decode(value, validate=True)
            value = [number for (number,) in struct.iter_unpack("<f", packed)]
        except (binascii.Error, ValueError, struct.error):
            return None
    if not isinstance(value, list) or not value:
        return None
    # An integer is finite, and may be larger than any float: isfinite would raise.
    if not all(
        type(number) is int or (type(number) is float and math.isfinite(number)) for number in value
    ):
        return None
    return value


# What the fast path takes; see fast.py.


class _Entry(msgspec.Struct, gc=False):
    embedding: msgspec.Raw
    index: int = 0


class _Body(PlainBody, kw_only=True, gc=False):
    data: list[_Entry]
    usage: PromptUsage
