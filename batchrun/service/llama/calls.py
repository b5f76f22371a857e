"""Calls of functions by a model that may never have learned any: it is told what there is, and its answer is held to a grammar. Pure.

An answer is `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as many open models were trained to write, or what it would be without
functions; never both. The mark at its beginning tells them apart, so the model decides with its first words, where it may decide.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from batchrun.model import JsonObject
from batchrun.service.conversation import TOOL, Call, Message
from batchrun.service.refusals import ServiceError
from batchrun.service.tools import Choice, Function, Offer

# With free white space a small model falls into endless line feeds; one space after `:` and `,` is what it has read most.
_STYLE: Final[JsonObject] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
_CALL: Final = re.compile(r'<tool_call>\{"name": "(?P<name>[\w-]+)", "arguments": ', re.ASCII)
_TOLD: Final = """\
You can call these functions:
{functions}
To call one, answer with nothing but <tool_call>{{"name": the function, "arguments": {{…}}}}</tool_call>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an answer may be: one of `functions` called, and, unless `must_call`, text, or JSON of `schema` where there is one."""

    functions: tuple[Function, ...] = ()
    must_call: bool = False
    schema: JsonObject | None = None

    @property
    def schemas(self) -> Mapping[str | None, JsonObject]:
        """All schemas that the model is held to: of functions by where they stand in the request, of text by None."""
        found: dict[str | None, JsonObject] = {one.param: one.parameters for one in self.functions}
        return found if self.schema is None else {None: self.schema, **found}


def rules_of(
    offer: Offer,
    messages: Sequence[Message],
    schema: JsonObject | None,
    *,
    calls_if_it_may: bool,
) -> Rules:
    """The rules for the next answer of a conversation.

    `calls_if_it_may`: under tool_choice `auto` a function is called first, and its result is answered in text. For models that are too
    small to decide.
    """
    functions, must_call = offer.functions, offer.choice is Choice.REQUIRED
    if calls_if_it_may and offer.choice is Choice.AUTO:
        must_call = messages[-1].role != TOOL
        functions = functions if must_call else ()
    return Rules(functions=functions, must_call=must_call and bool(functions), schema=schema)


def told(functions: Sequence[Function]) -> str:
    """What the system message says of the functions."""
    lines = []
    for function in functions:
        about = {} if function.description is None else {"description": function.description}
        one = {"name": function.name, **about, "parameters": function.parameters}
        lines.append(json.dumps(one, ensure_ascii=False))
    return _TOLD.format(functions="\n".join(lines))


def grammar(rules: Rules) -> str | None:
    """The rules in llguidance's notation; None for free text.

    Every schema has a rule of its own, so that references within it are to itself.
    """
    if rules.schema is None and not rules.functions:
        return None
    starts, lines = [], []
    for number, function in enumerate(rules.functions):
        head = f'<tool_call>{{"name": "{function.name}", "arguments": '
        starts.append(f"call{number}")
        lines.append(f'call{number}: {json.dumps(head)} arguments{number} "}}</tool_call>"')
        lines.append(f"arguments{number}: {_json(function.parameters)}")
    if not rules.must_call:
        starts.append("text")
        lines.append(f"text: {'FREE' if rules.schema is None else _json(rules.schema)}")
        lines += [r"FREE: /[^<](?s:.*)/"] if rules.schema is None else []
    return "\n".join(["%llguidance {}", f"start: {' | '.join(starts)}", *lines])


def _json(schema: JsonObject) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": _STYLE})


def call_in(text: str, *, is_whole: bool) -> Call | None:
    """The call that an answer is, or None. One that was cut (not `is_whole`) has as much of its arguments as there is."""
    head = _CALL.match(text)
    if head is None:
        return None
    rest = text[head.end() :]
    try:
        _, end = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return None if is_whole else Call(name=head["name"], arguments=rest)
    return Call(name=head["name"], arguments=rest[:end])


def shown(messages: Sequence[Message]) -> list[Message]:
    """A conversation as chat templates know it: what functions gave is the user's, and nobody speaks twice in a row."""
    turns: list[Message] = []
    for message in messages:
        role, text = message.role, message.text
        if role == TOOL:
            role, text = "user", f"<tool_response>{text}</tool_response>"
        if turns and turns[-1].role == role:
            said = [part for part in (turns.pop().text, text) if part]
            text = "\n".join(said)
        turns.append(Message(role=role, text=text))
    return turns


def unusable_parameters(param: str, why: str) -> ServiceError:
    """The schema of a function is none that the local model can be held to."""
    return ServiceError(
        status=400,
        message=f"Invalid schema in '{param}': the local model cannot follow it: {why}.",
        code="invalid_function_parameters",
        param=param,
    )
