"""/v1/chat/completions: what most compatible servers speak."""

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

# OpenAI's words, then those of servers that have their own.
_FINISH_OF_REASON = {
    "length": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "safety": Finish.CONTENT_FILTER,
}


class ChatCompletions(Endpoint):
    """Builds a system and a user message; reads the first choice."""

    url: ClassVar = "/v1/chat/completions"
    structured_key: ClassVar = "response_format"
    required: ClassVar = ("model", "messages")
    synonyms: ClassVar = {
        "input": "messages",
        "prompt": "messages",
        "instructions": "messages",
        "system": "messages",
        "max_output_tokens": "max_completion_tokens",
        "text": "response_format",
        "reasoning": "reasoning_effort",
    }

    def shape(self, settings: JobSettings, *, prompt: Json, instructions: str | None) -> JsonObject:
        """See Endpoint. A prompt is the user's message; an array of messages with roles is the conversation itself.

        Instructions go first, with the role `system`: every compatible server knows it, and OpenAI reads it as `developer`.
        """
        given = list(objects(prompt))
        is_conversation = bool(given) and all("role" in message for message in given)
        messages = given if is_conversation else [{"role": "user", "content": prompt}]
        if instructions is not None:
            messages.insert(0, {"role": "system", "content": instructions})
        shaped: JsonObject = {"messages": messages}
        if settings.max_output_tokens is not None:
            shaped["max_completion_tokens"] = settings.max_output_tokens
        if (schema := schema_of(settings)) is not None:
            shaped["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": schema_name(settings), "strict": True, "schema": schema},
            }
        return shaped

    def doubts(self, body: JsonObject) -> tuple[str, ...]:
        """Choices beyond the first are paid for and not read."""
        count = body.get("n")
        if isinstance(count, int) and count > 1:
            return (f"'n' is {count}: every choice is paid for, only the first one is kept.",)
        return ()

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint."""
        choices = list(objects(body.get("choices")))
        choice = next(
            (one for one in choices if one.get("index") == 0), choices[0] if choices else {}
        )
        message = as_object(choice.get("message"))
        calls = tuple(_tool_calls(message))
        refusal = as_text(message.get("refusal"))
        reason = as_word(choice.get("finish_reason"))
        error, detail = error_of(body.get("error")) or error_of(choice.get("error")), None
        if (finish := _FINISH_OF_REASON.get(reason)) is not None:
            detail = f"the answer ended with {reason!r}"
        elif refusal is not None:
            finish = Finish.REFUSAL
        else:
            finish = Finish.TOOL_CALLS if calls else Finish.STOP
        if reason == "error":
            error = error or ServiceError(message="the answer ended with 'error'")
        return Answer(
            finish=finish,
            text=_text(message.get("content")),
            refusal=refusal,
            tool_calls=calls,
            error=error,
            detail=detail,
            usage=usage_of(body, given="prompt", made="completion"),
            model=as_text(body.get("model")),
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:
        """See Endpoint. Takes one choice that stopped by itself, with text and nothing else."""
        decode = msgspec.json.Decoder(Line[_Body]).decode
        succeeded, stop = Outcome.SUCCEEDED, Finish.STOP  # looking up an enum's member is not free

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            response = result.response
            body = response.body
            if len(body.choices) != 1:
                return None
            message = body.choices[0].message
            text = message.content
            if not text or text.isspace() or message.tool_calls:
                return None
            if isinstance(output := interpret(text), Mismatch):
                return None
            usage = body.usage
            given, made = usage.prompt_tokens_details, usage.completion_tokens_details
            return Reading(
                result.custom_id,
                succeeded,
                None,
                None,
                output,
                None,
                stop,
                usage.prompt_tokens,
                0 if given is None else given.cached_tokens,
                usage.completion_tokens,
                0 if made is None else made.reasoning_tokens,
                body.model or None,
                response.request_id or None,
            )

        return read


def _text(content: Json) -> str | None:
    """A message's text: a string, or (some servers) an array of text parts."""
    if isinstance(content, list):
        return (
            "".join(filter(None, (as_text(part.get("text")) for part in objects(content)))) or None
        )
    return as_text(content)


def _tool_calls(message: JsonObject) -> Iterator[JsonObject]:
    """The calls in a message, in order; a legacy `function_call` is one without an id."""
    calls = list(objects(message.get("tool_calls")))
    if legacy := as_object(message.get("function_call")):
        calls.append({"function": legacy})
    for call in calls:
        custom = as_object(call.get("custom"))
        function = custom or as_object(call.get("function"))
        made = custom.get("input") if custom else arguments(function.get("arguments"))
        yield {"name": function.get("name"), "arguments": made, "call_id": call.get("id")}


# What the fast path takes; see fast.py.


class _Message(msgspec.Struct, gc=False):
    content: str
    refusal: Literal[""] | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Literal["stop"]
    message: _Message
    error: None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Tokens
    completion_tokens: Tokens
    prompt_tokens_details: GivenDetails | None = None
    completion_tokens_details: MadeDetails | None = None


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice]
    usage: _Usage
    model: str | None = None
    error: None = None
