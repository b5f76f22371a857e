"""What is looked at between `validating` and `in_progress`: every line of an input file, streamed. Pure but for reading.

All problems are found in one pass, up to a limit, each as one entry of the batch's `errors.data`. The codes are those that OpenAI is
known to use; where its code for a problem is not known, it is `invalid_request`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from batchrun.model import Json, JsonObject, Limits
from batchrun.service.bodies import EMBEDDINGS

PROBLEM_LIMIT = 100  # more than that says nothing new, and would make the batch object heavy
_BYTES_PER_TOKEN = 4  # a rough count of prompt tokens; the queue's limit needs no better one
_KEYS = {"custom_id": str, "method": str, "url": str, "body": dict}
_TYPE_NAMES = {str: "a string", dict: "an object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outcome: `problems` are entries of `errors.data`; without any, the counts hold for the whole file."""

    total: int
    model: str | None
    prompt_tokens: int
    problems: tuple[JsonObject, ...]


def problem(
    code: str, message: str, *, line: int | None = None, param: str | None = None
) -> JsonObject:
    """One entry of `errors.data`; `line` is 1-based."""
    return {"code": code, "message": message, "line": line, "param": param}


def check_input(
    lines: Iterable[bytes],
    *,
    endpoint: str,
    size: int,
    limits: Limits,
    models: frozenset[str] | None,
) -> Checked:
    """Check an input file of `size` bytes, given as lines with their newlines. Holds the custom_ids of one file, nothing else.

    `models` are the names that exist; None accepts any.
    """
    check = _Check(endpoint=endpoint, limits=limits, models=models)
    if size > limits.input_bytes:
        what = f"The input file has {size} bytes; the limit is {limits.input_bytes}."
        check.problems.append(problem("invalid_request", what))
        lines = ()
    elif size == 0:
        check.problems.append(problem("empty_file", "The input file is empty."))
    for line in lines:
        if not check.feed(line):
            break
    return Checked(
        total=check.total,
        model=check.model,
        prompt_tokens=size // _BYTES_PER_TOKEN,
        problems=tuple(check.problems),
    )


class _Check:
    """The running state of one pass."""

    def __init__(self, *, endpoint: str, limits: Limits, models: frozenset[str] | None) -> None:
        self.total = 0
        self.model: str | None = None
        self.problems: list[JsonObject] = []
        self._endpoint = endpoint
        self._limits = limits
        self._models = models
        self._first_lines: dict[str, int] = {}
        self._embedding_inputs = 0

    def feed(self, raw: bytes) -> bool:
        """Check one more line; False when there is no point in going on."""
        self.total += 1
        if self.total > self._limits.request_count:
            what = f"The input file has more than {self._limits.request_count} requests."
            self.problems.append(problem("too_many_tasks", what))
            return False
        try:
            line = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._add("invalid_json_line", "This line is not parseable as valid JSON.")
            return len(self.problems) < PROBLEM_LIMIT
        if not isinstance(line, dict):
            self._add("invalid_json_line", "This line is not a JSON object.")
            return len(self.problems) < PROBLEM_LIMIT
        for code, message, param in self._problems_of(line):
            self._add(code, message, param)
        return len(self.problems) < PROBLEM_LIMIT

    def _add(self, code: str, message: str, param: str | None = None) -> None:
        self.problems.append(problem(code, message, line=self.total, param=param))

    def _problems_of(self, line: JsonObject) -> Iterator[tuple[str, str, str | None]]:
        is_whole = True
        for key, wanted in _KEYS.items():
            value = line.get(key)
            if value is None or value == "":
                is_whole = False
                yield "missing_required_parameter", f"Missing required parameter: '{key}'.", key
            elif not isinstance(value, wanted):
                is_whole = False
                yield "invalid_request", f"'{key}' must be {_TYPE_NAMES[wanted]}.", key
        custom_id = line.get("custom_id")
        if isinstance(custom_id, str) and custom_id:
            first = self._first_lines.setdefault(custom_id, self.total)
            if first != self.total:
                what = f"The custom_id '{custom_id}' was used before, on line {first}."
                yield "duplicate_custom_id", what, "custom_id"
        if not is_whole:
            return
        if line["method"] != "POST":
            yield "invalid_request", f"The method must be POST, not '{line['method']}'.", "method"
        if line["url"] != self._endpoint:
            what = f"The url '{line['url']}' is not the endpoint of the batch, '{self._endpoint}'."
            yield "url_mismatch", what, "url"
        yield from self._problems_of_body(line["body"])

    def _problems_of_body(self, body: JsonObject) -> Iterator[tuple[str, str, str | None]]:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            yield (
                "missing_required_parameter",
                "Missing required parameter: 'body.model'.",
                "body.model",
            )
        elif self._models is not None and model not in self._models:
            yield "model_not_found", f"The model '{model}' does not exist.", "body.model"
        elif self.model is None:
            self.model = model
        elif model != self.model:
            what = f"The model '{model}' is not that of the lines before, '{self.model}': one model per input file."
            yield "model_mismatch", what, "body.model"
        if body.get("stream"):
            yield "invalid_request", "Streaming is not possible in a batch.", "body.stream"
        if self._endpoint == EMBEDDINGS:
            self._embedding_inputs += _input_count(body.get("input"))
            if self._embedding_inputs > self._limits.embedding_inputs:
                # Said once: the lines after it would all repeat it.
                self._embedding_inputs = -(1 << 62)
                what = f"The input file has more than {self._limits.embedding_inputs} embedding inputs."
                yield "invalid_request", what, "body.input"


def _input_count(asked: Json) -> int:
    """How many texts an embeddings request holds; an array of integers is one text, in tokens."""
    if isinstance(asked, list) and not (asked and all(type(token) is int for token in asked)):
        return len(asked)
    return 1
