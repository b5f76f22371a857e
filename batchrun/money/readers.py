"""What of a request body is counted, by endpoint: its texts, what the service adds around them, images, and the caps on its answer.

What the service adds is not published. The rules here are the ones that its cookbook gives for chat; tools and schemas are rendered for the
model in a way of its own, and are counted as they are written, within a fifth.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from batchrun.model import Json, JsonObject
from batchrun.money.asked import MESSAGE_TOKENS, UNSEEN, Asked, Body, kind_of

REPLY_TOKENS: Final = 3  # the beginning of the answer
TOOL_TOKENS: Final = 7  # around each function
TOOLS_TOKENS: Final = 12  # around all of them
LOOSE: Final = 5  # of tools and schemas: one part in so many more
SLACK_TOKENS: Final = 3  # of each request of messages, more than the rules say
COMPLETION_CAP: Final = 16  # of /v1/completions, where no cap is given. Source: the SDK on CompletionCreateParams.max_tokens


def asked(url: str, body: Body) -> Asked:
    """A request taken apart. Of an endpoint that is not known here all texts of input, prompt and messages are counted."""
    found = _READERS.get(url, _responses)(body)
    found.tier = body.service_tier
    found.unbound = _unbound(body)
    return found


def _unbound(body: Body) -> str:
    """Why nothing bounds what it costs, or ""."""
    if body.audio is not None or (isinstance(body.modalities, list) and "audio" in body.modalities):
        return "what it answers in sound is bound by nothing"
    if body.prediction is not None:
        return "a 'prediction' is billed as output wherever it is wrong, and no cap holds for that"
    if body.context_management is not None:
        return (
            "'context_management' may have the model work more than once, and no cap holds for that"
        )
    # Of services that stand between many others.
    if body.models is not None:
        return "any of its 'models' may answer, each at a price of its own"
    if body.plugins is not None:
        return "what its 'plugins' take is not known"
    if (mode := _field(body.reasoning, "mode")) not in {None, "standard"}:
        return f"what reasoning in the mode {mode!r} takes is not known"
    if (ttl := _field(body.prompt_cache_options, "ttl")) not in {None, "30m"}:
        return f"what it costs to keep a prompt in the cache for {ttl!r} is not known"
    return ""


_OTHER_INPUT: Final = "input of other kinds"


def _responses(body: Body) -> Asked:
    found = Asked(overhead=REPLY_TOKENS, slack=SLACK_TOKENS, cap=_number(body.max_output_tokens))
    if isinstance(body.instructions, str):
        found.message("system", body.instructions)
    elif body.instructions is not None:
        found.unseen.add(_OTHER_INPUT)
    if isinstance(body.input, str):
        found.message("user", body.input)
    elif isinstance(body.input, list):
        for item in body.input:
            _item(found, item)
    elif body.input is not None:
        found.unseen.add(_OTHER_INPUT)
    if body.previous_response_id is not None or body.conversation is not None:
        found.unseen.add("earlier responses")
    if body.prompt is not None:
        found.unseen.add("stored prompts")
    found.calls = _count(body.max_tool_calls)
    _tools(found, body.tools)
    _format(found, body.text, ("format", "schema"))
    return found


def _item(found: Asked, item: Json) -> None:
    """An item of /v1/responses' input: a message, or what a tool was asked and said."""
    if not isinstance(item, dict):
        return
    if "content" in item and "role" in item:
        found.message(item["role"], item["content"])
    elif kind_of(item) in UNSEEN:
        found.part(item)
    else:
        found.overhead += MESSAGE_TOKENS
        found.texts += [v for k, v in item.items() if k in _CALL_TEXTS and isinstance(v, str)]
        found.content(item.get("output") if isinstance(item.get("output"), list) else None)
        if kind_of(item) not in _CALLS:
            found.unseen.add("items of other kinds")


