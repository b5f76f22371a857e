"""The words in which a script is written: rules in a JSON file, for rehearsals, and what a rule may say.

    {"rules": [
      {"prompt": "refund", "label": "billing"},
      {"custom_id": "^[0-9]+-1-", "times": 1, "status": 500, "code": "server_error"},
      {"prompt": "long story", "finish": "length", "reply": "Once upon a"},
      {"share": 0.02, "times": 1, "status": 503},
      {"delay_s": 3600}
    ]}

The first rule that fits answers. One that only delays (no reply, no status) answers as if there were no rule.
"""

import re
from pathlib import Path

import msgspec

from batchrun.errors import UsageError
from batchrun.model import Json, JsonObject
from batchrun.service.bodies import Finish, ident_of
from batchrun.service.complaints import read_complaint
from batchrun.service.prompts import COMPLETIONS, RESPONSES, VIDEOS

_FAIL_WITH_200 = (RESPONSES, VIDEOS)


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """When to answer, and what. All conditions must hold; a rule without any always fits.

    `custom_id` and `prompt` are regular expressions, searched in the custom_id and in the text of all messages; `url` and `model` are
    compared. `share`: only this share (0 to 1) of all request bodies; it follows from the body, so that a retry is in it again. `times`:
    only the first so many times that it fits the same request body, so that a retry gets the next rule.

    Answers, of which a rule has at most one: `reply` (text), `json` (any value, sent as text), `label` (put where the schema has its
    first property with an enum; plain text without a schema), `status` >= 400 (an HTTP error), `body` (sent as it is, with `status`
    or 200). `finish` says how the answer ended. `delay_s` passes on the clock first.

    Where the answer is no text, they mean: of a moderation, `label` a category to flag and `json` scores by category; of images,
    `reply` the base64 of one; of a video, `finish` "failed" that it failed, with `reply` as the message.
    """

    custom_id: str | None = None
    url: str | None = None
    model: str | None = None
    prompt: str | None = None
    share: float | None = None
    times: int | None = None

    reply: str | None = None
    json: Json | msgspec.UnsetType = msgspec.UNSET
    label: str | None = None
    body: JsonObject | None = None
    status: int = 200
    code: str | None = None
    type: str | None = None
    message: str | None = None
    finish: Finish = Finish.STOP
    delay_s: int = 0

    def problem(self) -> str | None:
        """What is wrong with the rule, or None."""
        for name in ("custom_id", "prompt"):
            pattern = getattr(self, name)
            try:
                re.compile(pattern or "")
            except re.error as error:
                return f"{name!r} is not a regular expression: {error}"
        answers = [
            name
            for name, value in (
                ("reply", self.reply),
                ("json", None if self.json is msgspec.UNSET else self),
                ("label", self.label),
                ("body", self.body),
            )
            if value is not None
        ]
        if len(answers) > 1:
            return f"one rule gives one answer, this one gives {' and '.join(answers)}"
        if self.finish is Finish.FAILED and self.url not in (None, *_FAIL_WITH_200):
            return f"'finish': 'failed' exists on {' and '.join(_FAIL_WITH_200)} only"
        if self.times is not None and self.times < 1:
            return "'times' must be at least 1"
        if self.delay_s < 0:
            return "'delay_s' must be 0 or more seconds"
        if self.share is not None and not 0 <= self.share <= 1:
            return "'share' must lie between 0 and 1"
        return None

    def fits(self, *, url: str, body: JsonObject, custom_id: str | None, prompt: str) -> bool:
        """Whether all conditions but `times` hold."""
        return (
            (self.url is None or self.url == url)
            and (self.model is None or self.model == body.get("model"))
            and (self.custom_id is None or bool(re.search(self.custom_id, custom_id or "")))
            and (self.prompt is None or bool(re.search(self.prompt, prompt)))
            and (self.share is None or self._lot(body) < self.share)
            # The other endpoints have no such answer; the rule is for those that have.
            and not (self.finish is Finish.FAILED and url not in _FAIL_WITH_200)
            and not (self.finish is Finish.REFUSAL and url == COMPLETIONS)
        )

    def _lot(self, body: JsonObject) -> float:
        """A number from 0 to 1 that follows from the body, and is another one for another rule."""
        words = (msgspec.json.encode(part, order="sorted").decode() for part in (self, body))
        return int(ident_of(*words), 16) / 16**32


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[Rule]


def read_rules(path: Path) -> list[Rule]:
    """The rules of a script file. Raises UsageError with the place of what is wrong."""
    try:
        script = msgspec.json.decode(path.read_bytes(), type=_Script)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Name an existing script of rules.") from error
    except msgspec.ValidationError as error:
        found = read_complaint(str(error), each=Rule, top=_Script, words={"finish": Finish})
        which = "" if found[0] is None else f"rule {found[0] + 1}: "
        raise UsageError(f"{path}: {which}{found[2]}. Correct the script of rules.") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: not JSON: {error}. Correct the script of rules.") from error
    for number, rule in enumerate(script.rules, 1):
        if (what := rule.problem()) is not None:
            raise UsageError(f"{path}: rule {number}: {what}.")
    return script.rules
