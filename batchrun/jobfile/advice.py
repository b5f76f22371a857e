"""What is allowed and yet likely to disappoint: the warnings of `check`, one sentence each. Pure."""

import re
from collections.abc import Iterator

from batchrun.jobfile.problems import Fault
from batchrun.jobfile.sinks import output_warnings
from batchrun.jobfile.template import Where, compile_template
from batchrun.model import JobSettings

SMALL_CAP_TOKENS = (
    1_000  # below this a reasoning model often thinks until the cap and answers nothing
)
_REASONING_MODEL = re.compile(r"(?:ft:)?(?:o[1-9]|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
_WITHOUT_TEXT = (
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
_CAPS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_SAMPLING = ("temperature", "top_p")


def warnings_of(settings: JobSettings) -> Iterator[Fault]:
    """All warnings for a job whose line has no problem, in no particular order of weight."""
    yield from output_warnings(settings)
    is_reasoning = _REASONING_MODEL.match(settings.model or "") is not None
    if settings.endpoint in _WITHOUT_TEXT:
        return
    yield from _cap_warnings(settings, is_reasoning=is_reasoning)
    for name in _SAMPLING:
        if is_reasoning and name in settings.body:
            yield Fault(
                f"{name!r} with the reasoning model {settings.model!r}",
                "Most reasoning models refuse it, and each line would fail.",
            )
    texts = (settings.prompt or "", *(settings.attach or ()))
    if settings.prompt is not None and not any(map(_uses_fields, texts)):
        yield Fault(
            "the prompt uses no field of the item: each item gets the same request",
            "Name fields as {{ text }}.",
        )


def bounds_answers(settings: JobSettings) -> bool:
    """Whether the job line bounds each answer, or there is none in text to bound."""
    return settings.endpoint in _WITHOUT_TEXT or _cap_of(settings) is not None


def _cap_of(settings: JobSettings) -> int | None:
    caps = (settings.max_output_tokens, *map(settings.body.get, _CAPS))
    return next((cap for cap in caps if type(cap) is int), None)


def _cap_warnings(settings: JobSettings, *, is_reasoning: bool) -> Iterator[Fault]:
    cap = _cap_of(settings)
    if cap is None:
        yield Fault(
            "no 'max_output_tokens'",
            "Nothing bounds what an answer may cost; 1,000 to 4,000 is usual.",
        )
    elif is_reasoning and cap < SMALL_CAP_TOKENS:
        yield Fault(
            f"'max_output_tokens' of {cap} is small for the reasoning model {settings.model!r}",
            "It counts reasoning too: an answer may be cut before it begins. Allow 2,000 or more, or lower the reasoning effort.",
        )


def _uses_fields(prompt: str) -> bool:
    return bool(compile_template(prompt, where=Where(path="")).variables)
