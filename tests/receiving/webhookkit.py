"""Events as OpenAI sends and signs them: HMAC-SHA256 over id, time and body, under a secret in base64."""

import base64
import hashlib
import hmac
import http.client
import json
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from batchrun.model import Json
from batchrun.receiving.inbox import Inbox

KEY: Final = b"twenty-four bytes or so."
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()


def event(remote_id: Json, kind: Json = "batch.completed") -> bytes:
    """The body of an event; OpenAI's have spaces and newlines of their own."""
    data = {"id": remote_id}
    told = {"id": "evt_1", "object": "event", "created_at": 1, "type": kind, "data": data}
    return json.dumps(told, indent=1).encode()


def signed(
    body: bytes, event_id: str = "wh_1", *, age_s: int = 0, key: bytes = KEY
) -> dict[str, str]:
    """The headers of an event that was sent `age_s` ago."""
    at = str(int(time.time()) - age_s)
    mac = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,none v1,{base64.b64encode(mac).decode()}",
    }


def post(url: str, body: bytes, headers: dict[str, str], *, method: str = "POST") -> int:
    """The status that answers it."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        connection.request(method, "/hooks/openai", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@dataclass
class Receiver:
    """A server that receives, and what it holds for the next pass."""

    url: str
    inbox: Inbox

    def send(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        return post(self.url, body, signed(body) if headers is None else headers)
