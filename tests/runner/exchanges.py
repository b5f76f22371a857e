"""Requests as a job file's items write them, with the answers that a service gives: one of each kind, in as few words as show its shape."""

from dataclasses import dataclass, field
from typing import Final

from batchrun.model import Json, JsonObject, Usage
from batchrun.service.bodies import Finish, chat_body, completions_body, responses_body
from batchrun.service.responders.script import Rule
from batchrun.service.videos import video_body

USED: Final = Usage(
    input_tokens=36, cached_tokens=12, cache_write_tokens=7, output_tokens=9, reasoning_tokens=4
)
PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WEATHER: Final = {
    "type": "function",
    "name": "weather",
    "description": "The weather at a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["place", "unit"],
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """`asked` and `body` stand in an item; `answer` is the response body that comes back, None for what the service makes of the `rule`."""

    name: str
    asked: Json = "?"
    body: JsonObject = field(default_factory=dict)
    answer: JsonObject | None = None
    rule: Rule = field(default_factory=Rule)


def said(text: str, *annotations: JsonObject, **more: Json) -> JsonObject:
    part = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    return {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{**part, **more}],
    }


def responded(*output: JsonObject, **more: Json) -> JsonObject:
    whole = responses_body("m-1", "", usage=USED, created_at=1_741_476_542, ident="1")
    return {**whole, "output": list(output), **more}


def completed(message: JsonObject, **more: Json) -> JsonObject:
    whole = chat_body("m-1", "", usage=USED, created_at=1_741_476_542, ident="1")
    choice = {**whole["choices"][0], **more}
    return {**whole, "choices": [{**choice, "message": {"role": "assistant", **message}}]}


