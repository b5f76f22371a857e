"""/v1/videos: a text in, and out comes the account of a video, which the service keeps for a day.

Source of what a batch may ask and bring: OpenAI's Batch guide. The video itself is never in the result file.
"""

from typing import ClassVar

from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, ServiceError
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.references import reference_fault
from batchrun.endpoints.tolerant import as_text, as_word, error_of, usage_of
from batchrun.model import JsonObject

_NO_TEXT = "A video has no text: leave it out."
_KEPT = ("id", "status", "seconds", "size", "expires_at")


class Videos(Endpoint):
    """Builds `prompt`; reads the video object."""

    url: ClassVar = "/v1/videos"
    prompt_key: ClassVar = "prompt"
    unused_keys: ClassVar = {
        "instructions": "Put it into the prompt.",
        "labels": _NO_TEXT,
        "schema": _NO_TEXT,
        "max_output_tokens": "Bound the cost by 'seconds' and 'size' in 'body'.",
        "attach": "Give the item's 'body' an 'input_reference', a link or the id of an uploaded image.",
    }
    required: ClassVar = ("model", "prompt")
    is_live: ClassVar = False
    synonyms: ClassVar = {
        "input": "prompt",
        "messages": "prompt",
        "text": "prompt",
        "image": "input_reference",
        "images": "input_reference",
        "duration": "seconds",
    }

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint. A batch takes references only: there is no form to upload with."""
        reference = body.get("input_reference")
        # Of a wrong kind, the table has said so already.
        is_told = type(reference) is not dict or not all(
            isinstance(value, str) for value in reference.values()
        )
        fault = None if is_told else reference_fault("input_reference", reference)
        return () if fault is None else (fault,)

    def doubts(self, body: JsonObject) -> tuple[str, ...]:  # noqa: ARG002
        """A video has to be fetched, and soon."""
        told = "the service keeps a video for 24 hours after its batch ends: fetch it in that time."
        return (f"{told} GET /v1/videos/{{id}}/content; the output names it.",)

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint. `value` is the video's id, status, seconds, size and expiry, and `content`, the path to fetch it from."""
        status, ident = as_word(body.get("status")), as_text(body.get("id"))
        error, mismatch, value = error_of(body.get("error")), None, None
        if status == "failed":
            error = error or ServiceError(message="the video failed without a reason")
        elif status == "expired":
            mismatch = Mismatch(
                cause="video_expired", message=f"the video {ident or 'without an id'} expired"
            )
        elif status == "completed" and ident is not None:
            value = {key: body[key] for key in _KEPT if body.get(key) is not None}
            value["content"] = f"/v1/videos/{ident}/content"
        elif body:
            # It may still be made, and is then charged: it is not asked for again unasked.
            mismatch = Mismatch(
                cause="unknown", message=f"the video {ident} came back as {status!r}"
            )
        return Answer(
            finish=Finish.STOP,
            value=value,
            error=error,
            mismatch=mismatch,
            usage=usage_of(body, given="input", made="output"),
            model=as_text(body.get("model")),
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:  # noqa: ARG002 (there is no text)
        """See Endpoint. Takes nothing: no batch has so many videos that their lines would be felt."""
        return lambda _line: None
