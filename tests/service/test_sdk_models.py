"""What the service sends is what the official SDK's own models take, field by field: every endpoint, every kind of answer, script and model.

Extra fields fail, missing ones fail, and so does what would be turned into something else. (Vectors in base64 are not here: the SDK unpacks them
before its model; test_openai_sdk.py asks for them.)
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from llama_fakes import install_fake
from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ErrorObject,
    ImagesResponse,
    ModerationCreateResponse,
    Video,
)
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from batchrun.endpoints.schemas import label_schema
from batchrun.model import Json, JsonObject
from batchrun.service.bodies import (
    CHAT,
    COMPLETIONS,
    EDITS,
    EMBEDDINGS,
    GENERATIONS,
    MODERATIONS,
    RESPONSES,
    VIDEOS,
    Finish,
)
from batchrun.service.options import ENDPOINTS
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.llama import LlamaResponder
from batchrun.service.responders.script import Rule, ScriptedCall
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock

MODELS: Final[dict[str, type[BaseModel]]] = {
    RESPONSES: Response,
    CHAT: ChatCompletion,
    EMBEDDINGS: CreateEmbeddingResponse,
    COMPLETIONS: Completion,
    MODERATIONS: ModerationCreateResponse,
    GENERATIONS: ImagesResponse,
    EDITS: ImagesResponse,
    VIDEOS: Video,
}
FUNCTION: Final[JsonObject] = {"name": "weather", "parameters": {"type": "object"}}
SCHEMA: Final[JsonObject] = {"type": "object", "properties": {"n": {"type": "integer"}}}
LABELS: Final = label_schema(("good", "bad"))
CALLS: Final = Rule(calls=(ScriptedCall(name="weather"), ScriptedCall(name="clock")))
MESSAGES: Final[Json] = [{"role": "user", "content": "hello there"}]
REFERENCE: Final[JsonObject] = {"image_url": "https://images.example/a.png"}


class Case(NamedTuple):
    """A kind of answer, and the request that gets it; `rule` is what a script says to it, `is_local` whether the local model gives it."""

    kind: str
    url: str
    body: JsonObject
    rule: Rule = Rule()
    is_local: bool = False


def _format(url: str, schema: JsonObject | None) -> JsonObject:
    if schema is None:
        form: JsonObject = {"type": "json_object"}
        return {"text": {"format": form}} if url == RESPONSES else {"response_format": form}
    named = {"name": "x", "schema": schema}
    if url == RESPONSES:
        return {"text": {"format": {"type": "json_schema", **named}}}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _conversing(url: str) -> Iterator[Case]:
    """Cases that /v1/responses and /v1/chat/completions have in common."""
    said: JsonObject = {"input": "hello there"} if url == RESPONSES else {"messages": MESSAGES}
    cap = "max_output_tokens" if url == RESPONSES else "max_completion_tokens"
    tool = FUNCTION if url == RESPONSES else {"function": FUNCTION}
    tools: JsonObject = {"tools": [{"type": "function", **tool}], "tool_choice": "required"}
    yield Case("text", url, said, is_local=True)
    yield Case("cut", url, {**said, cap: 1}, is_local=True)
    yield Case("json", url, said | _format(url, SCHEMA), is_local=True)
    yield Case("json-object", url, said | _format(url, None), is_local=True)
    yield Case("label", url, said | _format(url, LABELS), is_local=True)
    yield Case("call", url, said | tools, is_local=True)
    yield Case("cut-call", url, {**said, **tools, cap: 6}, is_local=True)
    yield Case("calls", url, said | tools, CALLS)
    yield Case("refusal", url, said, Rule(reply="No.", finish=Finish.REFUSAL))
    yield Case("filtered", url, said, Rule(reply="So", finish=Finish.CONTENT_FILTER))


CASES: Final = [
    *_conversing(RESPONSES),
    Case("failed", RESPONSES, {"input": "x"}, Rule(finish=Finish.FAILED, reply="It broke.")),
    Case(
        "settings",
        RESPONSES,
        {
            "input": [
                *MESSAGES,
                {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "Rain."},
            ],
            "instructions": "Be short.",
            "metadata": {"job": "faq"},
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "low"},
            "temperature": 0,
            "service_tier": "auto",
            "truncation": "auto",
            "store": False,
            "tools": [{"type": "function", "name": "weather"}],
            "tool_choice": "auto",
        },
        is_local=True,
    ),
    Case("hosted tools", RESPONSES, {"input": "x", "tools": [{"type": "web_search"}]}),
    *_conversing(CHAT),
    Case("vector", EMBEDDINGS, {"input": "a"}, is_local=True),
    Case("vectors", EMBEDDINGS, {"input": ["a", "b"], "dimensions": 1}, is_local=True),
    Case("text", COMPLETIONS, {"prompt": "Once upon"}, is_local=True),
    Case("cut", COMPLETIONS, {"prompt": "Once upon", "max_tokens": 1}, is_local=True),
    Case("harmless", MODERATIONS, {"input": "hello"}),
    Case("flagged", MODERATIONS, {"input": ["a", "b"]}, Rule(label="violence")),
    Case("images", GENERATIONS, {"prompt": "a cat", "n": 2, "output_format": "gif"}),
    Case("images", EDITS, {"prompt": "a red cat", "images": [REFERENCE]}),
    Case("made", VIDEOS, {"prompt": "a cat that runs"}),
    Case("failed", VIDEOS, {"prompt": "a cat"}, Rule(finish=Finish.FAILED)),
]


def _name(case: Case) -> str:
    return f"{case.url.removeprefix('/v1/')} {case.kind}"


def foreign_keys(value: Any) -> list[str]:
    """Keys that a model was given and does not know, at any depth."""
    if isinstance(value, list):
        return [key for inner in value for key in foreign_keys(inner)]
    if not isinstance(value, BaseModel):
        return []
    fields = [getattr(value, name) for name in type(value).model_fields]
    return [*(value.model_extra or ()), *foreign_keys(fields)]


def held(model: type[BaseModel], body: Json) -> None:
    found = model.model_validate(body)
    assert foreign_keys(found) == []
    assert found.model_dump(mode="json", by_alias=True, exclude_unset=True) == body


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_what_a_script_sends_is_what_the_sdks_model_takes(case: Case) -> None:
    responder = ScriptedResponder([case.rule], clock=ManualClock())
    reply = responder.respond(case.url, {"model": "sora-2", **case.body}, custom_id="1-1-a")
    assert reply.status_code == 200
    held(MODELS[case.url], reply.body)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaResponder]:
    """The local model's responder, with a fake engine: one process for all."""
    with pytest.MonkeyPatch.context() as patched:
        one = LlamaResponder(install_fake(tmp_path_factory.mktemp("fake"), patched))
        yield one
        one.close()


