"""What the completions of text and of chat have in common: choices, in which order, and why each of them ended."""

import dataclasses
from collections.abc import Callable

from batchrun.endpoints.answer import Answer, Finish
from batchrun.endpoints.tolerant import as_text, error_of, objects, usage_of
from batchrun.model import JsonObject

# OpenAI's words, then those of servers that have their own.
FINISH_OF_REASON = {
    "length": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "safety": Finish.CONTENT_FILTER,
}


def answer_of(body: JsonObject, read_choice: Callable[[JsonObject], Answer]) -> Answer:
    """The first choice, as `read_choice` reads it; where there are several, all of them are in `choices`."""
    choices = tuple(map(read_choice, in_order(body))) or (read_choice({}),)
    return dataclasses.replace(
        choices[0],
        error=error_of(body.get("error")) or choices[0].error,
        usage=usage_of(body, given="prompt", made="completion"),
        model=as_text(body.get("model")),
        choices=choices if len(choices) > 1 else (),
    )


def in_order(body: JsonObject) -> list[JsonObject]:
    """The choices of a body; the first is the answer."""
    return sorted(objects(body.get("choices")), key=_index)


def _index(choice: JsonObject) -> int:
    """Its place among the choices; those without one stay as they came, after the first."""
    index = choice.get("index")
    return index if type(index) is int else 1


def count_doubts(body: JsonObject) -> tuple[str, ...]:
    """The warning that belongs to a request for more than one choice."""
    count = body.get("n")
    if not isinstance(count, int) or count <= 1:
        return ()
    return (
        f"'n' is {count}: every choice is paid for. The first one is the output, all are in 'choices'.",
    )
