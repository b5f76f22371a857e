"""`GET /truth`: what was really executed and billed, for harnesses and rehearsals on this machine."""

import asyncio
import json
from typing import Any

import pytest
from faultkit import KEY, connected, truth
from servicekit import Desk, OpenDesk, request

from batchrun.service.http import create_app
from batchrun.service.responders.script import Rule


async def asked_from(desk: Desk, host: str) -> tuple[int, Any]:
    """(status, JSON) for a caller at this address; no socket can pretend to be elsewhere."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/truth",
        "root_path": "",
        "query_string": b"",
        "client": (host, 40_000),
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
    }
    await create_app(desk.service, KEY)(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 404), ("2001:db8::1", 404)],
)
def test_only_this_machine_is_told(desk: Desk, host: str, status: int) -> None:
    answered, body = asyncio.run(asked_from(desk, host))
    assert answered == status
    assert ("batches" in body) is (status == 200)


def test_every_batch_is_there_with_its_usage_and_every_execution(open_desk: OpenDesk) -> None:
    desk = open_desk(script=[Rule(prompt="bad", status=400)])
    one = desk.create(request("a"), request("b", "bad"))
    desk.work()
    other = desk.create(request("a"))
    desk.work()
    desk.service.cancel_batch(waiting := desk.create(request("c")))
    with connected(desk) as client:
        told = truth(client)
    assert told.keys() == {"batches", "charges"}
    assert [batch["id"] for batch in told["batches"]] == [one, other, waiting]
    assert [batch["status"] for batch in told["batches"]] == [
        *("completed", "completed", "cancelling")
    ]
    assert told["charges"] == {"a": 2, "b": 1}
    assert [batch["usage"]["total_tokens"] > 0 for batch in told["batches"]] == [True, True, False]
    assert told["batches"] == [desk.batch(batch_id) for batch_id in (one, other, waiting)]
