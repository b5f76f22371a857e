"""What the two endpoints that make images share: their answers, and the parameters that no batch can serve."""

from typing import ClassVar, Final

from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.extras import kept
from batchrun.endpoints.pictures import picture_of
from batchrun.endpoints.tolerant import as_object, as_text, as_tokens, error_of, objects, usage_of
from batchrun.model import JsonObject, Usage

IMAGE_URLS: Final = ("/v1/images/generations", "/v1/images/edits")
_NO_TEXT = "An image has no text: use /v1/responses to ask about one."


class ImagesEndpoint(Endpoint):
    """Builds `prompt`; reads images.

    An answer's value is `{"images": [image, …]}`. An image is what `picture_of` gives, or `{"url"}` where the service gave only
    that. The bytes of the image stay in the result line. Revised prompts are told in the extra `image_calls`.
    """

    prompt_key: ClassVar = "prompt"
    unused_keys: ClassVar = {
        "instructions": "Put it into the prompt.",
        "labels": _NO_TEXT,
        "schema": _NO_TEXT,
        "max_output_tokens": "Bound the cost by 'n', 'size' and 'quality' in 'body'.",
    }
    required: ClassVar[tuple[str, ...]] = ("model", "prompt")
    synonyms: ClassVar = {"input": "prompt", "messages": "prompt", "text": "prompt"}

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        if body.get("partial_images") is None:
            return ()
        return (
            "'partial_images' is for streams, and a batch has no one to stream to. Leave it out.",
        )

    def doubts(self, body: JsonObject) -> tuple[str, ...]:
        """A link that expires is no answer to keep."""
        if body.get("response_format") != "url":
            return ()
        told = (
            "'response_format' is 'url': the link expires soon after the batch and is not followed."
        )
        return (f"{told} Without it the images come as files.",)

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint."""
        entries = list(objects(body.get("data")))
        images = list(map(_image, entries))
        revised = [prompt for entry in entries if (prompt := kept(entry, "revised_prompt"))]
        mismatch = None
        if images and all("broken" in image for image in images):
            mismatch = Mismatch(cause="malformed_result", message=images[0]["broken"])
        return Answer(
            finish=Finish.STOP,
            value={"images": images} if images else None,
            error=error_of(body.get("error")),
            mismatch=mismatch,
            usage=_usage(body),
            model=as_text(body.get("model")),
            extras={"image_calls": revised} if revised else {},
        )

    def fast_reader(self, interpret: Interpret) -> FastReader:  # noqa: ARG002 (there is no text)
        """See Endpoint. Takes nothing: the work is in the megabytes of the image, on either path."""
        return lambda _line: None


def _image(entry: JsonObject) -> JsonObject:
    """What the ledger keeps of one image."""
    packed, url = entry.get("b64_json"), as_text(entry.get("url"))
    return {"url": url} if packed is None and url is not None else picture_of(packed)


def _usage(body: JsonObject) -> Usage:
    """The tokens of rendering and, of an SVG, those of the model that wrote it."""
    made, written = usage_of(body, given="input", made="output"), as_object(body.get("svg_usage"))
    return Usage(
        input_tokens=as_tokens(made.input_tokens + as_tokens(written.get("input_tokens"))),
        cached_tokens=made.cached_tokens,
        cache_write_tokens=made.cache_write_tokens,
        output_tokens=as_tokens(made.output_tokens + as_tokens(written.get("output_tokens"))),
        reasoning_tokens=as_tokens(
            made.reasoning_tokens + as_tokens(written.get("reasoning_tokens"))
        ),
    )
