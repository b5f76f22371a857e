"""Answers from a script: for tests, and for rehearsing a night's run without spending anything.

Without a script it answers everything plausibly and always the same: an instance of the schema where there is one, a call where a
function must be called, else the prompt itself; what is no text is in `made.py`. Bodies are complete, with tokens counted (roughly: 4 bytes each).
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from batchrun.clock import Clock
from batchrun.model import Json, JsonObject, Usage
from batchrun.service.bodies import (
    Call,
    Finish,
    chat_body,
    completions_body,
    error_body,
    ident_of,
    responses_body,
)
from batchrun.service.prompts import (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    max_tokens_of,
    model_of,
    prompt_of,
    schema_of,
)
from batchrun.service.responders.base import Reply, Responder
from batchrun.service.responders.examples import example_of
from batchrun.service.responders.made import MAKERS, check_request, tokens_in
from batchrun.service.responders.script import Rule, read_rules
from batchrun.service.tools import Choice, offer_of

_BYTES_PER_TOKEN = 4
_BUILDERS: Mapping[str, Callable[..., JsonObject]] = {
    RESPONSES: responses_body,
    CHAT: chat_body,
    COMPLETIONS: completions_body,
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

# A script in Python: what to do about one request. None answers as if there were no rule.
Script = Callable[[str, JsonObject, str | None], Rule | None]


class ScriptedResponder(Responder):
    """Answers by the first fitting rule of a sequence, or by what a function (url, body, custom_id) returns.

    `models` are the names for GET /v1/models. `seen` is a file in which the fits of rules with `times` are kept, for scripts that
    several processes play one after the other; without it they are counted in memory.
    """

    def __init__(
        self,
        script: Sequence[Rule] | Script = (),
        *,
        clock: Clock,
        concurrency: int = 1,
        models: Sequence[str] = ("scripted",),
        seen: Path | None = None,
    ) -> None:
        self._choose: Script = script if callable(script) else self._first_fitting
        self._rules: Sequence[Rule] = () if callable(script) else script
        self._clock = clock
        self._concurrency = concurrency
        self._models = list(models)
        self._seen_path = seen
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        if seen is not None and seen.exists():
            self._seen.update(seen.read_text("ascii").split())

    @classmethod
    def from_file(
        cls, path: Path, *, clock: Clock, seen: Path | None = None
    ) -> "ScriptedResponder":
        """Play the rules of a file (script.py says how one is written). Raises UsageError."""
        return cls(read_rules(path), clock=clock, seen=seen)

    @property
    def concurrency(self) -> int:
        """As given."""
        return self._concurrency

    def models(self) -> list[str]:
        """As given."""
        return self._models

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:
        """Answer as the script says. A request that the API would refuse for its shape is refused first: ServiceError 400."""
        model_of(body)
        prompt_of(url, body)
        check_request(url, body)
        rule = self._choose(url, body, custom_id) or Rule()
        if rule.delay_s:
            self._clock.sleep_until(self._clock.now() + rule.delay_s)
        if rule.body is not None:
            return Reply(status_code=rule.status, body=rule.body)
        if rule.status != 200:
            return Reply(status_code=rule.status, body=_error_of(rule))
        ident = ident_of(url, custom_id or "", msgspec.json.encode(body, order="sorted").decode())
        make = MAKERS.get(url)
        if make is not None:
            return Reply(status_code=200, body=make(rule, url, body, ident, self._clock.now()))
        return Reply(status_code=200, body=self._answer(rule, url, body, ident))

    def _first_fitting(self, url: str, body: JsonObject, custom_id: str | None) -> Rule | None:
        prompt = prompt_of(url, body)
        for number, rule in enumerate(self._rules):
            if rule.fits(url=url, body=body, custom_id=custom_id, prompt=prompt) and (
                rule.times is None or self._count(number, body) <= rule.times
            ):
                return rule
        return None

    def _count(self, number: int, body: JsonObject) -> int:
        """How often this rule has fitted this body, this time included."""
        encoded = msgspec.json.encode(body, order="sorted").decode()
        key = f"{number}-{ident_of(encoded)}"
        with self._lock:
            self._seen[key] += 1
            if self._seen_path is not None:
                with self._seen_path.open("a", encoding="ascii") as kept:
                    kept.write(key + "\n")
            return self._seen[key]

    def _answer(self, rule: Rule, url: str, body: JsonObject, ident: str) -> JsonObject:
        """Text or calls, cut where the request says so; calls are never cut."""
        calls = _calls_of(rule, url, body)
        text, finish = "" if calls else _text_of(rule, url, body), rule.finish
        limit = max_tokens_of(url, body)
        if limit is not None and tokens_in(text) > limit:
            text = text.encode()[: limit * _BYTES_PER_TOKEN].decode(errors="ignore")
            finish = Finish.LENGTH if finish is Finish.STOP else finish
        usage = Usage(
            input_tokens=sum(tokens_in(message.text) for message in prompt_of(url, body)),
            output_tokens=tokens_in("".join([text, *(call.text for call in calls)])),
        )
        more: JsonObject = {} if url == COMPLETIONS else {"calls": calls}
        if url == RESPONSES:
            more["request"] = body
        return _BUILDERS[url](
            body["model"],
            text,
            usage=usage,
            created_at=self._clock.now(),
            ident=ident,
            finish=finish,
            **more,
        )


def _calls_of(rule: Rule, url: str, body: JsonObject) -> list[Call]:
    """Those of the rule; where it says nothing and a function must be called, one with made-up arguments."""
    if url == COMPLETIONS:
        return []
    offer = offer_of(url, body)
    if rule.calls is not None:
        return [scripted.call for scripted in rule.calls]
    if rule.answers or offer.choice is not Choice.REQUIRED:
        return []
    return [
        Call(name=one.name, arguments=msgspec.json.encode(example_of(one.parameters)).decode())
        for one in offer.functions[:1]
    ]


def _text_of(rule: Rule, url: str, body: JsonObject) -> str:
    if rule.reply is not None:
        return rule.reply
    if rule.json is not msgspec.UNSET:
        return msgspec.json.encode(rule.json).decode()
    schema = schema_of(url, body)
    if schema is not None:
        return msgspec.json.encode(_instance(schema, rule.label)).decode()
    if rule.label is not None:
        return rule.label
    return prompt_of(url, body)[-1].text


def _instance(schema: JsonObject, label: str | None) -> Json:
    instance = example_of(schema)
    properties = schema.get("properties", {})
    for name, inner in properties.items() if label is not None else ():
        if isinstance(inner, dict) and "enum" in inner:
            return {**instance, name: label}
    return instance


def _error_of(rule: Rule) -> JsonObject:
    default = "server_error" if rule.status >= 500 else "invalid_request_error"
    return error_body(
        rule.message or f"The script answers HTTP {rule.status} here.",
        type=rule.type or _TYPES.get(rule.status, default),
        code=rule.code,
    )
