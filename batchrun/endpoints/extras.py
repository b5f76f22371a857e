"""What comes beside the text of an answer: the names of these plain fields, their order, and how much of them the ledger takes.

They stand beside `output` on an item's line in results.jsonl, each only where there is something; docs/outputs.md says what they hold.
"""

from typing import Final

import msgspec

from batchrun.endpoints.pictures import PICTURED, told_beside
from batchrun.endpoints.tolerant import as_text, objects, whole
from batchrun.model import Json, JsonObject

# In the order in which they are written.
EXTRAS: Final = (
    "citations",
    "file_searches",
    "web_searches",
    "mcp_calls",
    "computer_calls",
    "code_calls",
    "image_calls",
    "reasoning",
    "logprobs",
    "choices",
    "other",
)
# Of one answer, together. Logprobs of a long answer can be larger than all the other answers of a batch.
EXTRAS_LIMIT_BYTES: Final = 1_000_000

_encode: Final = msgspec.json.Encoder().encode


def encoded_extras(extras: JsonObject) -> bytes | None:
    """A JSON object of what there is, None where there is nothing.

    Beyond the limit the largest members give way, each to {"omitted": why}; the answer's line in the spool has them still. The pictures
    of such a member are told all the same: what nobody tells of gets no file, and would be lost with the spool.
    """
    there = {name: value for name in EXTRAS if (value := extras.get(name))}
    if not there:
        return None
    members = {name: _encoded(name, value) for name, value in there.items()}
    sizes = {name: len(member) for name, member in members.items()}
    while sum(map(len, members.values())) > EXTRAS_LIMIT_BYTES:
        largest = max(members, key=lambda name: len(members[name]))
        # Once more where the pictures alone are too many: then without them.
        members[largest] = _omitted(f"{sizes[largest]:,} bytes", largest, there.pop(largest, None))
    return _encode({name: msgspec.Raw(member) for name, member in members.items()})


def _encoded(name: str, value: Json) -> bytes:
    try:
        return _encode(value)
    except RecursionError:
        return _omitted("nested too deep", name, value)


def _omitted(why: str, name: str, value: Json) -> bytes:
    told = told_beside(value) if name in PICTURED else ()
    images = {image["sha256"]: image for image in told if "sha256" in image}
    return _encode({"omitted": why} | ({"images": list(images.values())} if images else {}))


def kept(found: JsonObject, *names: str) -> JsonObject:
    """The members of `found` that have one of these names and are not null."""
    return {name: value for name in names if (value := found.get(name)) is not None}


def url_citation(found: JsonObject, shift: int) -> JsonObject:
    """A page that the text cites; `shift` is where the part that its offsets count in begins in the whole text."""
    return _cited("url", kept(found, "url", "title"), found, shift)


def container_citation(found: JsonObject, shift: int) -> JsonObject:
    """A file that a tool made, cited like a page."""
    return _cited(
        "container_file", kept(found, "container_id", "file_id", "filename"), found, shift
    )


def file_citation(found: JsonObject, shift: int) -> JsonObject:  # noqa: ARG001 (the table's)
    """A file that was searched. `index` is the service's own: it counts what it counts, so it is not shifted."""
    return {"type": "file", **kept(found, "file_id", "filename", "index")}


def file_path(found: JsonObject, shift: int) -> JsonObject:  # noqa: ARG001 (the table's)
    """The path of a file that a tool made."""
    return {"type": "file_path", **kept(found, "file_id", "index")}


def _cited(kind: str, members: JsonObject, found: JsonObject, shift: int) -> JsonObject:
    cited: JsonObject = {"type": kind, **members}
    for name, given in (("start", "start_index"), ("end", "end_index")):
        if (at := whole(found.get(given))) is not None:
            cited[name] = at + shift
    return cited


def tokens_told(logprobs: Json) -> list[JsonObject]:
    """Logprobs of tokens, without the bytes of those whose text is all of them."""
    told = []
    for entry in objects(logprobs):
        token = _token(entry)
        if top := [_token(other) for other in objects(entry.get("top_logprobs"))]:
            token["top_logprobs"] = top
        told.append(token)
    return told


def _token(entry: JsonObject) -> JsonObject:
    token = kept(entry, "token", "logprob", "bytes")
    text = as_text(token.get("token"))
    if text is not None and token.get("bytes") == list(text.encode()):
        del token["bytes"]
    return token
