"""Parameters that are sound, and yet may not do in a batch what they do outside: one warning a job line for each kind of doubt.

OpenAI documents neither that they work in a batch nor that they do not, so they are sent: only a try of a few items tells.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from batchrun.endpoints.tolerant import as_word, objects
from batchrun.model import JsonObject

# Documented for batches: their calls are the answer, and nobody else has to do anything.
_CALLERS_OWN: Final = frozenset({"function", "custom", "namespace"})
# The caller has to act between two requests, which nobody does while a batch runs.
_CALLERS_TURN: Final = frozenset(
    {"computer", "computer_use_preview", "local_shell", "shell", "apply_patch"}
)
_TIER_DOUBTS: Final[Mapping[str, str]] = {
    tier: f"'service_tier' is {tier!r}: a batch has a tier and a price of its own, and need not heed it."
    for tier in ("flex", "priority", "fast", "scale")
}


def tool_doubts(body: JsonObject) -> tuple[str, ...]:
    """Tools of /v1/responses beside functions."""
    kinds = {as_word(tool.get("type")) for tool in objects(body.get("tools"))}
    kinds -= {"", *_CALLERS_OWN}  # one without a type is a problem by itself
    told = []
    if hosted := _listed(kinds - _CALLERS_TURN):
        told.append(
            f"tools that the service runs ({hosted}) are not documented for batches, and users report refusals: "
            "try a few items first."
        )
    if acting := _listed(kinds & _CALLERS_TURN):
        told.append(
            f"tools that need you to act ({acting}): a batch asks once, so the first call is the answer."
        )
    return tuple(told)


def tier_doubts(body: JsonObject) -> tuple[str, ...]:
    """Service tiers."""
    doubt = _TIER_DOUBTS.get(as_word(body.get("service_tier")))
    return () if doubt is None else (doubt,)


def undocumented(body: JsonObject, names: Iterable[str]) -> tuple[str, ...]:
    """Parameters of these names that are given."""
    given = _listed(name for name in names if body.get(name) is not None)
    if not given:
        return ()
    return (f"{given}: not documented for batches: try a few items first.",)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(words)))
