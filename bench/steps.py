"""What the bench times, each in a process of its own: `python -m bench.steps STEP FOLDER COUNT` prints one JSON object.

Floors do the least that could pass for the same work, with the fastest library for each part: parse, render, encode, write; nothing is
checked, hashed or remembered. Ours are the product's own functions.
"""

import importlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson

from bench import embeddings, estimating
from bench.data import (
    INSTRUCTIONS,
    PROMPT,
    SCHEMA,
    custom_ids,
    structured_answers,
    write_results,
)

_CHUNK = 50_000


def prepare_floor(folder: Path, count: int) -> dict[str, object]:
    """Parse with orjson, render by joining strings, encode the whole request with orjson, write."""
    del count
    head, middle, tail = PROMPT.replace("{{ title }}", "\0").replace("{{ text }}", "\0").split("\0")
    loads, dumps = orjson.loads, orjson.dumps
    written = 0
    with (folder / "items.jsonl").open("rb") as source:
        file = (folder / "floor-0.jsonl").open("wb", 1 << 20)
        for n, line in enumerate(source):
            item = loads(line)
            text = "".join((head, item["title"], middle, item["text"], tail))
            file.write(
                dumps(
                    {
                        "custom_id": f"{n + 1}-1",
                        "method": "POST",
                        "url": "/v1/responses",
                        "body": {
                            "model": "gpt-5-mini",
                            "instructions": INSTRUCTIONS,
                            "input": text,
                            "max_output_tokens": 2_000,
                        },
                    },
                    option=orjson.OPT_APPEND_NEWLINE,
                )
            )
            written += 1
            if written % _CHUNK == 0:
                file.close()
                file = (folder / f"floor-{written}.jsonl").open("wb", 1 << 20)
        file.close()
    return {"items": written}


def prepare_ours(folder: Path, count: int) -> dict[str, object]:
    """batchrun's own PREPARE: every check, request files, item rows, id index, durable."""
    from batchrun.jobfile import load
    from batchrun.ledger.connection import open_ledger
    from batchrun.ledger.home import Home
    from batchrun.model import Limits
    from batchrun.prepare import prepare
    from batchrun.takingitems import SubmitOptions

    settings = load(folder / "job.jsonl").jobs[0].settings
    assert settings is not None
    home = Home(folder / ".batchrun")
    with open_ledger(home, create=True) as ledger:
        tally = prepare(
            ledger,
            settings,
            profile="openai",
            outputs=str(folder / "outputs"),
            limits=Limits(),
            at=1_790_000_000,
            options=SubmitOptions(),
        )
        assert tally.new == count
        ledger.connection.execute("pragma wal_checkpoint(truncate)")
    return {"ledger_bytes_an_item": round(home.database.stat().st_size / count, 1)}


def prepare_second(folder: Path, count: int) -> dict[str, object]:
    """The same into a home that has a job already: a job's number costs a byte or two an item, but for the first one's."""
    from batchrun.jobfile import load
    from batchrun.ledger.connection import open_ledger
    from batchrun.ledger.home import Home
    from batchrun.model import Limits
    from batchrun.prepare import prepare
    from batchrun.takingitems import SubmitOptions

    first = folder / "first.jsonl"
    first.write_text('{"job": "first", "model": "m", "prompt": "{{ x }}"}\n{"id": "a", "x": "y"}\n')
    settings = load(first).jobs[0].settings
    assert settings is not None
    with open_ledger(Home(folder / ".batchrun"), create=True) as ledger:
        prepare(
            ledger,
            settings,
            profile="openai",
            outputs=str(folder / "outputs"),
            limits=Limits(),
            at=1_790_000_000,
            options=SubmitOptions(),
        )
    return prepare_ours(folder, count)


def make_results(
    folder: Path, count: int, answer_bytes: int = 600, *, is_structured: bool = False
) -> dict[str, object]:
    """Not timed: batches that have ended, with their output files in the spool."""
    from batchrun.ledger.batches import move_batch
    from batchrun.ledger.connection import open_ledger
    from batchrun.ledger.home import Home
    from batchrun.ledger.states import BatchEvent, BatchState
    from batchrun.running.form import form_from_file

    home, at = Home(folder / ".batchrun"), 1_790_000_000
    with open_ledger(home) as ledger:
        files = [row["id"] for row in ledger.rows("select id from request_files order by id")]
        for file in files:
            batch = form_from_file(ledger, file, at)
            assert batch is not None
            state = BatchState.PLANNED
            with ledger.transaction():
                for event in (
                    BatchEvent.UPLOADED,
                    BatchEvent.INTENT,
                    BatchEvent.CREATED,
                    BatchEvent.ENDED,
                ):
                    state = move_batch(ledger, batch, before=state, event=event, at=at)
            ids = list(custom_ids(home.request_file(file)))
            path = home.result_file(batch, 0)
            write_results(path, ids, answer_bytes, file, is_structured=is_structured)
        ledger.connection.execute("pragma wal_checkpoint(truncate)")
    return {"items": count}


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Output(msgspec.Struct, gc=False):
    type: str
    content: list[_Part] | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int = 0
    output_tokens: int = 0


class _Body(msgspec.Struct, gc=False):
    output: list[_Output] | None = None
    usage: _Usage | None = None