@pytest.mark.parametrize("case", [case for case in CASES if case.is_local], ids=_name)
def test_what_the_local_model_sends_is_what_the_sdks_model_takes(
    local: LlamaResponder, case: Case
) -> None:
    reply = local.respond(case.url, {"model": "m", **case.body}, custom_id=None)
    assert reply.status_code == 200
    held(MODELS[case.url], reply.body)


@pytest.mark.parametrize(
    "case",
    [
        *(case for case in CASES if case.url in (MODERATIONS, GENERATIONS, EDITS, VIDEOS)),
        *(case for case in CASES if case.kind == "hosted tools"),
        Case("image", CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        Case("tokens", EMBEDDINGS, {"input": [[1, 2]]}),
    ],
    ids=_name,
)
def test_what_the_local_model_cannot_do_is_an_error_as_the_sdk_knows_it(case: Case) -> None:
    with pytest.raises(ServiceError) as refused:
        LlamaResponder(Path("none.gguf")).respond(
            case.url, {"model": "m", **case.body}, custom_id="1-1-a"
        )
    assert refused.value.status == 400
    error = refused.value.body["error"]
    held(ErrorObject, error)
    assert error["type"] == "invalid_request_error"
    assert error["param"]


def test_every_endpoint_is_here() -> None:
    assert {case.url for case in CASES} == MODELS.keys() == set(ENDPOINTS)