_CALLS: Final = frozenset(
    {"function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
_CALL_TEXTS: Final = frozenset({"name", "arguments", "output", "summary", "input"})


def _chat(body: Body) -> Asked:
    cap = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    found = Asked(overhead=REPLY_TOKENS, slack=SLACK_TOKENS, cap=_number(cap))
    for message in body.messages if isinstance(body.messages, list) else ():
        if not isinstance(message, dict):
            continue
        found.message(message.get("role"), message.get("content"), message.get("name"))
        for call in message.get("tool_calls") or ():
            called = call.get(str(kind_of(call) or "function")) if isinstance(call, dict) else None
            _called(found, called)
            if not isinstance(called, dict):
                found.unseen.add(_OTHER_INPUT)
        _called(found, message.get("function_call"))
        if isinstance(refusal := message.get("refusal"), str):
            found.texts.append(refusal)
        if message.get("audio") is not None:
            found.unseen.add("audio")
    if body.web_search_options is not None or _SEARCHES in str(body.model):
        found.unseen.add("hosted tools")
        found.hosted.add("web_search")
    found.answers = _number(body.n) or 1
    _tools(found, body.tools or body.functions)
    _format(found, body.response_format, ("json_schema", "schema"))
    return found


def _called(found: Asked, called: Json) -> None:
    if isinstance(called, dict):
        found.overhead += MESSAGE_TOKENS
        found.texts += [v for v in called.values() if isinstance(v, str)]


_SEARCHES: Final = "-search-"  # models of chat that look things up in every answer


def _completions(body: Body) -> Asked:
    prompts = body.prompt if isinstance(body.prompt, list) else [body.prompt]
    found = _list_of_inputs(prompts)
    if isinstance(body.suffix, str):
        found.texts += [body.suffix] * (len(prompts) if _are_many(prompts) else 1)
    answers = max(_number(body.best_of) or 1, _number(body.n) or 1)
    found.cap = _number(body.max_tokens) or COMPLETION_CAP
    found.answers = answers * (len(prompts) if _are_many(prompts) else 1)
    return found


def _embeddings(body: Body) -> Asked:
    found = _list_of_inputs(body.input if isinstance(body.input, list) else [body.input])
    if body.messages is not None:
        found.unseen.add(_OTHER_INPUT)
    found.cap = 0
    return found


def _list_of_inputs(inputs: list[Json]) -> Asked:
    """Texts, or tokens that the user has counted himself."""
    found = Asked()
    for one in inputs:
        if isinstance(one, str):
            found.texts.append(one)
        elif isinstance(one, int):
            found.overhead += 1
        elif isinstance(one, list) and all(isinstance(token, int) for token in one):
            found.overhead += len(one)
        elif one is not None:
            found.unseen.add(_OTHER_INPUT)
    return found


def _are_many(inputs: list[Json]) -> bool:
    return bool(inputs) and not isinstance(inputs[0], int)


def _moderations(body: Body) -> Asked:
    found = Asked(cap=0)
    found.content(body.input)
    return found


def _images(body: Body) -> Asked:
    found = Asked(cap=None, answers=_number(body.n) or 1)
    found.picture = (str(body.quality), str(body.size))
    found.content(body.prompt)
    return found


def _edits(body: Body) -> Asked:
    found = _images(body)
    found.unseen.add("images to edit")
    return found


_OURS: Final = (None, "function", "custom")  # tools that the caller runs; None: of `functions`


def _tools(found: Asked, raw: msgspec.Raw) -> None:
    for tool in _objects(raw):
        if kind_of(tool) not in _OURS:
            found.unseen.add("hosted tools")
            found.hosted.add(str(kind_of(tool)))
        found.overhead += TOOL_TOKENS
        found.loose.append(msgspec.json.encode(tool).decode())
    if found.loose:
        found.overhead += TOOLS_TOKENS


def _format(found: Asked, raw: msgspec.Raw, way: tuple[str, str]) -> None:
    """The schema of a structured answer, which the model is shown."""
    value: Json = _decoded(raw)
    for key in way:
        described = value.get("description") if isinstance(value, dict) else None
        if isinstance(described, str):
            found.loose.append(described)
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict):
        found.loose.append(msgspec.json.encode(value).decode())


def _objects(raw: msgspec.Raw) -> Iterator[JsonObject]:
    value = _decoded(raw)
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def _field(raw: msgspec.Raw, name: str) -> str | None:
    value = _decoded(raw)
    inner = value.get(name) if isinstance(value, dict) else None
    return None if inner is None else str(inner)


def _decoded(raw: msgspec.Raw) -> Json:
    return msgspec.json.decode(raw) if bytes(raw) else None


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


_READERS: Final[Mapping[str, Callable[[Body], Asked]]] = {
    "/v1/responses": _responses,
    "/v1/chat/completions": _chat,
    "/v1/completions": _completions,
    "/v1/embeddings": _embeddings,
    "/v1/moderations": _moderations,
    "/v1/images/generations": _images,
    "/v1/images/edits": _edits,
}
# The endpoints whose requests are understood here.
READ_URLS: Final = frozenset(_READERS)
