"""The wire in front of the service: OpenAI's paths, parameters, headers and error objects, and nothing that decides anything.

Every answer is JSON or a file; also the refusals of the router, so that no client ever has to read HTML. Calls run in a thread pool:
the service is blocking, this layer is not.
"""

import hmac
import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from functools import partial
from typing import BinaryIO

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchrun.errors import BatchrunError
from batchrun.model import Json, JsonObject
from batchrun.service import streams
from batchrun.service.options import ENDPOINTS
from batchrun.service.refusals import ServiceError, error_body, missing, wrong_type
from batchrun.service.service import BatchService
from batchrun.service.store import new_id

BODY_LIMIT_BYTES = (
    64_000_000  # of one JSON request; a request line may hold 16 MB of text, and images
)
_FORM_OVERHEAD_BYTES = 1_000_000  # boundaries and fields around an uploaded file
_CHUNK_BYTES = 256 * 1024


def create_app(
    service: BatchService,
    api_key: str,
    *,
    more_keys: Iterable[str] = (),
    layer: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> ASGIApp:
    """The ASGI application: `/v1/files`, `/v1/batches`, `/v1/models` and the synchronous endpoints, for bearers of `api_key`.

    `more_keys` are accepted too. `layer` is put between the check of the key and everything else. `GET /truth` shows what was really
    executed and billed (`BatchService.truth`), to callers on this machine only.
    """
    front = _Front(service)
    routes = [
        Route("/truth", front.truth),
        Route("/v1/files", front.create_file, methods=["POST"]),
        Route("/v1/files", front.list_files),
        Route("/v1/files/{id}", front.get_file),
        Route("/v1/files/{id}", front.delete_file, methods=["DELETE"]),
        Route("/v1/files/{id}/content", front.content),
        Route("/v1/batches", front.create_batch, methods=["POST"]),
        Route("/v1/batches", front.list_batches),
        Route("/v1/batches/{id}", front.get_batch),
        Route("/v1/batches/{id}/cancel", front.cancel_batch, methods=["POST"]),
        Route("/v1/models", front.models),
        Route("/v1/models/{id:path}", front.model),
        *(Route(endpoint, front.respond, methods=["POST"]) for endpoint in ENDPOINTS),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            ServiceError: _refused,
            BatchrunError: _unavailable,
            HTTPException: _not_routed,
            Exception: _broken,
        },
    )
    return _Gate(layer(app), service, (api_key, *more_keys))


