"""How the embedded model chooses between labels: by calibrated log-probability, not by writing.

Asked to write one of three labels, a very small model writes the same one nearly always: it prefers that word before it has read
anything. So each label is scored, `log P(label | text)`, and what the label scores on texts that have nothing to say about the question,
its prior, is taken away; the highest difference wins. The idea is that of Zhao, Wallace, Feng, Klein and Singh, "Calibrate Before Use:
Improving Few-Shot Performance of Language Models" (2021); here the reference texts are ordinary sentences instead of "N/A".

All of it is pure: `Scorer` asks for probabilities through a function.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batchrun.model import JsonObject
from batchrun.service.bodies import Message

Tokens: TypeAlias = tuple[int, ...]

#: `(tokens so far, candidates) -> log-probability of each candidate as the next token`, relative to the candidates alone.
NextToken: TypeAlias = Callable[[Tokens, Sequence[int]], Mapping[int, float]]

LOG_FLOOR = -100.0  # below what a 32-bit float can say of a probability: "never"

# Everyday sentences of all moods that, taken together, speak for no label. Fixed: they are part of what an answer depends on.
REFERENCE_TEXTS = (
    "The bus stops in front of the school.",
    "Salt dissolves in warm water.",
    "She bought a pair of gloves last week.",
    "The firm has an office in two other towns.",
    "I liked it very much.",
    "It turned out rather badly.",
    "Please send the form to this address.",
    "They play chess every Sunday evening.",
    "The price has gone up again.",
    "Something is wrong with the window.",
    "All in all it was fine.",
    "When does the library open?",
)

_CUE = re.compile(r"\n[ \t]*(?P<cue>[^\n:\uff1a]{1,40}[:\uff1a])\s*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelQuestion:
    """A choice between labels: the answer is the JSON object `{key: one of labels}`. Labels are distinct and not empty."""

    key: str
    labels: tuple[str, ...]


def label_question(schema: JsonObject) -> LabelQuestion | None:
    """The choice that a schema asks for: an object whose only property is an enum of strings. None for any other schema."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or len(properties) != 1:
        return None
    ((key, one),) = properties.items()
    labels = one.get("enum") if isinstance(one, dict) else None
    if not isinstance(labels, list) or not labels or schema.get("required") != [key]:
        return None
    if not all(isinstance(label, str) and label for label in labels):
        return None
    return LabelQuestion(key=key, labels=tuple(dict.fromkeys(labels)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """A request, taken apart for scoring. `before` is all but the text to judge; `cue` is how the answer begins (`Sentiment:`)."""

    before: tuple[Message, ...]
    text: str
    cue: str

    def messages(self, text: str) -> list[Message]:
        """The prompt, with `text` where the text to judge was."""
        return [*self.before, Message(role="user", text=text)]


def frame(messages: Sequence[Message], question: LabelQuestion) -> Framing:
    """Take a prompt (a system message first, a user's last) apart.

    A last line such as `Sentiment:` is the cue: it says what kind of label is wanted, which helps a small model most. Without one the
    name of the property serves. Labels that the system message does not name are added to it.
    """
    system, *between, last = messages
    text, cue = last.text.rstrip(), f"{question.key.replace('_', ' ').capitalize()}:"
    found = _CUE.search(text)
    if found is not None:
        text, cue = text[: found.start()].rstrip(), found["cue"].strip()
    told = system.text.casefold()
    if not all(label.casefold() in told for label in question.labels):
        told_labels = f"Classify the text as {_listed(question.labels)}."
        system = Message(role=system.role, text=f"{system.text}\n{told_labels}".strip())
    return Framing(before=(system, *between), text=text, cue=cue)


def _listed(labels: Sequence[str]) -> str:
    *most, last = labels
    return f"{', '.join(most)} or {last}" if most else last


def spellings(label: str) -> tuple[str, ...]:
    """How a model may begin the label after a cue: as it is, and with a capital."""
    return tuple(dict.fromkeys((label, label[0].upper() + label[1:])))


def path_after(whole: Sequence[int], cue: Sequence[int]) -> Tokens | None:
    """The tokens of a label, given those of cue and label together; None where they merge across the border."""
    count = len(cue)
    return tuple(whole[count:]) if list(whole[:count]) == list(cue) and whole[count:] else None


def score(paths: Mapping[str, Sequence[Tokens]], end: int, ask: NextToken) -> dict[str, float]:
    """The log-probability of each label, given that the answer is one of them.

    `paths` gives each label's spellings as tokens. Asks once for each place where paths part, so labels that begin with the same tokens
    are told apart by the later ones, and a label that is the beginning of another by `end`, the token that ends an answer.
    """
    found: dict[str, list[float]] = {label: [] for label in paths}
    every = [(label, path) for label, spelled in paths.items() for path in spelled]
    for label, log_probability in _leaves(every, (), end, ask):
        found[label].append(log_probability)
    return {label: _log_sum(values) for label, values in found.items()}


def _leaves(
    group: Sequence[tuple[str, Tokens]], so_far: Tokens, end: int, ask: NextToken
) -> Iterator[tuple[str, float]]:
    """Each label of the group and its log-probability after `so_far`, once for each way to say it."""
    labels = dict.fromkeys(label for label, _ in group)
    depth = len(so_far)
    branches: dict[int, list[tuple[str, Tokens]]] = {}
    for label, path in group:
        branches.setdefault(path[depth] if depth < len(path) else end, []).append((label, path))
    if len(labels) == 1 or set(branches) == {end}:
        # Whatever is left to say, it is this label; or these are of the same tokens, and nothing tells them apart.
        for label in labels:
            yield label, 0.0
        return
    chances = ask(so_far, list(branches)) if len(branches) > 1 else dict.fromkeys(branches, 0.0)
    for token, branch in branches.items():
        for label, log_probability in _leaves(branch, (*so_far, token), end, ask):
            yield label, chances[token] + log_probability


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The prior: each label's mean log-probability over the reference texts."""
    return {label: math.fsum(one[label] for one in scores) / len(scores) for label in scores[0]}


def choose(scores: Mapping[str, float], prior: Mapping[str, float]) -> str:
    """The label that the text raises most above its prior; the first of equals."""
    return max(scores, key=lambda label: scores[label] - prior[label])


def log_chances(probabilities: Mapping[int, float], candidates: Sequence[int]) -> dict[int, float]:
    """Log-probabilities of the candidates; those that are absent or 0 (a 32-bit underflow) get LOG_FLOOR."""
    return {
        token: math.log(chance) if (chance := probabilities.get(token, 0.0)) > 0 else LOG_FLOOR
        for token in candidates
    }
