"""The backend for OpenAI and for servers that speak its Batch API: the nine calls of `base.py` through the official SDK.

The SDK signs, encodes and sends; it does not retry (it would send a create twice), follow redirects (the key would go along) or build
models (they hide what is missing). Answers are read in `reading.py`, errors translated in `openai_errors.py`, crawling connections cut
in `openai_http.py`. Only the `openai*.py` files here know the SDK, and they import it when the first call is made.
"""

import json
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchrun.attachments.kinds import MEDIA
from batchrun.backends.accounts import account_of, key_of
from batchrun.backends.base import (
    TERMINAL_STATUSES,
    BatchPage,
    FilePage,
    RemoteBatch,
    RemoteFile,
    Traits,
)
from batchrun.backends.credentials import host_of, is_loopback
from batchrun.backends.openai_content import CHUNK_BYTES, Content, write_content
from batchrun.backends.openai_errors import Call, Server, translated
from batchrun.backends.reading import (
    UnreadableError,
    read_batch,
    read_date,
    read_deleted,
    read_file,
    read_file_page,
    read_page,
    reported_bytes,
)
from batchrun.clock import Clock
from batchrun.errors import LedgerError, NotFound, Refused, Transient
from batchrun.model import Account, Json, Limits
from batchrun.profiles import Profile, without_batches

if TYPE_CHECKING:
    from openai import OpenAI

_UPLOAD = Call(name="POST /files", on_id=False)
_GET_FILE = Call(name="GET /files/{id}")
_DELETE_FILE = Call(name="DELETE /files/{id}")
_LIST_FILES = Call(name="GET /files", on_id=False)
_CONTENT = Call(name="GET /files/{id}/content")
_CREATE = Call(name="POST /batches", on_id=False, costs_money=True)
_RETRIEVE = Call(name="GET /batches/{id}")
_CANCEL = Call(name="POST /batches/{id}/cancel")
_LIST = Call(name="GET /batches", on_id=False)

_INFLATION_LIMIT = 4  # a compressed answer may not grow to more than this many times the size that the service gives


