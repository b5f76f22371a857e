"""Embeddings for the bench: a ledger of answered items, and its outputs, as a job of /v1/embeddings leaves them."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from batchrun.ledger.connection import open_ledger
from batchrun.ledger.home import Home

FLOATS: Final = 1_536  # of text-embedding-3-small
_VECTORS: Final = 97  # different ones, taken in turn
_ROWS: Final = 1_000  # a transaction
_AT: Final = 1_790_000_000


def make_embeddings(folder: Path, count: int) -> dict[str, object]:
    """Not timed: `count` items of one job, each with a vector of about 20 KB of digits."""
    import msgspec

    from batchrun.model import JobSettings, OutputSettings

    settings = JobSettings(
        name="shelf",
        path="shelf.jsonl",
        line=1,
        endpoint="/v1/embeddings",
        output=OutputSettings(parquet=True, npy=True),
    )
    texts = list(_texts())
    with open_ledger(Home(folder / ".batchrun"), create=True) as ledger:
        with ledger.transaction():
            ledger.execute("insert into models values (1, 'text-embedding-3-small')")
            ledger.execute(
                "insert into jobs (id, name, profile, source, settings, outputs, submission, created_at) values (1, 'shelf', 'openai', ?, ?, ?, 1, ?)",
                (
                    settings.path,
                    msgspec.json.encode(settings).decode(),
                    str(folder / "outputs"),
                    _AT,
                ),
            )
            ledger.execute(
                "insert into submissions (id, job, state, at, first_item) values (1, 1, 1, ?, 1)",
                (_AT,),
            )
            ledger.execute("insert into item_counts values (1, 2, 0, ?)", (count,))
        for start in range(0, count, _ROWS):
            numbers = range(start, min(count, start + _ROWS))
            with ledger.transaction():
                ledger.executemany(
                    "insert into item_rows (id, job, key, state) values (?, 1, ?, 2)",
                    ((n + 1, f"item-{n:07d}") for n in numbers),
                )
                ledger.executemany(
                    "insert into result_rows (item, batch, send, attempts, at, outcome, output, finish, input_tokens, cached_tokens, "
                    "output_tokens, reasoning_tokens, model) values (?, 1, 1, 1, ?, 0, ?, 'stop', 100, 0, 0, 0, 1)",
                    ((n + 1, _AT, texts[n % _VECTORS]) for n in numbers),
                )
        ledger.connection.execute("pragma wal_checkpoint(truncate)")
    return {"items": count}


def write_parquet(folder: Path, count: int) -> dict[str, object]:
    """The job's `results.parquet`."""
    from batchrun.outputs.disk import put
    from batchrun.outputs.results import stream_results

    with open_ledger(Home(folder / ".batchrun")) as ledger:
        entry = put(folder / "results.parquet", stream_results(ledger, 1, format="parquet"))
    return {"items": count, "bytes_an_item": entry.bytes // count}


def write_npy(folder: Path, count: int) -> dict[str, object]:
    """The job's `embeddings.npy` and the ids beside it."""
    from batchrun.outputs.disk import put
    from batchrun.outputs.npy import embedding_files
    from batchrun.outputs.rows import job_view, snapshot

    with open_ledger(Home(folder / ".batchrun")) as ledger, snapshot(ledger):
        files = embedding_files(ledger, job_view(ledger, 1))
        sizes = [put(folder / name, blocks).bytes for name, blocks in files]
    return {"items": count, "bytes_an_item": sizes[0] // count}


def _texts() -> Iterator[str]:
    rng = random.Random(FLOATS)
    for _ in range(_VECTORS):
        yield "[" + ",".join(f"{rng.gauss(0, 0.0255):.8g}" for _ in range(FLOATS)) + "]"
