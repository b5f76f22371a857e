"""/v1/responses: the default endpoint."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import msgspec

from batchrun.attachments.kinds import Attachment, Kind, reference_to
from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, Reading, ServiceError
from batchrun.endpoints.asked import response_faults
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.calling import ResponsesCalling
from batchrun.endpoints.doubts import tier_doubts, tool_doubts, undocumented
from batchrun.endpoints.extras import EXTRAS_LIMIT_BYTES
from batchrun.endpoints.fast import Line, Nothing, PlainBody, Tokens, success
from batchrun.endpoints.responses_items import PARAGRAPH, Content, content_of
from batchrun.endpoints.schemas import schema_name, schema_of
from batchrun.endpoints.tolerant import (
    as_object,
    as_text,
    as_word,
    error_of,
    usage_of,
)
from batchrun.model import JobSettings, Json, JsonObject

_encode = msgspec.json.Encoder().encode
_FINISH_OF_REASON = {
    "max_output_tokens": Finish.LENGTH,
    "max_messages": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
}


class Responses(Endpoint):
    """Builds `input` and `instructions`; reads the messages and tool calls in `output`."""

    url: ClassVar = "/v1/responses"
    prompt_key: ClassVar = "input"
    carried_by: ClassVar = {
        "instructions": "instructions",
        "max_output_tokens": "max_output_tokens",
    }
    asking_keys: ClassVar = ("prompt",)  # a prompt that is kept at the service
    structured_key: ClassVar = "text"
    conversation_key: ClassVar = "input"
    cap_keys: ClassVar = ("max_output_tokens",)
    calling: ClassVar = ResponsesCalling()
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
    attach_key: ClassVar = "input"
    attachable: ClassVar = {Kind.IMAGE: True, Kind.PDF: True, Kind.TEXT: False}
    linkable: ClassVar = frozenset({Kind.IMAGE, Kind.PDF})
    attach_instead: ClassVar = "Models hear audio at /v1/chat/completions only."

    def shape(self, settings: JobSettings, *, prompt: Json, instructions: str | None) -> JsonObject:
        """See Endpoint. Parts without a message around them are one message of the user's."""
        shaped: JsonObject = {}
        if instructions is not None:
            shaped["instructions"] = instructions
        shaped["input"] = [{"role": "user", "content": prompt}] if _are_parts(prompt) else prompt
        if settings.max_output_tokens is not None:
            shaped["max_output_tokens"] = settings.max_output_tokens
        if (schema := schema_of(settings)) is not None:
            shaped["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": schema_name(settings),
                    "strict": settings.strict,
                    "schema": schema,
                }
            }
        return shaped

    def attached(self, body: JsonObject, attachments: Sequence[Attachment]) -> JsonObject:
        """See Endpoint. Text is a part of its own, so that every server can read it; images have the service's own level of detail."""
        text = {"type": "input_text", "text": body["input"]}
        return {
            **body,
            "input": [{"role": "user", "content": [text, *map(_attached_part, attachments)]}],
        }

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        return tuple(response_faults(body))

    def doubts(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        stateful = ("previous_response_id", "conversation")
        return tool_doubts(body) + tier_doubts(body) + undocumented(body, stateful)

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint; what the kinds of items hold is in `responses_items`."""
        content = content_of(body.get("output"))
        status = as_word(body.get("status"))
        finish = Finish.TOOL_CALLS if content.tool_calls or content.pending else Finish.STOP
        error, detail = error_of(body.get("error")), None
        if content.refusal is not None:
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
            text=content.text,
            refusal=content.refusal,
            tool_calls=tuple(content.tool_calls),
            pending=content.pending,
            value=_pictures(content),
            error=error,
            detail=detail,
            usage=usage_of(body, given="input", made="output"),
            model=as_text(body.get("model")),
            extras=content.extras,
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:
        """See Endpoint. Takes a completed response with one message of one text, its citations, and reasoning; nothing else."""
        decode = msgspec.json.Decoder(Line[_Body]).decode

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            part, summaries = None, None
            for item in result.response.body.output:
                if item.type == "message":
                    if part is not None or item.content is None or len(item.content) != 1:
                        return None
                    part = item.content[0]
                elif item.type != "reasoning":
                    return None
                elif item.summary:
                    summaries = [*(summaries or ()), *item.summary]
            if part is None or not (text := part.text) or text.isspace():
                return None
            if isinstance(output := interpret(text), Mismatch):
                return None
            extras = None
            if part.annotations or summaries:
                extras = _extras(part.annotations, summaries or [])
                if extras is not None and len(extras) > EXTRAS_LIMIT_BYTES:
                    return None
            return success(result, output, extras)

        return read


def _attached_part(attachment: Attachment) -> JsonObject:
    if attachment.text is not None:
        return {"type": "input_text", "text": attachment.text}
    if attachment.kind is Kind.PDF:
        if attachment.content is None:
            return {"type": "input_file", "file_url": attachment.link}
        reference = reference_to(attachment.content)
        return {"type": "input_file", "filename": attachment.name, "file_id": reference}
    image: JsonObject = {"type": "input_image", "detail": "auto"}
    if attachment.content is None:
        return image | {"image_url": attachment.link}
    return image | {"file_id": reference_to(attachment.content)}


def _are_parts(prompt: Json) -> bool:
    return (
        isinstance(prompt, list)
        and bool(prompt)
        and all(
            isinstance(part, dict) and as_word(part.get("type")).startswith("input_")
            for part in prompt
        )
    )


def _pictures(content: Content) -> JsonObject | None:
    """The answer where nothing was said and pictures were made; told as the images endpoints tell theirs."""
    if content.text is not None or not content.pictures:
        return None
    return {"images": content.pictures}


# What the fast path takes; see fast.py.


class _UrlCitation(msgspec.Struct, tag_field="type", tag="url_citation", gc=False):
    url: str
    title: str
    start_index: Tokens
    end_index: Tokens


class _FileCitation(msgspec.Struct, tag_field="type", tag="file_citation", gc=False):
    file_id: str
    filename: str
    index: int


class _Part(msgspec.Struct, gc=False):
    type: Literal["output_text"]
    text: str | None = None
    annotations: list[_UrlCitation | _FileCitation] = []
    logprobs: Nothing | None = None


class _Summary(msgspec.Struct, gc=False):
    text: str | None = None


class _Item(msgspec.Struct, gc=False):
    type: str
    content: list[_Part] | None = None
    summary: list[_Summary] = []


class _Body(PlainBody, kw_only=True, gc=False):
    status: Literal["completed"]
    output: list[_Item]


# The same as it is told: structs, since encoding them takes half the time of dicts.


class _ToldUrl(msgspec.Struct, tag_field="type", tag="url", gc=False):
    url: str
    title: str
    start: int
    end: int


class _ToldFile(msgspec.Struct, tag_field="type", tag="file", gc=False):
    file_id: str
    filename: str
    index: int


class _Extras(msgspec.Struct, omit_defaults=True, gc=False):
    citations: list[_ToldUrl | _ToldFile] = []
    reasoning: str = ""


def _extras(
    annotations: list[_UrlCitation | _FileCitation], summaries: list[_Summary]
) -> bytes | None:
    """As `encoded_extras` would write what `content_of` finds."""
    told = [
        _ToldUrl(one.url, one.title, one.start_index, one.end_index)
        if isinstance(one, _UrlCitation)
        else _ToldFile(one.file_id, one.filename, one.index)
        for one in annotations
    ]
    reasoning = PARAGRAPH.join([summary.text for summary in summaries if summary.text])
    return _encode(_Extras(told, reasoning)) if told or reasoning else None
