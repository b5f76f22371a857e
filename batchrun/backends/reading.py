"""Files and batches as other servers really show them, read into ours. Every deviation that batchrun forgives is forgiven here.

The SDK builds its models without validating anything, so a server's mistakes would surface far from their cause. These functions
take decoded JSON and return our values, or raise `UnreadableError` with the reason; they never guess an id, a status or an order.
What is forgiven, and for which server, is listed in docs/backends.md. Pure: no I/O, no clock, no SDK.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from batchrun.backends.base import BatchPage, FilePage, RemoteBatch, RemoteFile
from batchrun.model import Json, JsonObject

FOREIGN_TEXT_LIMIT = 500  # characters of a server's own words in one of our messages

_MILLISECONDS_FROM = (
    100_000_000_000  # seconds reach this in the year 5138, so a larger stamp counts milliseconds
)
_END_KEYS = ("completed_at", "failed_at", "expired_at", "cancelled_at")
_AMERICAN = {"canceled": "cancelled", "canceling": "cancelling"}
_KEY_LIKE = re.compile(r"\bsk-[A-Za-z0-9_\-*.…]{4,}|\bBearer\s+\S+")
# C0, DEL, C1, line and paragraph separators, and the characters that turn the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableError(ValueError):
    """A 2xx answer that is not what was asked for. The message says what is wrong with it."""


def read_batch(answer: Json) -> RemoteBatch:
    """One batch. Needs an id and a status; a missing `created_at` is 0 (a listing is stricter, see `read_page`)."""
    batch = _object(answer, "a batch")
    if isinstance(batch.get("job"), dict) and "status" not in batch:
        batch = batch["job"]
    status = batch.get("status")
    if not isinstance(status, str) or not status:
        raise UnreadableError("the batch has no status")
    status = printable(status.lower())
    counts = batch.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    return RemoteBatch(
        id=_id(batch, "batch"),
        status=_AMERICAN.get(status, status),
        input_file_id=_text(batch.get("input_file_id")),
        created_at=_seconds(batch.get("created_at")) or 0,
        output_file_id=_text(batch.get("output_file_id")),
        error_file_id=_text(batch.get("error_file_id")),
        in_progress_at=_seconds(batch.get("in_progress_at")),
        expires_at=_seconds(batch.get("expires_at")),
        ended_at=max(filter(None, (_seconds(batch.get(key)) for key in _END_KEYS)), default=None),
        endpoint=_endpoint(batch.get("endpoint")),
        window=_text(batch.get("completion_window")),
        total_count=_count(counts.get("total")) or 0,
        completed_count=_count(counts.get("completed")) or 0,
        failed_count=_count(counts.get("failed")) or 0,
        metadata=_metadata(batch.get("metadata")),
        errors=tuple(_errors(batch.get("errors") or batch.get("error"))),
        usage_total_tokens=_total_tokens(batch.get("usage")),
        raw=batch,
    )


def read_page(answer: Json, *, limit: int, server_time: int | None) -> BatchPage:
    """One page of a listing of at most `limit` batches.

    Stricter than `read_batch`: every batch needs a `created_at`, since a sweep that proves absence goes by it. Where `has_more` is
    missing, a full page means that there may be more.
    """
    batches = tuple(read_batch(entry) for entry in _listed(answer, "a list of batches"))
    for batch in batches:
        if not batch.created_at:
            raise UnreadableError(f"batch {printable(batch.id)!r} is listed without a 'created_at'")
    has_more = _has_more(answer, len(batches), limit)
    return BatchPage(batches=batches, has_more=has_more, server_time=server_time)


def read_file_page(answer: Json, *, limit: int) -> FilePage:
    """One page of a listing of at most `limit` files."""
    files = tuple(read_file(entry) for entry in _listed(answer, "a list of files"))
    return FilePage(files=files, has_more=_has_more(answer, len(files), limit))


def read_file(answer: Json) -> RemoteFile:
    """One file. `bytes` is 0 where the server does not say (see `reported_bytes`)."""
    file = _object(answer, "a file")
    return RemoteFile(
        id=_id(file, "file"),
        bytes=reported_bytes(file) or 0,
        created_at=_seconds(file.get("created_at")) or 0,
        filename=_text(file.get("filename")) or "",
    )


def reported_bytes(file: JsonObject) -> int | None:
    """The size that the server gives for a file, or None where it gives none."""
    return _count(file.get("bytes"))


def read_deleted(answer: Json) -> bool:
    """True only for `"deleted": true`: anything else is no proof that the file is gone."""
    return _object(answer, "an answer to a deletion").get("deleted") is True


def read_date(header: str | None) -> int | None:
    """An HTTP date as unix seconds, or None where there is none that can be read."""
    if not header:
        return None
    try:
        at = parsedate_to_datetime(header)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


_SECRET_LEAST = (
    6  # characters; blotting out a shorter word would hide half the message, and it is no key
)


def blotted(content: bytes, *, secrets: Iterable[str]) -> bytes:
    """A body with the keys that it repeats blotted out, and else as it is."""
    for secret in secrets:
        if len(secret) >= _SECRET_LEAST:
            content = content.replace(secret.encode(), b"***")
    return content


def printable(text: str, *, secrets: Iterable[str] = (), limit: int = FOREIGN_TEXT_LIMIT) -> str:
    """A server's own words, fit for a terminal and a log: keys blotted out, one line, controls escaped, at most `limit` characters."""
    for secret in secrets:
        if len(secret) >= _SECRET_LEAST:
            text = text.replace(secret, "***")
    text = _KEY_LIKE.sub("***", text)
    text = " ".join(text.split())
    text = _CONTROL.sub(_escaped, text)
    text = _LONE_SURROGATE.sub(_escaped, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _listed(answer: Json, what: str) -> list[Json]:
    listed = answer if isinstance(answer, list) else _object(answer, what).get("data")
    if listed is None and isinstance(answer, dict) and "data" in answer:
        listed = []  # Go servers write an empty list as null
    if not isinstance(listed, list):
        raise UnreadableError("the listing has no list under 'data'")
    return listed


def _has_more(answer: Json, count: int, limit: int) -> bool:
    said = answer.get("has_more") if isinstance(answer, dict) else None
    # An empty page may say so too: then the listing broke off, and is no proof that something is not there.
    return said if isinstance(said, bool) else count >= limit


def _object(answer: Json, what: str) -> JsonObject:
    if not isinstance(answer, dict):
        raise UnreadableError(f"the answer is not {what}: a JSON {type(answer).__name__}")
    return answer


def _id(answer: JsonObject, what: str) -> str:
    value = answer.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise UnreadableError(f"the {what} has no id")
    if _LONE_SURROGATE.search(value):
        raise UnreadableError(f"the {what} has an id that is no text: {printable(value)!r}")
    return value


def _text(value: Json) -> str | None:
    """null, "" and what is no text are None: a file id of "" must never become a path."""
    return value if isinstance(value, str) and value else None


def _endpoint(value: Json) -> str | None:
    """Azure's older API leaves out the version."""
    text = _text(value)
    is_bare = text is not None and text.startswith("/") and not text.startswith("/v1/")
    return f"/v1{text}" if is_bare else text


def _seconds(value: Json) -> int | None:
    """Unix seconds from an int, a float, digits in a string, milliseconds, or an ISO 8601 string; None for the rest."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            try:
                at = datetime.fromisoformat(text)
                value = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 < value < _MILLISECONDS_FROM * 1000:  # also refuses NaN and infinity
        return None
    return int(value / 1000 if value >= _MILLISECONDS_FROM else value)


def _count(value: Json) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:18])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _metadata(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: entry if isinstance(entry, str) else str(entry) for key, entry in value.items()}


def _errors(value: Json) -> Iterable[JsonObject]:
    """OpenAI nests {"data": [...]}; others give a list, one object, or plain text."""
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
    if isinstance(value, dict | str):
        value = [value] if value else []
    for entry in value if isinstance(value, list) else []:
        said = entry if isinstance(entry, dict) else {"message": entry}
        error = {
            key: None if said.get(key) is None else printable(str(said[key]))
            for key in ("code", "message", "line", "param")
        }
        if any(error.values()):
            yield error


def _total_tokens(value: Json) -> int:
    if not isinstance(value, dict):
        return 0
    total = _count(value.get("total_tokens"))
    if total is None:
        total = (_count(value.get("input_tokens")) or 0) + (_count(value.get("output_tokens")) or 0)
    return total