RESPONSES: Final = (
    Exchange(name="text", asked="A story?", answer=responded(said("Once."))),
    Exchange(
        name="image-in",
        asked=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is there?"},
                    {"type": "input_image", "image_url": "https://example.org/a.jpg"},
                ],
            }
        ],
        answer=responded(said("A path.")),
    ),
    Exchange(
        name="parts-in",
        asked=[
            {"type": "input_text", "text": "Sum up."},
            {"type": "input_file", "file_url": "https://example.org/d.pdf"},
        ],
        answer=responded(said("Short.")),
    ),
    Exchange(
        name="web-search",
        asked="News?",
        body={"tools": [{"type": "web_search_preview"}]},
        answer=responded(
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "news", "queries": ["news"]},
            },
            said(
                "Sun [1].",
                {
                    "type": "url_citation",
                    "start_index": 4,
                    "end_index": 7,
                    "url": "https://example.org/sun",
                    "title": "Sun",
                },
            ),
        ),
    ),
    Exchange(
        name="file-search",
        asked="Dragons?",
        body={
            "tools": [
                {
                    "type": "file_search",
                    "vector_store_ids": ["vs_1"],
                    "max_num_results": 20,
                    "filters": {
                        "type": "and",
                        "filters": [{"type": "gte", "key": "year", "value": 2020}],
                    },
                    "ranking_options": {"ranker": "auto", "score_threshold": 0.5},
                }
            ],
            "include": ["file_search_call.results"],
        },
        answer=responded(
            {
                "type": "file_search_call",
                "id": "fs_1",
                "status": "completed",
                "queries": ["dragons"],
                "results": [
                    {
                        "file_id": "file-1",
                        "filename": "d.pdf",
                        "score": 0.9,
                        "text": "Fire.",
                        "attributes": {},
                    }
                ],
            },
            said(
                "Fire.",
                {"type": "file_citation", "index": 4, "file_id": "file-1", "filename": "d.pdf"},
            ),
        ),
    ),
    Exchange(
        name="function-call",
        asked="Weather?",
        body={"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": False},
        answer=responded(
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "weather",
                "arguments": '{"place":"Boston","unit":"c"}',
                "status": "completed",
            }
        ),
    ),
    Exchange(
        name="reasoning",
        asked="How much wood?",
        body={"reasoning": {"effort": "high", "summary": "auto"}},
        answer=responded(
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "A woodchuck chucks."}],
            },
            said("Much."),
        ),
    ),
    Exchange(
        name="mcp",
        body={
            "tools": [
                {"type": "mcp", "server_label": "dice", "server_url": "https://example.org/sse"}
            ],
            "tool_choice": {"type": "mcp", "server_label": "dice"},
        },
        answer=responded(
            {
                "type": "mcp_list_tools",
                "id": "ml_1",
                "server_label": "dice",
                "tools": [{"name": "roll", "input_schema": {}}],
            },
            {
                "type": "mcp_call",
                "id": "mc_1",
                "server_label": "dice",
                "name": "roll",
                "arguments": '{"n":2}',
                "output": "7",
            },
            said("Seven."),
        ),
    ),
    Exchange(
        name="mcp-approval",
        answer=responded(
            {
                "type": "mcp_approval_request",
                "id": "ma_1",
                "server_label": "dice",
                "name": "roll",
                "arguments": "{}",
            }
        ),
    ),
    Exchange(
        name="computer",
        body={
            "tools": [
                {
                    "type": "computer_use_preview",
                    "display_width": 800,
                    "display_height": 600,
                    "environment": "browser",
                }
            ],
            "truncation": "auto",
        },
        answer=responded(
            {
                "type": "computer_call",
                "id": "cu_1",
                "call_id": "call_2",
                "status": "completed",
                "action": {"type": "click", "button": "left", "x": 1, "y": 2},
                "pending_safety_checks": [],
            }
        ),
    ),
    Exchange(
        name="code",
        body={"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        answer=responded(
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "container_id": "cntr_1",
                "code": "print(1)",
                "status": "completed",
                "outputs": [{"type": "logs", "logs": "1\n"}],
            },
            said(
                "See plot.",
                {
                    "type": "container_file_citation",
                    "container_id": "cntr_1",
                    "file_id": "cfile_1",
                    "filename": "plot.png",
                    "start_index": 4,
                    "end_index": 8,
                },
            ),
        ),
    ),
    Exchange(
        name="image-out",
        body={"tools": [{"type": "image_generation"}]},
        answer=responded(
            {
                "type": "image_generation_call",
                "id": "ig_1",
                "status": "completed",
                "result": PIXEL,
                "output_format": "png",
            }
        ),
    ),
    Exchange(
        name="custom-call",
        body={"tools": [{"type": "custom", "name": "code"}], "tool_choice": "required"},
        answer=responded(
            {"type": "custom_tool_call", "call_id": "call_3", "name": "code", "input": "x = 1"}
        ),
    ),
    Exchange(
        name="logprobs",
        body={"include": ["message.output_text.logprobs"], "top_logprobs": 1},
        answer=responded(
            said(
                "é",
                logprobs=[
                    {
                        "token": "é",
                        "logprob": -0.1,
                        "bytes": [195, 169],
                        "top_logprobs": [{"token": "é", "logprob": -0.1, "bytes": [195, 169]}],
                    }
                ],
            )
        ),
    ),
    Exchange(
        name="refusal",
        answer=responded({**said(""), "content": [{"type": "refusal", "refusal": "No."}]}),
    ),
    Exchange(
        name="cut",
        body={"max_output_tokens": 16},
        answer=responded(
            said("Once up"),
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
        ),
    ),
    Exchange(
        name="failed",
        answer=responded(
            status="failed", error={"code": "invalid_image_url", "message": "no such place"}
        ),
    ),
)

CHAT: Final = (
    Exchange(name="text", answer=completed({"content": "Once.", "refusal": None})),
    Exchange(
        name="tool-call",
        body={"tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]},
        answer=completed(
            {
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"place":"Boston"}'},
                    }
                ],
            },
            finish_reason="tool_calls",
        ),
    ),
    Exchange(
        name="citation",
        answer=completed(
            {
                "content": "Sun [1].",
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {
                            "start_index": 4,
                            "end_index": 7,
                            "url": "https://example.org/sun",
                            "title": "Sun",
                        },
                    }
                ],
            }
        ),
    ),
    Exchange(
        name="logprobs",
        body={"logprobs": True, "top_logprobs": 0},
        answer=completed(
            {"content": "a"},
            logprobs={
                "content": [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}],
                "refusal": None,
            },
        ),
    ),
    Exchange(
        name="choices",
        body={"n": 2},
        answer={
            **(one := completed({"content": "a"})),
            "choices": [
                one["choices"][0],
                {
                    "index": 1,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "b"},
                },
            ],
        },
    ),
    Exchange(name="refusal", answer=completed({"content": None, "refusal": "No."})),
    Exchange(name="cut", answer=completed({"content": "Once up"}, finish_reason="length")),
    Exchange(name="filtered", answer=completed({"content": "So"}, finish_reason="content_filter")),
)

