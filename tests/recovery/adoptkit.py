"""Batches that other programs make at the far end, without batchrun, and their adoption."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runnerkit import World

from batchrun.model import JsonObject
from batchrun.recovery.adopting import AdoptOptions
from batchrun.recovery.found import Adopted

ENDPOINT = "/v1/responses"


def line(name: str, text: str | None = None, **changes: Any) -> JsonObject:
    """A line of a ready Batch file, as a script of somebody's would write it."""
    body = {"model": "gpt-5-mini", "input": text or f"about {name}", "max_output_tokens": 100}
    return {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body, **changes}


def lines(*names: str) -> list[JsonObject]:
    return [line(name) for name in names]


def write(path: Path, rows: Iterable[JsonObject | str]) -> Path:
    """A ready Batch file, with the spaces that `json.dumps` puts in."""
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def made_elsewhere(
    world: World,
    rows: Sequence[JsonObject | str],
    *,
    serve: bool = True,
    endpoint: str = ENDPOINT,
    **metadata: str,
) -> str:
    """The id of a batch that another program has made of these lines; it has ended, if the service may `serve`."""
    path = write(world.folder / "theirs.jsonl", rows)
    file = world.embedded.upload(path, name="theirs.jsonl", expires_after_s=None)
    batch = world.embedded.create(
        input_file_id=file.id, endpoint=endpoint, window="24h", metadata=metadata
    )
    world.clock.advance(5)
    if serve:
        world.serve()
    return batch.id


def adopt(world: World, *ids: str, job: str = "theirs", inputs: Sequence[Path] = ()) -> Adopted:
    """`batchrun adopt IDS --job JOB`."""
    return world.api().adopt(ids, AdoptOptions(job=job, inputs=tuple(inputs), backend="openai"))


def became(adopted: Adopted) -> list[str]:
    return [str(batch.became) for batch in adopted.batches]


def untouched(world: World) -> bool:
    """Whether the ledger is as if nobody had tried."""
    tables = ("jobs", "item_rows", "batch_rows", "request_files", "submissions", "strays")
    return not any(world.rows(f"select 1 from {table}") for table in tables) and not list(
        world.home.requests.iterdir()
    )
