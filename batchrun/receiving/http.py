"""The wire in front of the inbox: any POST is an event, of at most a few kilobytes. Nothing here decides anything."""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

BODY_LIMIT_BYTES: Final = 64_000  # an event of a batch takes 200


def create_app(take: Callable[[bytes, Mapping[str, str]], int]) -> ASGIApp:
    """The ASGI application. `take` gets body and headers (names in lower case) and returns the status that answers them."""

    async def receive(request: Request) -> Response:
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_LIMIT_BYTES:
                    return Response(status_code=413, headers={"connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(
            status_code=await run_in_threadpool(take, bytes(body), dict(request.headers))
        )

    return Starlette(routes=[Route("/{path:path}", receive, methods=["POST"])])
