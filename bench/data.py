"""Deterministic data for the bench: items of about 500 bytes with ids of 12 characters, and result lines for their requests."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

WORDS = (
    "the batch ledger keeps every answer and each request is written once before anything is sent so that a night "
    "which ends badly can be read in the morning like a book with numbered pages and no chapter missing from it"
).split()
PROMPT = "Title: {{ title }}\nClassify the following text into one label.\n\n{{ text }}\n"
INSTRUCTIONS = "You are a careful classifier. Answer with one word."
ITEM_BYTES = 500


def write_items(path: Path, count: int) -> None:
    """`count` item lines."""
    rng = random.Random(count)
    texts = [" ".join(rng.choices(WORDS, k=80)) for _ in range(997)]
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            text = f"{n:07d} {texts[n % 997]}"[: ITEM_BYTES - 75]
            file.write(
                json.dumps({"id": f"item-{n:07d}", "title": f"Entry {n:07d}", "text": text}) + "\n"
            )


def write_job(path: Path, items: Path) -> None:
    """The job file over them."""
    line = {
        "job": "bench",
        "model": "gpt-5-mini",
        "instructions": INSTRUCTIONS,
        "prompt": PROMPT,
        "max_output_tokens": 2_000,
        "items": str(items),
    }
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")


def custom_ids(request_file: Path) -> Iterator[str]:
    """The custom_ids of a request file, in its order."""
    with request_file.open("rb") as file:
        for line in file:
            yield line[14 : line.index(b'"', 14)].decode("ascii")


def write_results(path: Path, ids: list[str], answer_bytes: int, seed: int) -> None:
    """An output file of /v1/responses as the service writes it: shuffled, one line a request, answers of `answer_bytes`."""
    rng = random.Random(seed)
    rng.shuffle(ids)
    answers = [
        (" ".join(rng.choices(WORDS, k=answer_bytes // 4)))[:answer_bytes].ljust(answer_bytes, ".")
        for _ in range(499)
    ]
    with path.open("w", encoding="utf-8") as file:
        for n, custom_id in enumerate(ids):
            file.write(json.dumps(_line(n, custom_id, answers[n % 499]), separators=(",", ":")) + "\n")


def _line(n: int, custom_id: str, text: str) -> dict[str, object]:
    body = {
        "id": f"resp_{n:032x}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": 2_000,
        "model": "gpt-5-mini-2025-08-07",
        "output": [
            {"id": f"rs_{n:032x}", "type": "reasoning", "summary": []},
            {
                "id": f"msg_{n:032x}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            },
        ],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 120,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 150,
            "output_tokens_details": {"reasoning_tokens": 20},
            "total_tokens": 270,
        },
    }
    return {
        "id": f"batch_req_{n:032x}",
        "custom_id": custom_id,
        "response": {"status_code": 200, "request_id": f"{n:032x}", "body": body},
        "error": None,
    }
