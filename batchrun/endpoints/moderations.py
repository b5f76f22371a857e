"""/v1/moderations: text or images in, flags and scores out."""

import math
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from batchrun.attachments.kinds import Attachment, Kind, reference_to
from batchrun.endpoints.answer import Answer, Finish, Interpret, Reading
from batchrun.endpoints.asked import moderation_faults
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.fast import Line
from batchrun.endpoints.tolerant import as_object, as_text, error_of, objects, usage_of
from batchrun.model import Json, JsonObject
from batchrun.planning.classify import Outcome

_OWN_CATEGORIES = (
    "A moderation has categories of its own: use /v1/responses to ask a model for yours."
)

_encode = msgspec.json.Encoder().encode


class Moderations(Endpoint):
    """Builds `input`: a text, an array of texts, or of parts (`text`, `image_url`). Reads `{"flagged", "categories", "scores"}`, or a list of these where there were several inputs."""

    url: ClassVar = "/v1/moderations"
    prompt_key: ClassVar = "input"
    unused_keys: ClassVar = {
        "instructions": "Only the input is judged: leave it out.",
        "labels": _OWN_CATEGORIES,
        "schema": _OWN_CATEGORIES,
        "max_output_tokens": "A moderation makes no tokens: leave it out.",
    }
    required: ClassVar = ("model", "input")
    synonyms: ClassVar = {"prompt": "input", "messages": "input", "text": "input"}
    attach_key: ClassVar = "input"
    attachable: ClassVar = {Kind.IMAGE: False}
    attach_instead: ClassVar = "Text and images are judged; put text into the prompt."

    def attached(self, body: JsonObject, attachments: Sequence[Attachment]) -> JsonObject:
        """See Endpoint. Prompt and images are judged together, as one input."""
        return {
            **body,
            "input": [{"type": "text", "text": body["input"]}, *map(_image, attachments)],
        }

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        return tuple(moderation_faults(body))

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint. `value` is in the order of the inputs; None where there is no result."""
        results = [
            _result(
                result.get("flagged"),
                as_object(result.get("categories")),
                as_object(result.get("category_scores")),
            )
            for result in objects(body.get("results"))
        ]
        return Answer(
            finish=Finish.STOP,
            value=(results[0] if len(results) == 1 else results) or None,
            error=error_of(body.get("error")),
            usage=usage_of(body, given="prompt", made="completion"),
            model=as_text(body.get("model")),
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:  # noqa: ARG002 (there is no text)
        """See Endpoint. Takes one result whose flags and scores are what they should be."""
        decode = msgspec.json.Decoder(Line[_Body]).decode
        succeeded, stop = Outcome.SUCCEEDED, Finish.STOP  # looking up an enum's member is not free

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            body = result.response.body
            if len(body.results) != 1:
                return None
            (found,) = body.results
            return Reading(
                result.custom_id,
                succeeded,
                None,
                None,
                _encode(_result(found.flagged, found.categories, found.category_scores)),
                None,
                stop,
                0,
                0,
                None,
                0,
                0,
                body.model or None,
                result.response.request_id or None,
            )

        return read


def _image(attachment: Attachment) -> JsonObject:
    content = attachment.content
    return {
        "type": "image_url",
        "image_url": {"url": attachment.link if content is None else reference_to(content)},
    }


def _result(flagged: Json, categories: JsonObject, scores: JsonObject) -> JsonObject:
    """One input's result: the names of the categories that are flagged, and the score of every category."""
    names = [name for name, is_flagged in categories.items() if is_flagged is True]
    return {
        "flagged": flagged if isinstance(flagged, bool) else bool(names),
        "categories": names,
        "scores": {name: score for name, score in scores.items() if _is_score(score)},
    }


def _is_score(value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not isinstance(value, float) or math.isfinite(value)


# What the fast path takes; see fast.py.


class _Result(msgspec.Struct, gc=False):
    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, int | float | None]


class _Body(msgspec.Struct, gc=False):
    results: list[_Result]
    model: str | None = None
    usage: None = None
    error: None = None
