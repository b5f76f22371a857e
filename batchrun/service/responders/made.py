"""Answers that are no text, made up of a rule and the request alone: vectors, moderations, images, videos. Always the same, all plausible."""

import base64
import hashlib
import struct
from collections.abc import Callable, Mapping
from math import sqrt
from typing import Final

import msgspec

from batchrun.model import JsonObject
from batchrun.service.bodies import Finish, embeddings_body
from batchrun.service.images import check_images, images_body, tiny_image
from batchrun.service.moderations import CATEGORIES, moderation_body
from batchrun.service.prompts import (
    CHAT,
    EDITS,
    EMBEDDINGS,
    GENERATIONS,
    MODERATIONS,
    RESPONSES,
    VIDEOS,
    prompt_of,
    schema_of,
)
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.script import Rule
from batchrun.service.tools import offer_of
from batchrun.service.videos import check_video, video_body

DIMENSIONS: Final = 16  # of an embedding, where the request asks for no other number
_BYTES_PER_TOKEN: Final = 4
_FLAGGED: Final = 0.9  # the score of a category that a rule's label names

# (rule, url, request body, id, now) -> response body
Maker = Callable[[Rule, str, JsonObject, str, int], JsonObject]


def tokens_in(text: str) -> int:
    """A rough count, always the same."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def check_request(url: str, body: JsonObject) -> None:
    """Raise ServiceError 400 for what the API would refuse, where that is more than model and prompt."""
    if url in (GENERATIONS, EDITS):
        check_images(url, body)
    elif url == VIDEOS:
        check_video(body)
    elif url in (RESPONSES, CHAT):
        schema_of(url, body)
        offer_of(url, body)


def _embeddings(_rule: Rule, url: str, body: JsonObject, _ident: str, _now: int) -> JsonObject:
    texts = [message.text for message in prompt_of(url, body)]
    dimensions = body.get("dimensions", DIMENSIONS)
    return embeddings_body(
        body["model"],
        [_vector(text, dimensions) for text in texts],
        prompt_tokens=sum(map(tokens_in, texts)),
        encoding_format=body.get("encoding_format", "float"),
    )


def _vector(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the text alone."""
    raw = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = [number / 65_535 - 0.5 for number in struct.unpack(f"<{dimensions}H", raw)]
    length = sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _moderations(rule: Rule, url: str, body: JsonObject, ident: str, _now: int) -> JsonObject:
    """Harmless, but for the category that the rule's label names and the scores that its json gives."""
    given: dict[str, float] = {} if rule.label is None else {rule.label: _FLAGGED}
    if isinstance(rule.json, dict):
        given.update(rule.json)
    if unknown := sorted(given.keys() - set(CATEGORIES)):
        known = ", ".join(CATEGORIES)
        raise _unplayable(f"the script scores {unknown[0]!r}, and the categories are {known}.")
    scores = [_harmless(message.text) | given for message in prompt_of(url, body)]
    return moderation_body(body["model"], scores, ident=ident)


def _harmless(text: str) -> dict[str, float]:
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return {name: digits[at] / 100_000 for at, name in enumerate(CATEGORIES)}


def _images(rule: Rule, url: str, body: JsonObject, _ident: str, now: int) -> JsonObject:
    """As many as are asked for, each another one; or the one that the rule's reply spells in base64."""
    prompt = prompt_of(url, body)[0].text
    kind, count = body.get("output_format") or "png", body.get("n") or 1
    if rule.reply is None:
        seed = msgspec.json.encode(body, order="sorted").decode()
        images = [tiny_image(kind, f"{seed} {number}") for number in range(count)]
    else:
        images = [_from_base64(rule.reply)] * count
    return images_body(body, images, input_tokens=tokens_in(prompt), created_at=now)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise _unplayable(
            f"the script's reply to an image request is no base64: {error}. Encode an image."
        ) from error


def _unplayable(what: str) -> ServiceError:
    """The line fails with it: any other error would have the service ask again for ever, and the batch never end."""
    return ServiceError(status=400, message=what, code="invalid_script")


def _video(rule: Rule, _url: str, body: JsonObject, ident: str, now: int) -> JsonObject:
    """A video, or (`finish` is `failed`) one that failed with the rule's reply as its message."""
    failure = rule.reply or "The video failed." if rule.finish is Finish.FAILED else None
    return video_body(body, ident=ident, created_at=now, failure=failure)


MAKERS: Mapping[str, Maker] = {
    EMBEDDINGS: _embeddings,
    MODERATIONS: _moderations,
    GENERATIONS: _images,
    EDITS: _images,
    VIDEOS: _video,
}