EMBEDDINGS: Final = (
    Exchange(name="vector", asked="a", body={"dimensions": 2}),
    Exchange(name="vectors", asked=["a", "b"], body={"dimensions": 2}),
    Exchange(name="base64", asked="a", body={"dimensions": 1, "encoding_format": "base64"}),
)


def _continued(text: str, **more: Json) -> JsonObject:
    return completions_body("m-1", text, usage=USED, created_at=1_741_476_542, ident="1") | more


COMPLETIONS: Final = (
    Exchange(name="text", asked="Once", rule=Rule(reply=" upon a time")),
    Exchange(name="tokens-in", asked=[7, 11], rule=Rule(reply="a")),
    Exchange(name="cut", asked="Once", body={"max_tokens": 1}, rule=Rule(reply=" upon a time")),
    Exchange(name="filtered", rule=Rule(reply="So", finish=Finish.CONTENT_FILTER)),
    Exchange(
        name="logprobs",
        body={"logprobs": 1},
        answer=_continued(
            "",
            choices=[
                {
                    "index": 0,
                    "text": "a",
                    "finish_reason": "stop",
                    "logprobs": {
                        "tokens": ["a"],
                        "token_logprobs": [-0.1],
                        "top_logprobs": [{"a": -0.1}],
                        "text_offset": [0],
                    },
                }
            ],
        ),
    ),
    Exchange(
        name="choices",
        body={"n": 2},
        answer=_continued(
            "",
            choices=[
                {"index": number, "text": text, "finish_reason": "stop", "logprobs": None}
                for number, text in enumerate("ab")
            ],
        ),
    ),
)
MODERATIONS: Final = (
    Exchange(name="harmless", asked="a"),
    Exchange(name="flagged", asked="a", rule=Rule(label="violence")),
    Exchange(name="several", asked=["a", "b"], rule=Rule(json={"hate": 0.5, "sexual": 0.25})),
    Exchange(
        name="parts-in",
        asked=[
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        ],
    ),
)
GENERATIONS: Final = (
    Exchange(name="image", asked="A cat."),
    Exchange(name="images", asked="A cat.", body={"n": 2, "output_format": "gif"}),
    Exchange(name="drawn", asked="A cat.", body={"output_format": "svg", "quality": "low"}),
    Exchange(
        name="link",
        asked="A cat.",
        answer={
            "created": 1_741_476_542,
            "data": [{"url": "https://example.org/1.png", "revised_prompt": "A grey cat."}],
        },
    ),
)
EDITS: Final = (
    Exchange(
        name="image",
        asked="Grey.",
        body={
            "images": [
                {"image_url": "https://example.org/a.png"},
                {"image_url": "https://example.org/b.png"},
            ],
            "mask": {"image_url": "https://example.org/mask.png"},
        },
    ),
)
VIDEOS: Final = (
    Exchange(
        name="made",
        asked="A cat.",
        body={"seconds": "8", "size": "1280x720"},
        answer=video_body(
            {"model": "m-1", "prompt": "A cat.", "seconds": "8", "size": "1280x720"},
            ident="1",
            created_at=1_741_476_542,
        ),
    ),
    Exchange(
        name="failed",
        asked="A cat.",
        body={"input_reference": {"file_id": "file-1"}},
        rule=Rule(finish=Finish.FAILED, reply="No cats."),
    ),
)

#: All of it, by endpoint.
EXCHANGES: Final[dict[str, tuple[Exchange, ...]]] = {
    "/v1/responses": RESPONSES,
    "/v1/chat/completions": CHAT,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/completions": COMPLETIONS,
    "/v1/moderations": MODERATIONS,
    "/v1/images/generations": GENERATIONS,
    "/v1/images/edits": EDITS,
    "/v1/videos": VIDEOS,
}

#: What a job line asks for, with what comes back, where an endpoint has structured answers.
STRUCTURED: Final[dict[str, tuple[JsonObject, tuple[Exchange, ...]]]] = {
    "schema": (
        {
            "schema": {
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "required": ["n"],
                "additionalProperties": False,
            }
        },
        (
            Exchange(name="json", rule=Rule(json={"n": 1})),
            Exchange(name="another-json", rule=Rule(json={"n": "one"})),
            Exchange(name="no-json", rule=Rule(reply="one")),
        ),
    ),
    "labels": (
        {"labels": ["good", "bad"]},
        (
            Exchange(name="label", rule=Rule(label="bad")),
            Exchange(name="no-label", rule=Rule(reply="fine")),
        ),
    ),
}
