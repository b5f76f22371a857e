"""What the local model cannot do, refused as the API refuses what a model of its own cannot do. Nothing is left out silently. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from batchrun.model import Json, JsonObject
from batchrun.service.conversation import CALL_ITEMS, OUTPUT_ITEMS
from batchrun.service.prompts import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from batchrun.service.refusals import ServiceError
from batchrun.service.tools import Offer

#: The endpoints that the model answers, and the parameter of each that holds its prompt.
PROMPT_KEYS: Final[Mapping[str, str]] = {
    RESPONSES: "input",
    CHAT: "messages",
    EMBEDDINGS: "input",
    COMPLETIONS: "prompt",
}
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_ITEMS: Final = frozenset({"message", "reasoning", *CALL_ITEMS, *OUTPUT_ITEMS})
# Of all endpoints together: where a parameter does not exist, nothing is said either.
_NOT_HERE: Final = (
    "previous_response_id",
    "conversation",
    "functions",
    "function_call",
    "audio",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "web_search_options",
    "suffix",
    "echo",
)
_LOGPROBS: Final = "message.output_text.logprobs"


def check_supported(url: str, body: JsonObject) -> None:
    """Raise ServiceError 400 for what would be silently left out: stored conversations, images, logprobs, several choices."""
    for key in (*_NOT_HERE, *(("prompt",) if url == RESPONSES else ())):
        if body.get(key):
            raise ServiceError(
                status=400,
                message=f"Unsupported parameter: '{key}' is not supported with the local model.",
                code="unsupported_parameter",
                param=key,
            )
    for key in ("n", "best_of"):
        if body.get(key) not in (None, 1):
            raise unsupported(key, "the local model gives one choice")
    if _LOGPROBS in _strings(body.get("include")):
        raise unsupported("include", "the local model tells no logprobs")
    if "audio" in _strings(body.get("modalities")):
        raise unsupported("modalities", "the local model writes text only")
    key = PROMPT_KEYS[url]
    for number, item in enumerate(_objects(body.get(key))):
        _check_item(item, f"{key}[{number}]")


def _check_item(item: JsonObject, param: str) -> None:
    kind = item.get("type", "message")
    if kind not in _ITEMS:
        raise unsupported(param, f"the local model cannot read items of type {kind!r}")
    for name in ("content", "output"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict) or part.get("type") not in _TEXT_PARTS:
                raise unsupported(f"{param}.{name}", "the local model reads text only")


def _objects(value: Json) -> Iterator[JsonObject]:
    """The members of an array, an empty object in the place of each that is none."""
    for member in value if isinstance(value, list) else ():
        yield member if isinstance(member, dict) else {}


def _strings(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def check_tools(offer: Offer) -> None:
    """Raise ServiceError 400 for tools that are no functions: what the API runs itself, nothing runs here."""
    for kind in offer.others:
        raise ServiceError(
            status=400,
            message=f"Tools of type '{kind}' are not supported with the local model: it calls functions only.",
            code="unsupported_value",
            param="tools",
        )


def unsupported(param: str, what: str) -> ServiceError:
    """The error for a value that other models take; `what` says what this one does, without a full stop."""
    return ServiceError(
        status=400,
        message=f"Unsupported value for '{param}': {what}.",
        code="unsupported_value",
        param=param,
    )


def unanswered(url: str) -> ServiceError:
    """The error for an endpoint of other models."""
    return ServiceError(
        status=400,
        message=f"The local model is not supported in {url!r}, only in "
        f"{', '.join(map(repr, PROMPT_KEYS))}. A script of `batchrun serve` answers all endpoints.",
        code="invalid_value",
        param="model",
    )