class _Front:
    """One method per path."""

    def __init__(self, service: BatchService) -> None:
        self._service = service

    async def truth(self, request: Request) -> Response:
        if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
            raise HTTPException(404)
        return await _json(self._service.truth)

    async def create_file(self, request: Request) -> Response:
        async with request.form(max_files=1, max_fields=16) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile):
                raise missing("file")
            if not isinstance(purpose, str):
                raise missing("purpose")
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            return await _json(
                partial(
                    self._service.create_file,
                    file.file,
                    filename=file.filename or "",
                    purpose=purpose,
                    expires_after=_expires_after(fields),
                )
            )

    async def list_files(self, request: Request) -> Response:
        query = request.query_params
        return await _json(
            partial(
                self._service.list_files,
                after=query.get("after"),
                limit=_limit(request, default=10_000),
                order=query.get("order", "desc"),
                purpose=query.get("purpose"),
            )
        )

    async def get_file(self, request: Request) -> Response:
        return await _json(partial(self._service.get_file, request.path_params["id"]))

    async def delete_file(self, request: Request) -> Response:
        return await _json(partial(self._service.delete_file, request.path_params["id"]))

    async def content(self, request: Request) -> Response:
        source = await run_in_threadpool(self._service.open_content, request.path_params["id"])
        return _Content(source)

    async def create_batch(self, request: Request) -> Response:
        params = await _object(request)
        return await _json(partial(self._service.create_batch, params))

    async def list_batches(self, request: Request) -> Response:
        after = request.query_params.get("after")
        limit = _limit(request, default=20)
        return await _json(partial(self._service.list_batches, after=after, limit=limit))

    async def get_batch(self, request: Request) -> Response:
        return await _json(partial(self._service.get_batch, request.path_params["id"]))

    async def cancel_batch(self, request: Request) -> Response:
        return await _json(partial(self._service.cancel_batch, request.path_params["id"]))

    async def models(self, _request: Request) -> Response:
        names = await run_in_threadpool(self._service.models)
        return _answer({"object": "list", "data": [_model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        name = request.path_params["id"]
        if name not in await run_in_threadpool(self._service.models):
            raise ServiceError(
                status=404,
                message=f"The model '{name}' does not exist.",
                code="model_not_found",
                param="model",
            )
        return _answer(_model(name))

    async def respond(self, request: Request) -> Response:
        url, body = request.url.path, await _object(request)
        is_streamed = streams.is_streamed(url, body)
        asked = streams.without_stream(body) if is_streamed else body
        reply = await run_in_threadpool(self._service.respond, url, asked)
        if is_streamed and reply.status_code == 200:
            events = streams.events_of(url, body, reply.body)
            return StreamingResponse(events, media_type="text/event-stream")
        return _answer(reply.body, status=reply.status_code)


class _Gate:
    """Before and after every call: the key, the size of the body, `Date` by the service's clock, and a request id."""

    def __init__(self, app: ASGIApp, service: BatchService, keys: Iterable[str]) -> None:
        self._app = app
        self._service = service
        self._bearers = [f"Bearer {key}".encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = new_id("req_")
        limit = BODY_LIMIT_BYTES
        if scope["path"] == "/v1/files":
            limit = self._service.options.upload_bytes + _FORM_OVERHEAD_BYTES
        received = 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        async def stamped_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["date"] = formatdate(self._service.clock.now(), usegmt=True)
                headers["x-request-id"] = request_id
            await send(message)

        refusal = self._refusal(dict(scope["headers"]), limit)
        if refusal is not None:
            await _drain(receive, limit)
            await _answer(refusal.body, status=refusal.status)(scope, receive, stamped_send)
        else:
            await self._app(scope, counted_receive, stamped_send)

    def _refusal(self, headers: dict[bytes, bytes], limit: int) -> ServiceError | None:
        bearer = headers.get(b"authorization", b"")
        if not any(hmac.compare_digest(bearer, known) for known in self._bearers):
            what = "Incorrect API key provided." if bearer else "You didn't provide an API key."
            return ServiceError(status=401, message=what, code="invalid_api_key")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            return _too_large(limit)
        return None


async def _drain(receive: Receive, limit: int) -> None:
    """Read a body that nobody wants, up to a limit: a client that is cut off while it sends never sees the refusal."""
    while limit > 0:
        message = await receive()
        if not message.get("more_body", False):
            return
        limit -= len(message["body"])


class _Content(StreamingResponse):
    """A file, streamed; closed whatever becomes of the connection."""

    def __init__(self, source: BinaryIO) -> None:
        size = os.fstat(source.fileno()).st_size
        super().__init__(
            _chunks(source),
            media_type="application/octet-stream",
            headers={"content-length": str(size)},
        )
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._source.close()


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


async def _object(request: Request) -> JsonObject:
    try:
        body = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body of the request is not valid JSON: {error}."
        raise ServiceError(status=400, message=message) from error
    if not isinstance(body, dict):
        raise wrong_type("body", "an object", body)
    return body


def _limit(request: Request, *, default: int) -> int:
    text = request.query_params.get("limit")
    if text is None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise wrong_type("limit", "an integer", text) from error


def _expires_after(fields: dict[str, str]) -> Json:
    """The policy as forms spell it: `expires_after[anchor]` and `expires_after[seconds]`."""
    policy: JsonObject = {}
    for name in ("anchor", "seconds"):
        if (text := fields.get(f"expires_after[{name}]")) is not None:
            policy[name] = int(text) if name == "seconds" and text.isdecimal() else text
    return policy or None


def _model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 0, "owned_by": "batchrun"}


def _too_large(limit: int) -> ServiceError:
    message = f"The request is too large: the limit is {limit} bytes."
    return ServiceError(status=413, message=message, code="request_too_large")


async def _json(call: Callable[[], JsonObject]) -> Response:
    return _answer(await run_in_threadpool(call))


def _answer(body: JsonObject, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _answer(error.body, status=error.status)


async def _unavailable(_request: Request, error: Exception) -> Response:
    """The disk or the responder: not the client's fault, and worth another try."""
    return _answer(error_body(str(error), type="server_error"), status=503)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code in {404, 405}:
        message = f"Invalid URL ({request.method} {request.url.path})"
    return _answer(error_body(message, type="invalid_request_error"), status=error.status_code)


async def _broken(_request: Request, _error: Exception) -> Response:
    """A bug; Starlette raises it on, for the log of the server."""
    message = "The service had an error while processing the request."
    return _answer(error_body(message, type="server_error"), status=500)
