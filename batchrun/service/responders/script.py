"""The words in which a script is written: rules in a JSON file, for rehearsals, and what a rule may say.

    {"rules": [
      {"prompt": "refund", "label": "billing"},
      {"custom_id": "^[0-9]+-1-", "times": 1, "status": 500, "code": "server_error"},
      {"prompt": "long story", "finish": "length", "reply": "Once upon a"},
      {"share": 0.02, "times": 1, "status": 503},
      {"prompt": "weather", "turn": 1, "calls": [{"name": "weather", "arguments": {"place": "Boston"}}]},
      {"delay_s": 3600}
    ]}

The first rule that fits answers. One that only delays (no reply, no status) answers as if there were no rule.
"""

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from batchrun.errors import UsageError
from batchrun.model import Json, JsonObject
from batchrun.service.bodies import Call, Finish, Message, ident_of
from batchrun.service.complaints import read_complaint
from batchrun.service.conversation import answers_in
from batchrun.service.prompts import CHAT, COMPLETIONS, EDITS, GENERATIONS, RESPONSES, VIDEOS

_FAIL_WITH_200 = (RESPONSES, VIDEOS)
_CONVERSE = (RESPONSES, CHAT)


class ScriptedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a function, which need not be one that the request offers. `arguments`: text is sent as it is, also where it is no JSON."""

    name: str
    arguments: Json = msgspec.field(default_factory=dict)

    @property
    def call(self) -> Call:
        """The call as a model would write it."""
        given = self.arguments
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
        return Call(name=self.name, arguments=text)


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """When to answer, and what. All conditions must hold; a rule without any always fits.

    `custom_id` and `prompt` are regular expressions, searched in the custom_id and in the text of the whole conversation, calls of functions
    and what came of them included; `url` and `model` are compared. `turn`: only the so-manieth answer of a conversation, from 1, so that
    a repair or a round of tools, which is another request, gets the next rule. `share`: only this share (0 to 1) of all request bodies; it
    follows from the body, so that a retry is in it again. `times`: only the first so many times that it fits the same request body, so
    that a retry gets the next rule.

    Answers, of which a rule has at most one: `reply` (text), `json` (any value, sent as text), `label` (put where the schema has its
    first property with an enum; plain text without a schema), `calls` (of functions), `status` >= 400 (an HTTP error), `body` (sent as
    it is, with `status` or 200). `finish` says how the answer ended. `delay_s` passes on the clock first.

    Where the answer is no text, they mean: of a moderation, `label` a category to flag and `json` scores by category; of images,
    `reply` the base64 of one; of a video, `finish` "failed" that it failed, with `reply` as the message.
    """

    custom_id: str | None = None
    url: str | None = None
    model: str | None = None
    prompt: str | None = None
    turn: int | None = None
    share: float | None = None
    times: int | None = None

    reply: str | None = None
    json: Json | msgspec.UnsetType = msgspec.UNSET
    label: str | None = None
    calls: tuple[ScriptedCall, ...] | None = None
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
        if len(self.answers) > 1:
            return f"one rule gives one answer, this one gives {' and '.join(self.answers)}"
        if self.finish is Finish.FAILED and self.url not in (None, *_FAIL_WITH_200):
            return f"'finish': 'failed' exists on {' and '.join(_FAIL_WITH_200)} only"
        if self.calls is not None and self.url not in (None, *_CONVERSE):
            return f"'calls' exist on {' and '.join(_CONVERSE)} only"
        if self.url in (GENERATIONS, EDITS) and not _is_base64(self.reply or ""):
            return "'reply' must be base64 of an image there"
        for name in ("times", "turn"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                return f"{name!r} must be at least 1"
        if self.delay_s < 0:
            return "'delay_s' must be 0 or more seconds"
        if self.share is not None and not 0 <= self.share <= 1:
            return "'share' must lie between 0 and 1"
        return None

    @property
    def answers(self) -> list[str]:
        """The keys of the answers that it gives, at most one in a sound rule."""
        return [
            name
            for name, value in (
                ("reply", self.reply),
                ("json", None if self.json is msgspec.UNSET else self),
                ("label", self.label),
                ("calls", self.calls),
                ("body", self.body),
            )
            if value is not None
        ]

    def fits(
        self, *, url: str, body: JsonObject, custom_id: str | None, prompt: Sequence[Message]
    ) -> bool:
        """Whether all conditions but `times` hold."""
        return (
            (self.url is None or self.url == url)
            and (self.model is None or self.model == body.get("model"))
            and (self.custom_id is None or bool(re.search(self.custom_id, custom_id or "")))
            and (self.prompt is None or bool(re.search(self.prompt, _whole(prompt))))
            and (self.turn is None or self.turn == answers_in(prompt) + 1)
            and (self.share is None or self._lot(body) < self.share)
            # The other endpoints have no such answer; the rule is for those that have.
            and not (self.finish is Finish.FAILED and url not in _FAIL_WITH_200)
            and not (self.finish is Finish.REFUSAL and url == COMPLETIONS)
            and not (self.calls is not None and url not in _CONVERSE)
        )

    def _lot(self, body: JsonObject) -> float:
        """A number from 0 to 1 that follows from the body, and is another one for another rule."""
        words = (msgspec.json.encode(part, order="sorted").decode() for part in (self, body))
        return int(ident_of(*words), 16) / 16**32


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _whole(prompt: Sequence[Message]) -> str:
    return "\n".join(message.text for message in prompt)


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[Rule]


def read_rules(path: Path) -> list[Rule]:
    """The rules of a script file. Raises UsageError with the place of what is wrong."""
    try:
        script = msgspec.json.decode(path.read_bytes(), type=_Script)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Name an existing script of rules.") from error
    except msgspec.ValidationError as error:
        found = read_complaint(
            str(error),
            each=Rule,
            top=_Script,
            words={"finish": Finish},
            inner={"calls": ScriptedCall},
        )
        which = "" if found[0] is None else f"rule {found[0] + 1}: "
        raise UsageError(f"{path}: {which}{found[2]}. Correct the script of rules.") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: not JSON: {error}. Correct the script of rules.") from error
    for number, rule in enumerate(script.rules, 1):
        if (what := rule.problem()) is not None:
            raise UsageError(f"{path}: rule {number}: {what}.")
    return script.rules
