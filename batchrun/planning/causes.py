"""The causes of failure, by stable code: what happened, what to do about it, and the command that does it.

The codes are part of the output format (`failures.jsonl`, `report.json`): they are added to, never renamed. A service's own unknown
code is not a cause; it stays in the message, and the cause is that of its class.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

# A command for one cause buys nothing for the others: the items of other causes stay failed, answered ones keep their answers.
_RETRY = "batchrun retry {job} --cause {cause}"
_SUBMIT = "batchrun submit {path} --new-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for which an item has no answer.

    `title` says what happened in a line, `fix` what to do, `command` does it; the last two are templates over {job} (the job's name)
    and {path} (its job file), the fix over {cap} (what bounds an answer) and the command over {cause} (the code that the items bear) too. `is_retryable`: the same request may well succeed next time, so `batchrun retry` alone is worth it.
    """

    code: str
    title: str
    fix: str
    is_retryable: bool
    command: str

    def fix_for(self, *, job: str, path: str, cap: str = "max_output_tokens") -> str:
        """What to do, for people. `cap`: what bounds an answer of this job, in words."""
        words = {"{cap}": cap, "{job}": job, "{path}": path}
        return re.sub(r"\{\w+\}", lambda found: words[found[0]], self.fix)

    def command_for(self, *, job: str, path: str, code: str | None = None) -> str:
        """The exact command, ready to paste into a POSIX shell; `code`: that of the items, where this cause stands in for an unknown one."""
        words = {"{cause}": code or self.code, "{job}": job, "{path}": path}
        return re.sub(r"\{\w+\}", lambda found: _quoted(words[found[0]]), self.command)


def _quoted(word: str) -> str:
    """`word` for the shell: as it is where that is safe, else in single quotes."""
    if word and all(char.isalnum() or char in "@%+=:,./-_" for char in word) and word.isascii():
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _by_code(causes: Iterable[Cause]) -> Mapping[str, Cause]:
    return MappingProxyType({cause.code: cause for cause in causes})


CAUSES: Mapping[str, Cause] = _by_code(
    (
        # The service, for now: the attempts ran out while it was busy or ill.
        Cause(
            code="rate_limited",
            title="the service was over its rate limit",
            fix="Ask again later; where it recurs, run fewer batches of this model at once.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="server_error",
            title="the service failed inside",
            fix="Ask again later; nothing is wrong with the item.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="timeout",
            title="the service took too long over the request",
            fix="Ask again; where it recurs, make the item shorter or lower max_output_tokens.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="expired",
            title="the completion window closed before the request ran",
            fix="Ask again; a request that did not run is not charged.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="cancelled",
            title="the batch was cancelled before the request ran",
            fix="Ask again when it is wanted after all.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="missing_result",
            title="the batch ended without a result for the item",
            fix="Ask again; the missing request may have been charged.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="lost_result",
            title="the batch or its result files are gone from the service",
            fix="Ask again, knowing that the lost request may have been charged.",
            is_retryable=True,
            command=f"{_RETRY} --rerun-lost",
        ),
        Cause(
            code="uncertain",
            title="the request was sent, and nobody knows whether it was executed",
            fix='Ask again, knowing that the first request may have been charged; `"uncertain": "retry"` in {path} does so by itself.',
            is_retryable=True,
            command=f"{_RETRY} --rerun-uncertain",
        ),
        Cause(
            code="malformed_result",
            title="the result line cannot be read",
            fix="Look at the line as received (`batchrun explain`); ask again, knowing that it may have been charged.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="attachment_gone",
            title="an uploaded attachment was gone from the service",
            fix="Ask again: it is uploaded anew.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="video_expired",
            title="the video expired before it could be fetched",
            fix="Ask again, knowing that it may have been charged, and fetch it within 24 hours of the batch's end.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="unknown",
            title="the service gave an error that batchrun does not know",
            fix="Read the message; ask again if it sounds temporary.",
            is_retryable=True,
            command=_RETRY,
        ),
        # The account.
        Cause(
            code="insufficient_quota",
            title="the account has no credit left or met its spending limit",
            fix="Add credit or raise the limit with the service, then ask again.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="auth",
            title="the service does not let this key ask this",
            fix="Check the key, its project and its permissions, then ask again; where other items were answered, a moderation or a firewall may mind this one: reword it.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="model_not_found",
            title="the service does not know the model, or not for this account",
            fix='Correct "model" in {path} and submit again.',
            is_retryable=False,
            command=_SUBMIT,
        ),
        # The request.
        Cause(
            code="bad_request",
            title="the service refused the request",
            fix="The message says what; correct it in {path} (if the server lacks the endpoint, choose another endpoint or server) and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="context_length_exceeded",
            title="the item is longer than the model's context",
            fix="Shorten the item, or choose a model with a larger context, and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="too_large",
            title="the request is larger than the service takes",
            fix="Shorten the item and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="rejected",
            title="the service refused the whole batch",
            fix="The message says why: if it is about the requests, correct {path}; if the server takes no such batch or file, choose another server. Then submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="bad_item",
            title="the item cannot be read",
            fix="Correct the line that the message names and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="template_error",
            title="the prompt template fails on the item",
            fix="Correct the item or the template and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        # The answer: given and paid for, but of no use as it is.
        Cause(
            code="length",
            title="the answer was cut at max_output_tokens",
            fix=(
                "Raise {cap} in {path} (it counts reasoning too) and submit it with --new-only: "
                "that asks the failed items, and the others keep their answers."
            ),
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="content_filter",
            title="the service's content filter stopped the request or the answer",
            fix="Rephrase the item or the prompt and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="refusal",
            title="the model declined to answer",
            fix="Rephrase the item or the prompt and submit again.",
            is_retryable=False,
            command=_SUBMIT,
        ),
        Cause(
            code="empty_output",
            title="the answer is empty",
            fix="Ask again; where it recurs, raise max_output_tokens or lower the reasoning effort.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="invalid_json",
            title="the answer is not JSON, though a schema was given",
            fix="Ask again; where it recurs, ask for JSON in the prompt, or use a model and server that keep to a schema.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="schema_mismatch",
            title="the answer does not fit the schema",
            fix="Ask again; where it recurs, loosen the schema or use a stronger model.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="label_mismatch",
            title="the answer is none of the labels",
            fix="Ask again; where it recurs, name the labels in the prompt, or use a model and server that keep to a schema.",
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="tool_rounds",
            title="the model still called functions after the last round",
            fix=(
                'First raise "rounds" in {path} and submit it: a retry alone would end in the same round. Then ask again: the conversation '
                "begins anew. `batchrun explain` shows its calls."
            ),
            is_retryable=True,
            command=_RETRY,
        ),
        Cause(
            code="lost_calls",
            title="the model called functions, and what it was told before is lost with an older ledger",
            fix="Ask again: the conversation begins anew, and its functions may run once more.",
            is_retryable=True,
            command=_RETRY,
        ),
    )
)


def cause_of(code: str) -> Cause:
    """The cause with this code; one of a newer batchrun's codes is shown as `unknown`."""
    return CAUSES.get(code, CAUSES["unknown"])
