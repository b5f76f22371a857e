"""/v1/responses: the default endpoint."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import msgspec

from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, Reading, ServiceError
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.fast import GivenDetails, Line, MadeDetails, Tokens
from batchrun.endpoints.schemas import schema_name, schema_of
from batchrun.endpoints.tolerant import (
    arguments,
    as_object,
    as_text,
    as_word,
    error_of,
    objects,
    usage_of,
)
from batchrun.model import JobSettings, Json, JsonObject
from batchrun.planning.classify import Outcome

_FINISH_OF_REASON = {
    "max_output_tokens": Finish.LENGTH,
    "max_messages": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
}


class Responses(Endpoint):
    """Builds `input` and `instructions`; reads the messages and tool calls in `output`."""

    url: ClassVar = "/v1/responses"
    structured_key: ClassVar = "text"
    required: ClassVar = ("model",)
    synonyms: ClassVar = {
        "messages": "input",
        "system": "instructions",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "response_format": "text",
        "verbosity": "text",
        "reasoning_effort": "reasoning",
        "functions": "tools",
    }

    def shape(self, settings: JobSettings, *, prompt: Json, instructions: str | None) -> JsonObject:
        """See Endpoint."""
        shaped: JsonObject = {}
        if instructions is not None:
            shaped["instructions"] = instructions
        shaped["input"] = prompt
        if settings.max_output_tokens is not None:
            shaped["max_output_tokens"] = settings.max_output_tokens
        if (schema := schema_of(settings)) is not None:
            shaped["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": schema_name(settings),
                    "strict": True,
                    "schema": schema,
                }
            }
        return shaped

    def doubts(self, body: JsonObject) -> tuple[str, ...]:
        """Tools that the service runs itself are not documented for batches."""
        kinds = {as_word(tool.get("type")) for tool in objects(body.get("tools"))}
        return tuple(
            f"tool {kind!r} is run by the service, which need not do that in a batch: "
            "try a few items first."
            for kind in sorted(kinds - {"function", "custom"})
        )

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint. Text is what the SDK calls `output_text`; where messages have phases, only the final answer's."""
        messages = [item for item in objects(body.get("output")) if item.get("type") == "message"]
        final = [message for message in messages if message.get("phase") == "final_answer"]
        parts = [part for message in final or messages for part in objects(message.get("content"))]
        texts = [as_text(part.get("text")) for part in parts if part.get("type") == "output_text"]
        refusals = [as_text(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
        calls = tuple(_tool_calls(body))
        status = as_word(body.get("status"))
        finish = Finish.TOOL_CALLS if calls else Finish.STOP
        error, detail = error_of(body.get("error")), None
        if any(refusals):
            finish = Finish.REFUSAL
        if status == "incomplete":
            reason = as_word(as_object(body.get("incomplete_details")).get("reason"))
            finish = _FINISH_OF_REASON.get(reason, Finish.NONE)
            detail = f"the response is incomplete: {reason or 'no reason given'}"
            if finish is Finish.NONE:
                error = error or ServiceError(message=detail)
        elif status not in {"", "completed"}:
            error = error or ServiceError(message=f"the response came back as {status!r}")
        return Answer(
            finish=finish,
            text="".join(filter(None, texts)) or None,
            refusal="".join(filter(None, refusals)) or None,
            tool_calls=calls,
            error=error,
            detail=detail,
            usage=usage_of(body, given="input", made="output"),
            model=as_text(body.get("model")),
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:
        """See Endpoint. Takes a completed response with one message of one text, and reasoning; nothing else."""
        decode = msgspec.json.Decoder(Line[_Body]).decode
        succeeded, stop = Outcome.SUCCEEDED, Finish.STOP  # looking up an enum's member is not free

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            response = result.response
            body = response.body
            text = None
            for item in body.output:
                if item.type == "message":
                    if text is not None or item.content is None or len(item.content) != 1:
                        return None
                    part = item.content[0]
                    if part.type != "output_text":
                        return None
                    text = part.text
                elif item.type != "reasoning":
                    return None
            if not text or text.isspace() or isinstance(output := interpret(text), Mismatch):
                return None
            usage = body.usage
            given, made = usage.input_tokens_details, usage.output_tokens_details
            return Reading(
                result.custom_id,
                succeeded,
                None,
                None,
                output,
                None,
                stop,
                usage.input_tokens,
                0 if given is None else given.cached_tokens,
                usage.output_tokens,
                0 if made is None else made.reasoning_tokens,
                body.model or None,
                response.request_id or None,
            )

        return read


def _tool_calls(body: JsonObject) -> Iterator[JsonObject]:
    """Calls that the caller is meant to make, in order; those that the service made itself are not among them."""
    for item in objects(body.get("output")):
        if item.get("type") == "function_call":
            made = arguments(item.get("arguments"))
        elif item.get("type") == "custom_tool_call":
            made = item.get("input")
        else:
            continue
        yield {"name": item.get("name"), "arguments": made, "call_id": item.get("call_id")}


# What the fast path takes; see fast.py.


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Item(msgspec.Struct, gc=False):
    type: str
    content: list[_Part] | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: Tokens
    output_tokens: Tokens
    input_tokens_details: GivenDetails | None = None
    output_tokens_details: MadeDetails | None = None


class _Body(msgspec.Struct, gc=False):
    status: Literal["completed"]
    output: list[_Item]
    usage: _Usage
    model: str | None = None
    error: None = None
