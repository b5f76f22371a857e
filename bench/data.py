"""Deterministic data for the bench: items of about 500 bytes with ids of 12 characters, and result lines for their requests.

Shaped like the real thing where that costs something: a word in a dozen or so is not ASCII, holds a quote or a line break, or ends in a
colon, so that strings must be unescaped and escaped again and counting colons proves nothing by itself; a result line
has every key that /v1/responses writes; one in a hundred is a refusal (HTTP 400). Floors and ours read the same files.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_SPICE: Final = (
    "naïve", "résumé", "€5", "日本語", '"quoted"', "line\nbreak", "note:", "10:30", "https://example.org/a?b=c", "{x}", "C:\\temp", "—",
)  # fmt: skip
_SPICE_SHARE: Final = 0.02  # of words: one or two a text
PROMPT: Final = "Title: {{ title }}\nClassify the following text into one label.\n\n{{ text }}\n"
INSTRUCTIONS: Final = "You are a careful classifier. Answer with one word."
ITEM_BYTES: Final = 500
_REFUSED_EVERY: Final = 100
LABELS: Final = ("praise", "complaint", "question", "other")
SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": list(LABELS)},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "why": {"type": "string"},
    },
    "required": ["label", "score", "why"],
    "additionalProperties": False,
}


def write_items(path: Path, count: int) -> None:
    """`count` item lines of about `ITEM_BYTES` each."""
    texts = _texts(random.Random(count), 997, ITEM_BYTES - 75)
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            item = {
                "id": f"item-{n:07d}",
                "title": f"Entry {n:07d}",
                "text": f"{n} {texts[n % 997]}",
            }
            file.write(_json(item) + "\n")


def write_job(path: Path, items: Path, *, schema: dict[str, object] | None = None) -> None:
    """The job file over them."""
    line: dict[str, object] = {
        "job": "bench",
        "model": "gpt-5-mini",
        "instructions": INSTRUCTIONS,
        "prompt": PROMPT,
        "max_output_tokens": 2_000,
        "items": str(items),
    }
    if schema is not None:
        line["schema"] = schema
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")


def custom_ids(request_file: Path) -> Iterator[str]:
    """The custom_ids of a request file, in its order."""
    with request_file.open("rb") as file:
        for line in file:
            yield line[14 : line.index(b'"', 14)].decode("ascii")


def structured_answers(count: int, answer_bytes: int) -> list[str]:
    """Texts of JSON that fit SCHEMA, of about `answer_bytes`."""
    texts = _texts(random.Random(count), count, answer_bytes - 60)
    return [
        _json({"label": LABELS[n % len(LABELS)], "score": n / 1_000, "why": text})
        for n, text in enumerate(texts)
    ]


def write_results(
    path: Path, ids: list[str], answer_bytes: int, seed: int, *, is_structured: bool = False
) -> None:
    """An output file of /v1/responses: shuffled, one line a request, answers of about `answer_bytes`.

    `is_structured`: they are JSON that fits SCHEMA, and every second one cites two pages.
    """
    rng = random.Random(seed)
    rng.shuffle(ids)
    answers = (
        structured_answers(499, answer_bytes) if is_structured else _texts(rng, 499, answer_bytes)
    )
    with path.open("w", encoding="utf-8") as file:
        for n, custom_id in enumerate(ids):
            refused = n % _REFUSED_EVERY == _REFUSED_EVERY - 1
            cited = _CITATIONS if is_structured and n % 2 else []
            body = _REFUSAL if refused else _response(n, answers[n % 499], cited)
            line = {
                "id": f"batch_req_{n:032x}",
                "custom_id": custom_id,
                "response": {
                    "status_code": 400 if refused else 200,
                    "request_id": f"{n:032x}",
                    "body": body,
                },
                "error": None,
            }
            file.write(_json(line) + "\n")


def _texts(rng: random.Random, count: int, size: int) -> list[str]:
    """Texts of made-up words, `size` bytes of JSON each, give or take a word."""
    words = ["".join(rng.choices(_LETTERS, k=rng.randint(2, 10))) for _ in range(3_000)]
    texts = []
    for _ in range(count):
        taken, length = [], 0
        while length < size:
            word = rng.choice(_SPICE if rng.random() < _SPICE_SHARE else words)
            taken.append(word)
            length += len(_json(word).encode()) - 1
        texts.append(" ".join(taken))
    return texts


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_REFUSAL: Final = {
    "error": {
        "message": "Invalid 'input': the text was rejected.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "invalid_value",
    }
}


_CITATIONS: Final[list[object]] = [
    {
        "type": "url_citation",
        "start_index": start,
        "end_index": start + 20,
        "url": f"https://example.org/pages/{start}?utm_source=openai",
        "title": "A page about what was asked",
    }
    for start in (40, 160)
]


def _response(n: int, text: str, cited: list[object]) -> dict[str, object]:
    """Every key that the service writes, in its order (OpenAI's API reference, the Response object)."""
    return {
        "id": f"resp_{n:048x}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "background": False,
        "billing": {"payer": "developer"},
        "completed_at": 1_790_000_009,
        "error": None,
        "incomplete_details": None,
        "instructions": INSTRUCTIONS,
        "max_output_tokens": 2_000,
        "max_tool_calls": None,
        "model": "gpt-5-mini-2025-08-07",
        "output": [
            {"id": f"rs_{n:048x}", "type": "reasoning", "summary": []},
            {
                "id": f"msg_{n:048x}",
                "type": "message",
                "status": "completed",
                "content": [
                    {"type": "output_text", "annotations": cited, "logprobs": [], "text": text}
                ],
                "role": "assistant",
            },
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": "medium", "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 150 + n % 50,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 200 + n % 90,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 350 + n % 50 + n % 90,
        },
        "user": None,
        "metadata": {},
    }
