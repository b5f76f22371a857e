"""Moderations as the API answers with them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from batchrun.model import JsonObject

# Those of `omni-moderation`, in the order in which it gives them; the second ones apply to images as well. Source: the SDK's `Moderation`.
_OF_TEXT: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "sexual/minors",
)
_OF_IMAGES_TOO: Final = (
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "violence",
    "violence/graphic",
)
CATEGORIES: Final = (*_OF_TEXT, *_OF_IMAGES_TOO)
_FLAGGED_FROM: Final = 0.5


def moderation_body(model: str, scores: Sequence[Mapping[str, float]], *, ident: str) -> JsonObject:
    """A whole answer: one result for each of `scores`, which are by category; a category is flagged from 0.5 on."""
    return {"id": f"modr-{ident}", "model": model, "results": [_result(one) for one in scores]}


def _result(scores: Mapping[str, float]) -> JsonObject:
    flags = {name: scores[name] >= _FLAGGED_FROM for name in CATEGORIES}
    applied = {
        name: ["text", "image"] if name in _OF_IMAGES_TOO else ["text"] for name in CATEGORIES
    }
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {name: scores[name] for name in CATEGORIES},
        "category_applied_input_types": applied,
    }