class _Response(msgspec.Struct, gc=False):
    status_code: int
    body: _Body


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    response: _Response | None = None


def collect_floor(folder: Path, count: int) -> dict[str, object]:
    """Typed parse, encode id, text and usage, write, in the order of arrival; no ledger."""
    decode, dumps = msgspec.json.Decoder(_Line).decode, orjson.dumps
    seen = 0
    with (folder / "floor-results.jsonl").open("wb", 1 << 20) as out:
        for path in sorted((folder / ".batchrun" / "spool" / "results").iterdir()):
            with path.open("rb") as source:
                for line in source:
                    result = decode(line)
                    seen += 1
                    response = result.response
                    if response is None or response.status_code != 200:
                        continue
                    body = response.body
                    assert body.output is not None
                    assert body.usage is not None
                    content = body.output[-1].content
                    assert content is not None
                    out.write(
                        dumps(
                            {
                                "id": result.custom_id,
                                "text": content[0].text,
                                "usage": {
                                    "in": body.usage.input_tokens,
                                    "out": body.usage.output_tokens,
                                },
                            },
                            option=orjson.OPT_APPEND_NEWLINE,
                        )
                    )
    assert seen == count
    return {"items": seen}


def collect_ours(folder: Path, count: int) -> dict[str, object]:
    """batchrun's own COLLECT: settle every attempt in the ledger, then results.jsonl in input order, durable."""
    from batchrun.ledger.connection import open_ledger
    from batchrun.ledger.home import Home
    from batchrun.ledger.spool import written
    from batchrun.ledger.states import BatchEvent
    from batchrun.outputs.results import stream_results
    from batchrun.planning.classify import Outcome
    from batchrun.running.collect import collect

    home, settled = Home(folder / ".batchrun"), 0
    with open_ledger(home) as ledger:
        for row in list(ledger.rows("select * from batch_rows order by id")):
            done = collect(
                ledger,
                row,
                [(0, home.result_file(row["id"], 0))],
                missing=(Outcome.FAILED, "missing_result", "no result"),
                event=BatchEvent.COLLECTED,
                at=1_790_000_000,
            )
            settled += sum(done.moved.values())
        middle = time.process_time()
        (folder / "outputs").mkdir(exist_ok=True)
        with written(folder / "outputs" / "results.jsonl") as file:
            for piece in stream_results(ledger, 1, format="jsonl"):
                file.write(piece)
    assert settled == count
    return {"results_cpu_s": round(time.process_time() - middle, 2)}


def validate(folder: Path, count: int) -> dict[str, object]:
    """Texts of JSON parsed, held to the schema and encoded, as COLLECT does it; nothing else."""
    del folder
    from batchrun.endpoints.answer import Mismatch
    from batchrun.endpoints.values import interpreter
    from batchrun.model import JobSettings

    texts = structured_answers(499, 600)
    interpret = interpreter(JobSettings(name="bench", path="", line=1, schema=SCHEMA))
    began = time.process_time()
    outputs = [interpret(texts[n % 499]) for n in range(count)]
    spent = time.process_time() - began
    assert not any(isinstance(output, Mismatch) for output in outputs)
    return {"us_an_item": round(1e6 * spent / count, 2)}


STEPS: dict[str, Callable[[Path, int], dict[str, object]]] = {
    "prepare-floor": prepare_floor,
    "prepare": prepare_ours,
    "prepare-second": prepare_second,
    "prepare-aside": estimating.prepare_aside,
    "estimate": estimating.estimate,
    "make-results": make_results,
    "make-results-2k": lambda folder, count: make_results(folder, count, 2_000),
    "make-results-structured": lambda folder, count: make_results(
        folder, count, is_structured=True
    ),
    "validate": validate,
    "collect-floor": collect_floor,
    "collect": collect_ours,
    "make-embeddings": embeddings.make_embeddings,
    "embeddings-parquet": embeddings.write_parquet,
    "embeddings-npy": embeddings.write_npy,
}


def warm_up() -> None:
    """Load what the steps import, so that start-up is not counted as work: it is a figure of its own."""
    for name in ("prepare", "running.form", "running.collect", "outputs.results"):
        importlib.import_module(f"batchrun.{name}")
    from batchrun.endpoints import endpoint_of
    from batchrun.jobfile import load

    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.jsonl"
        job.write_text('{"job": "warm", "model": "m", "prompt": "{{ x }}"}\n{"x": "y"}\n')
        load(job)
        endpoint_of("/v1/responses")
        from batchrun.ledger.connection import open_ledger
        from batchrun.ledger.home import Home

        open_ledger(Home(Path(folder) / ".batchrun"), create=True).close()


def main() -> None:
    """Run one step and print its wall and CPU seconds, peak memory, and what it found."""
    warm_up()
    step, folder, count = STEPS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3])
    began = time.perf_counter()
    cpu = time.process_time()
    found = step(folder, count)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "wall_s": round(time.perf_counter() - began, 3),
                "cpu_s": round(time.process_time() - cpu, 3),
                "peak_mb": round(usage.ru_maxrss / 1024, 1),
                **found,
            }
        )
    )
    os._exit(0)


if __name__ == "__main__":
    main()
