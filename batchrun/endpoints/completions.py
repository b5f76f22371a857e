"""/v1/completions: the old endpoint, a text that goes on. Kept for models that are served by nothing else."""

from itertools import zip_longest
from typing import ClassVar, Literal

import msgspec

from batchrun.endpoints.answer import Answer, Finish, Interpret, Mismatch, Reading, ServiceError
from batchrun.endpoints.base import Endpoint, FastReader
from batchrun.endpoints.choices import FINISH_OF_REASON, answer_of, count_doubts
from batchrun.endpoints.extras import kept
from batchrun.endpoints.fast import Line, PlainBody, PromptUsage, success
from batchrun.endpoints.tolerant import as_object, as_text, as_word, error_of
from batchrun.model import JobSettings, Json, JsonObject

_STRUCTURED = "It has no structured answers: use /v1/responses or /v1/chat/completions."


class Completions(Endpoint):
    """Builds `prompt`; reads the choices."""

    url: ClassVar = "/v1/completions"
    prompt_key: ClassVar = "prompt"
    carried_by: ClassVar = {"max_output_tokens": "max_tokens"}
    unused_keys: ClassVar = {
        "instructions": "Put it at the head of the prompt.",
        "labels": _STRUCTURED,
        "schema": _STRUCTURED,
        "attach": "This endpoint reads text only: use /v1/responses.",
    }
    required: ClassVar = ("model", "prompt")
    synonyms: ClassVar = {
        "input": "prompt",
        "messages": "prompt",
        "max_output_tokens": "max_tokens",
        "max_completion_tokens": "max_tokens",
        "top_logprobs": "logprobs",
    }

    def shape(
        self,
        settings: JobSettings,
        *,
        prompt: Json,
        instructions: str | None,  # noqa: ARG002 (see unused_keys)
    ) -> JsonObject:
        """See Endpoint. `prompt` is a text, or an array of tokens."""
        shaped: JsonObject = {"prompt": prompt}
        if settings.max_output_tokens is not None:
            shaped["max_tokens"] = settings.max_output_tokens
        return shaped

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint. Of several prompts in one request, only the first would have an answer in the outputs."""
        prompt = body.get("prompt")
        if isinstance(prompt, list) and len(prompt) > 1 and not isinstance(prompt[0], int):
            return ("'prompt' holds several prompts. Make each of them an item of its own.",)
        return ()

    def doubts(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        return count_doubts(body)

    def read(self, body: JsonObject) -> Answer:
        """See Endpoint. The first choice is the answer; where there are several, all of them are in `choices`."""
        return answer_of(body, _read_choice)

    def fast_reader(self, interpret: Interpret) -> FastReader:
        """See Endpoint. Takes one choice that stopped by itself."""
        decode = msgspec.json.Decoder(Line[_Body]).decode

        def read(line: bytes) -> Reading | None:
            result = decode(line)
            choices = result.response.body.choices
            if len(choices) != 1:
                return None
            text = choices[0].text
            if not text or text.isspace() or isinstance(output := interpret(text), Mismatch):
                return None
            return success(result, output)

        return read


def _read_choice(choice: JsonObject) -> Answer:
    reason = as_word(choice.get("finish_reason"))
    finish, error = FINISH_OF_REASON.get(reason, Finish.STOP), error_of(choice.get("error"))
    if reason == "error":
        error = error or ServiceError(message="the answer ended with 'error'")
    told = _logprobs(as_object(choice.get("logprobs")))
    return Answer(
        finish=finish,
        text=as_text(choice.get("text")),
        error=error,
        detail=None if finish is Finish.STOP else f"the answer ended with {reason!r}",
        extras={"logprobs": told} if told else {},
    )


def _logprobs(columns: JsonObject) -> list[JsonObject]:
    """One object a token, as the other endpoints tell them; here they come in columns, the alternatives as an object."""
    tokens, found, tops = (
        column if isinstance(column := columns.get(name), list) else []
        for name in ("tokens", "token_logprobs", "top_logprobs")
    )
    told = []
    for token, logprob, top in zip_longest(tokens, found, tops):
        entry = kept({"token": token, "logprob": logprob}, "token", "logprob")
        if isinstance(top, dict) and top:
            entry["top_logprobs"] = [{"token": t, "logprob": number} for t, number in top.items()]
        told.append(entry)
    return told


# What the fast path takes; see fast.py.


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Literal["stop"]
    text: str
    logprobs: None = None
    error: None = None


class _Body(PlainBody, kw_only=True, gc=False):
    choices: list[_Choice]
    usage: PromptUsage