class OpenAIBackend:
    """`Backend` over HTTP. Makes each call once; `RetryingBackend` repeats the safe ones."""

    def __init__(self, profile: Profile, *, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._host = host_of(profile.base_url)
        self._clients: dict[bool, OpenAI] = {}

    def __repr__(self) -> str:
        return f"OpenAIBackend({self._profile.base_url!r})"

    @property
    def traits(self) -> Traits:
        """As the profile says."""
        return self._profile.traits

    @property
    def limits(self) -> Limits:
        """As the profile says."""
        return self._profile.limits

    def account(self, salt: bytes) -> Account:
        """As profile and key give it."""
        return account_of(self._profile, salt)

    def upload(
        self, path: Path, *, name: str, expires_after_s: int | None, purpose: str = "batch"
    ) -> RemoteFile:
        """POST /files. Raises Transient where the server counts other bytes than the disk, LedgerError where the disk fails."""
        files = self._client().files.with_raw_response
        options: dict[str, Any] = {}
        if expires_after_s is not None:
            options["expires_after"] = {"anchor": "created_at", "seconds": expires_after_s}
        try:
            with path.open("rb") as opened, self._call(_UPLOAD):
                size = os.fstat(opened.fileno()).st_size
                # An open file is streamed; the SDK would read a Path whole.
                part = (name, opened, MEDIA.get(path.suffix.removeprefix("."), "application/jsonl"))
                # Purpose is a free string, as endpoints are: the types of the SDK know only OpenAI's.
                options["purpose"] = self._purpose(purpose)
                answer = _decoded(files.create(file=part, **options).content)
                file, counted = read_file(answer), reported_bytes(answer)
        except OSError as error:
            raise LedgerError(f"{path}: cannot be read for upload: {error.strerror}.") from error
        if counted is not None and counted != size:
            raise Transient(
                f"{self._host} counts {counted:,} bytes in the uploaded file {file.id!r}, but {path} has {size:,}: "
                "the upload was cut short."
            )
        return file

    def get_file(self, file_id: str) -> RemoteFile:
        """GET /files/{id}."""
        files = self._client().files.with_raw_response
        with self._call(_GET_FILE):
            return read_file(_decoded(files.retrieve(file_id).content))

    def delete_file(self, file_id: str) -> bool:
        """DELETE /files/{id}; True only if the service answered `deleted: true`."""
        files = self._client().files.with_raw_response
        with self._call(_DELETE_FILE):
            return read_deleted(_decoded(files.delete(file_id).content))

    def list_files(self, *, after: str | None, limit: int, purpose: str = "batch") -> FilePage:
        """GET /files of one purpose, newest first, `limit` 1..10000."""
        files = self._client().files.with_raw_response
        options: dict[str, Any] = {} if after is None else {"after": after}
        with self._call(_LIST_FILES):
            answer = files.list(
                purpose=self._purpose(purpose), limit=limit, order="desc", **options
            )
            return read_file_page(_decoded(answer.content), limit=limit)

    def download(self, file_id: str, path: Path) -> int:
        """GET /files/{id}/content into the new file `path`; returns its bytes.

        Whole is what has as many bytes as the service says. Less is Transient. More, or no count and no final newline, is fetched
        once more and accepted if it comes out the same: a server with wrong counts must not cost the user the answers.
        """
        expected = self.get_file(file_id).bytes
        content = self._fetch(file_id, path, expected)
        if content.is_whole(expected):
            return content.size
        path.unlink()
        if content.size > expected and self._fetch(file_id, path, expected) == content:
            return content.size
        path.unlink(missing_ok=True)
        said = f"{expected:,} were announced" if expected else "the last line is cut"
        raise Transient(
            f"{self._host} sent {content.size:,} bytes of file {file_id!r}, but {said}: the download is not whole."
        )

    def create(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str]
    ) -> RemoteBatch:
        """POST /batches, once, on a connection of its own.

        A kept connection that the server has just closed would look like a lost answer, and cost an hour of waiting for a proof.
        """
        # Endpoint and window are free strings: the types of the SDK know only OpenAI's.
        wanted: Any = {"endpoint": endpoint, "completion_window": window}
        batches = self._client(keep_alive=False).batches.with_raw_response
        with self._call(_CREATE):
            answer = batches.create(input_file_id=input_file_id, metadata=metadata, **wanted)
            batch = read_batch(_decoded(answer.content))
            if batch.input_file_id not in {None, input_file_id}:
                raise UnreadableError(f"a batch of another input file, {batch.input_file_id!r}")
            return batch

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """GET /batches/{id}."""
        batches = self._client().batches.with_raw_response
        with self._call(_RETRIEVE):
            return read_batch(_decoded(batches.retrieve(batch_id).content))

    def cancel(self, batch_id: str) -> RemoteBatch:
        """POST /batches/{id}/cancel; where that is refused because the batch has ended, the batch as it is."""
        batches = self._client().batches.with_raw_response
        try:
            with self._call(_CANCEL):
                return read_batch(_decoded(batches.cancel(batch_id).content))
        except NotFound:
            raise
        except (Refused, Transient) as refusal:
            if refusal.status not in {400, 409, 422}:
                raise
            batch = self.retrieve(batch_id)
            if batch.status in TERMINAL_STATUSES or batch.status == "cancelling":
                return batch
            raise

    def list_batches(self, *, after: str | None, limit: int) -> BatchPage:
        """GET /batches, newest first, `limit` 1..100."""
        batches = self._client().batches.with_raw_response
        options: dict[str, Any] = {} if after is None else {"after": after}
        with self._call(_LIST):
            answer = batches.list(limit=limit, **options)
            server_time = read_date(answer.headers.get("date"))
            return read_page(_decoded(answer.content), limit=limit, server_time=server_time)

    def work(
        self,
        seconds: float,  # noqa: ARG002  # the contract's names
        *,
        resting: frozenset[str] = frozenset(),  # noqa: ARG002
        goes_on: bool = False,  # noqa: ARG002
    ) -> int | None:
        """Nothing runs in this process."""
        return None

    def close(self) -> None:
        """Close the connections."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _purpose(self, purpose: str) -> str:
        """What the server calls it."""
        return self._profile.file_purpose if purpose == "batch" else purpose

    def _fetch(self, file_id: str, path: Path, expected: int) -> Content:
        with closing(self._chunks(file_id, expected)) as chunks:
            return write_content(chunks, path)

    def _chunks(self, file_id: str, expected: int) -> Generator[bytes, None, None]:
        """The content as it comes. A page of HTML and a bomb end it with Transient."""
        files = self._client().files.with_streaming_response
        with self._call(_CONTENT), files.content(file_id) as answer:
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise UnreadableError("a page of HTML instead of the file")
            is_compressed = answer.headers.get("content-encoding", "identity") != "identity"
            most = _INFLATION_LIMIT * expected + CHUNK_BYTES
            received = 0
            for chunk in answer.iter_bytes(CHUNK_BYTES):
                received += len(chunk)
                if is_compressed and received > most:
                    raise UnreadableError(f"a compressed file that grows beyond {most:,} bytes")
                yield chunk

    def _call(self, call: Call) -> AbstractContextManager[None]:
        """Translate what one call raises."""
        server = Server(
            host=self._host,
            key_source=self._profile.key.describe(),
            refusals_final=self._profile.traits.refusals_final,
            secrets=(self._profile.key.reveal(),),
            without_batches=without_batches(self._profile),
        )
        return translated(call, server, now=self._clock.now())

    def _client(self, *, keep_alive: bool = True) -> "OpenAI":
        """The SDK's client, made on first use."""
        if keep_alive not in self._clients:
            from openai import OpenAI

            from batchrun.backends.openai_http import http_client

            key, is_local = key_of(self._profile), is_loopback(self._profile.base_url)
            client = OpenAI(
                api_key=key,
                base_url=self._profile.base_url,
                max_retries=0,
                default_headers={"Accept-Encoding": "identity"},
                http_client=http_client(self._clock, keep_alive=keep_alive, trust_env=not is_local),
            )
            # Given as None these would come from the environment, even for a profile of another server.
            client.organization = self._profile.organization or None
            client.project = self._profile.project or None
            self._clients[keep_alive] = client
        return self._clients[keep_alive]


def _decoded(body: bytes) -> Json:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        start = body[:200].decode("utf-8", "replace")
        raise UnreadableError(f"not JSON: {start}" if start else "an empty body") from None
