"""What the tests of the service share: request lines, a service on a manual clock, and short ways to ask it."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batchrun.model import JsonObject, Limits
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.service import open_service
from batchrun.service.options import Options
from batchrun.service.responders.base import Responder
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import Script, ScriptedResponder
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock

RESPONSES: Final = "/v1/responses"
FAR_S = 1_000_000.0  # seconds of work: more than any test has
HOUR_S = 3_600
DAY_S = 86_400


def request(custom_id: str, text: str = "hello", **changes: Any) -> JsonObject:
    """One request line for /v1/responses; `changes` replace its keys."""
    body = {"model": "gpt-5-mini", "input": text}
    line = {"custom_id": custom_id, "method": "POST", "url": RESPONSES, "body": body}
    return {**line, **changes}


def jsonl(*lines: JsonObject) -> bytes:
    """The bytes of an input file."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@dataclass
class Desk:
    """A service in `data`, its clock, and a client's usual moves. Opening it again is another process going on."""

    data: Path
    clock: ManualClock = field(default_factory=ManualClock)
    script: Script | list[Rule] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)
    responder: Responder | None = None
    faults: list[Fault] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self.service = self.open()

    def open(self) -> BatchService:
        """A service over the same folder."""
        responder = self.responder or ScriptedResponder(self.script, clock=self.clock)
        return open_service(
            self.data,
            responder,
            self.clock,
            script=FaultScript(self.faults, seed=self.seed) if self.faults else None,
            limits=self.limits,
            options=self.options,
        )

    def reopen(self) -> None:
        """Close the service and open it again."""
        self.service.close()
        self.service = self.open()

    def upload(self, content: bytes, **changes: Any) -> str:
        """The id of a new file."""
        arguments = {"filename": "input.jsonl", "purpose": "batch", **changes}
        file_id: str = self.service.create_file(io.BytesIO(content), **arguments)["id"]
        return file_id

    def create(self, *lines: JsonObject, **changes: Any) -> str:
        """The id of a new batch of these lines; `changes` are parameters of the create."""
        return self.create_raw(jsonl(*lines), **changes)

    def create_raw(self, content: bytes, **changes: Any) -> str:
        """The id of a new batch of these bytes."""
        params = {"endpoint": RESPONSES, "completion_window": "24h", **changes}
        batch_id: str = self.service.create_batch(
            {"input_file_id": self.upload(content), **params}
        )["id"]
        return batch_id

    def work(self) -> bool:
        """All work that is due."""
        return self.service.work(FAR_S)

    def batch(self, batch_id: str) -> JsonObject:
        """The batch object."""
        return self.service.get_batch(batch_id)

    def status(self, batch_id: str) -> str:
        """The status of a batch."""
        status: str = self.batch(batch_id)["status"]
        return status

    def lines(self, file_id: str | None) -> list[JsonObject]:
        """The lines of a result file; none where there is no file."""
        if file_id is None:
            return []
        with self.service.open_content(file_id) as source:
            return [json.loads(line) for line in source]

    def outputs(self, batch_id: str) -> list[str]:
        """The custom_ids of the output file, in its order."""
        return [line["custom_id"] for line in self.lines(self.batch(batch_id)["output_file_id"])]

    def errors(self, batch_id: str) -> list[JsonObject]:
        """The lines of the error file."""
        return self.lines(self.batch(batch_id)["error_file_id"])


OpenDesk = Callable[..., Desk]
