"""Chooses between labels with a running engine: tokens and probabilities for the arithmetic of `labels.py`, priors kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batchrun.service.bodies import Message
from batchrun.service.llama.engine import Engine
from batchrun.service.llama.labels import (
    REFERENCE_TEXTS,
    Framing,
    LabelQuestion,
    Tokens,
    choose,
    frame,
    log_chances,
    mean_scores,
    path_after,
    score,
    spellings,
)

# Added to the raw scores of the candidates, so that the sampler's list of the most probable tokens is exactly the candidates, however
# improbable: their relative probabilities stay as they were. (Asking for all 49,152 instead takes 0.5 s in place of 0.02 s.)
CANDIDATE_BIAS = 100.0

Paths: TypeAlias = Mapping[str, Sequence[Tokens]]
_PriorKey: TypeAlias = tuple[tuple[Message, ...], str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The label chosen. `prompt_tokens` counts the request's own prompt once, not the reference texts."""

    label: str
    prompt_tokens: int


class Labeller:
    """Scores labels. The prior of a question (12 prompts) is computed once and kept with the tokens of its labels."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._priors: dict[_PriorKey, dict[str, float]] = {}
        self._paths: dict[tuple[str, tuple[str, ...]], Paths] = {}
        self._end: int | None = None

    def choose(self, messages: Sequence[Message], question: LabelQuestion) -> Choice:
        """The label that fits the last message best. Raises EngineRefused where the prompt is longer than the context."""
        framing = frame(messages, question)
        key = (framing.before, framing.cue, question.labels)
        paths = self._paths_of(framing.cue, question.labels)
        prompt = self._prompt(framing, framing.text)
        scores = self._score(prompt, paths)
        prior = self._priors.get(key)
        if prior is None:
            prompts = (self._prompt(framing, text) for text in REFERENCE_TEXTS)
            prior = mean_scores([self._score(reference, paths) for reference in prompts])
            self._priors[key] = prior
        return Choice(label=choose(scores, prior), prompt_tokens=len(prompt))

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._tokens(text))

    def _prompt(self, framing: Framing, text: str) -> list[int]:
        messages = [{"role": one.role, "content": one.text} for one in framing.messages(text)]
        prompt = self._engine.post("/apply-template", {"messages": messages})["prompt"]
        return self._tokens(prompt + framing.cue, is_prompt=True)

    def _tokens(self, text: str, *, is_prompt: bool = False) -> list[int]:
        body = {"content": text, "add_special": is_prompt, "parse_special": is_prompt}
        tokens: list[int] = self._engine.post("/tokenize", body)["tokens"]
        return tokens

    def _paths_of(self, cue: str, labels: tuple[str, ...]) -> Paths:
        if (cue, labels) not in self._paths:
            after = self._tokens(cue)
            paths = {}
            for label in labels:
                spelled = [
                    path_after(self._tokens(f"{cue} {spelling}"), after)
                    or tuple(self._tokens(f" {spelling}"))
                    for spelling in spellings(label)
                ]
                paths[label] = spelled
            self._paths[cue, labels] = paths
        return self._paths[cue, labels]

    def _score(self, prompt: list[int], paths: Paths) -> dict[str, float]:
        def ask(so_far: Tokens, candidates: Sequence[int]) -> dict[int, float]:
            body = {
                "prompt": [*prompt, *so_far],
                "n_predict": 1,
                "samplers": ["temperature"],
                "temperature": 1.0,
                "n_probs": len(candidates),
                "post_sampling_probs": True,
                "logit_bias": [[token, CANDIDATE_BIAS] for token in candidates],
                "cache_prompt": True,
            }
            answer = self._engine.post("/completion", body)
            top = answer["completion_probabilities"][0]["top_probs"]
            return log_chances({one["id"]: one["prob"] for one in top}, candidates)

        return score(paths, self._end_token(), ask)

    def _end_token(self) -> int:
        if self._end is None:
            mark = self._engine.get("/props")["eos_token"]
            self._end = self._tokens(mark, is_prompt=True)[-1]
        return self._end
