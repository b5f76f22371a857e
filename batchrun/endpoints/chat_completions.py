"""/v1/chat/completions: what most compatible servers speak."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import msgspec

from batchrun.attachments.kinds import Attachment, Kind, reference_to
from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, Reading, ServiceError
from batchrun.endpoints.asked import chat_faults
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.calling import ChatCalling
from batchrun.endpoints.choices import FINISH_OF_REASON, answer_of, count_doubts
from batchrun.endpoints.doubts import tier_doubts, undocumented
from batchrun.endpoints.extras import EXTRAS_LIMIT_BYTES, kept, tokens_told, url_citation
from batchrun.endpoints.fast import Line, Nothing, PlainBody, PromptUsage, success
from batchrun.endpoints.schemas import schema_name, schema_of
from batchrun.endpoints.tolerant import (
    arguments,
    as_object,
    as_text,
    as_word,
    error_of,
    objects,
)
from batchrun.model import JobSettings, Json, JsonObject

_encode = msgspec.json.Encoder().encode


class ChatCompletions(Endpoint):
    """Builds a system and a user message; reads the choices."""

    url: ClassVar = "/v1/chat/completions"
    prompt_key: ClassVar = "messages"
    carried_by: ClassVar = {
        "instructions": "messages",
        "max_output_tokens": "max_completion_tokens",
    }
    structured_key: ClassVar = "response_format"
    conversation_key: ClassVar = "messages"
    cap_keys: ClassVar = ("max_completion_tokens", "max_tokens")
    calling: ClassVar = ChatCalling()
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
    attach_key: ClassVar = "messages"
    # The SDK's types have a file id for files only.
    attachable: ClassVar = {
        Kind.IMAGE: False,
        Kind.PDF: True,
        Kind.TEXT: False,
        Kind.AUDIO: False,
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
                "json_schema": {
                    "name": schema_name(settings),
                    "strict": settings.strict,
                    "schema": schema,
                },
            }
        return shaped

    def attached(self, body: JsonObject, attachments: Sequence[Attachment]) -> JsonObject:
        """See Endpoint. The prompt is the last message."""
        *before, asked = body["messages"]
        text = {"type": "text", "text": asked["content"]}
        content = [text, *map(_attached_part, attachments)]
        return {**body, "messages": [*before, {**asked, "content": content}]}

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        return tuple(chat_faults(body))

    def doubts(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        return count_doubts(body) + tier_doubts(body) + undocumented(body, ("web_search_options",))

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint. The first choice is the answer; where there are several, all of them are in `choices`."""
        return answer_of(body, _read_choice)

    def fast_reader(self, interpret: Interpret) -> FastReader:
        """See Endpoint. Takes one choice that stopped by itself, with text and nothing else."""
        decode = msgspec.json.Decoder(Line[_Body]).decode

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            choices = result.response.body.choices
            if len(choices) != 1:
                return None
            message = choices[0].message
            text = message.content
            if not text or text.isspace() or isinstance(output := interpret(text), Mismatch):
                return None
            extras = None
            if reasoning := message.reasoning_content or message.reasoning:
                extras = _encode({"reasoning": reasoning})
                if len(extras) > EXTRAS_LIMIT_BYTES:
                    return None
            return success(result, output, extras)

        return read


def _attached_part(attachment: Attachment) -> JsonObject:
    if attachment.text is not None:
        return {"type": "text", "text": attachment.text}
    if attachment.content is None:
        return {"type": "image_url", "image_url": {"url": attachment.link}}
    reference = reference_to(attachment.content)
    if attachment.kind is Kind.PDF:
        return {"type": "file", "file": {"filename": attachment.name, "file_id": reference}}
    if attachment.kind is Kind.AUDIO:
        audio = {"data": reference, "format": attachment.content.form}
        return {"type": "input_audio", "input_audio": audio}
    return {"type": "image_url", "image_url": {"url": reference}}


def _read_choice(choice: JsonObject) -> Answer:
    message = as_object(choice.get("message"))
    calls = tuple(_tool_calls(message))
    refusal = as_text(message.get("refusal"))
    reason = as_word(choice.get("finish_reason"))
    error, detail = error_of(choice.get("error")), None
    if (finish := FINISH_OF_REASON.get(reason)) is not None:
        detail = f"the answer ended with {reason!r}"
    elif refusal is not None:
        finish = Finish.REFUSAL
    else:
        finish = Finish.TOOL_CALLS if calls else Finish.STOP
    if reason == "error":
        error = error or ServiceError(message="the answer ended with 'error'")
    audio = as_object(message.get("audio"))
    return Answer(
        finish=finish,
        text=_text(message.get("content")) or as_text(audio.get("transcript")),
        refusal=refusal,
        tool_calls=calls,
        error=error,
        detail=detail,
        extras=_extras(choice, message, audio),
    )


def _extras(choice: JsonObject, message: JsonObject, audio: JsonObject) -> JsonObject:
    """What came beside the text. Reasoning is no field of OpenAI's: servers of open models have two names for it."""
    logprobs = as_object(choice.get("logprobs"))
    found = {
        "citations": [_citation(annotation) for annotation in objects(message.get("annotations"))],
        "reasoning": as_text(message.get("reasoning_content")) or as_text(message.get("reasoning")),
        "logprobs": tokens_told(logprobs.get("content")) or tokens_told(logprobs.get("refusal")),
        "other": [{"type": "audio", **kept(audio, "id", "expires_at")}] if audio else None,
    }
    return {name: value for name, value in found.items() if value}


def _citation(annotation: JsonObject) -> JsonObject:
    if annotation.get("type") != "url_citation":
        return annotation
    return url_citation(as_object(annotation.get("url_citation")), 0)


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
    tool_calls: Nothing | None = None
    function_call: None = None
    annotations: Nothing | None = None
    audio: None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Literal["stop"]
    message: _Message
    logprobs: None = None
    error: None = None


class _Body(PlainBody, kw_only=True, gc=False):
    choices: list[_Choice]
    usage: PromptUsage
