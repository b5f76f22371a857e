"""The items in the `output` of a response: which kinds there are, and what is kept of each. Tables from type to function.

A kind that is in no table is kept as it came, under `other`: services add kinds faster than releases follow.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from batchrun.endpoints.extras import (
    container_citation,
    file_citation,
    file_path,
    kept,
    tokens_told,
    url_citation,
)
from batchrun.endpoints.pictures import picture_of
from batchrun.endpoints.tolerant import arguments, as_object, as_text, objects
from batchrun.model import Json, JsonObject

PARAGRAPH: Final = "\n\n"  # between the parts of a reasoning summary

ReadItem: TypeAlias = Callable[[JsonObject], JsonObject]


@dataclass(slots=True, kw_only=True)
class Content:
    """What the items of one response hold; see Answer for the meaning of the fields."""

    text: str | None = None
    refusal: str | None = None
    tool_calls: list[JsonObject] = field(default_factory=list)
    pending: JsonObject = field(default_factory=dict)
    pictures: list[JsonObject] = field(default_factory=list)
    extras: JsonObject = field(default_factory=dict)


def content_of(output: Json) -> Content:
    """Everything in the `output` of a response body, whatever it holds; raises nothing."""
    items = list(objects(output))
    content = Content()
    _read_messages([item for item in items if item.get("type") == "message"], content)
    done = {(as_text(item.get("type")), _call_id(item)) for item in items}
    summaries: list[str] = []
    for item in items:
        kind = item.get("type")
        if kind == "message" or not item:
            continue
        if not isinstance(kind, str):
            _add(content, "other", item)
        elif kind == "reasoning":
            summaries.extend(_reasoning(item))
        elif (read_call := CALLS.get(kind)) is not None:
            content.tool_calls.append(read_call(item))
        elif (found := ITEMS.get(kind)) is not None:
            group, read = found
            entry = read(item)
            _add(content, group, entry)
            if kind in _PENDING and (f"{kind}_output", _call_id(item)) not in done:
                content.pending.setdefault(group, []).append(entry)
            content.pictures += [
                image for image in entry.get("images", ()) if "broken" not in image
            ]
        else:
            _add(content, "other", item)
    if summaries:
        content.extras["reasoning"] = PARAGRAPH.join(summaries)
    return content


def _call_id(item: JsonObject) -> str | None:
    """What a call and its output share; the output of a local shell has it as its `id`."""
    return as_text(item.get("call_id")) or as_text(item.get("id"))


def _add(content: Content, group: str, entry: JsonObject) -> None:
    content.extras.setdefault(group, []).append(entry)


# Messages.


def _read_messages(messages: list[JsonObject], content: Content) -> None:
    """Text is what the SDK calls `output_text`; where messages have phases, only the final answer's."""
    final = [message for message in messages if message.get("phase") == "final_answer"]
    texts: list[str] = []
    refusals: list[str] = []
    length = 0
    for part in _parts(final or messages):
        kind = part.get("type")
        if kind == "output_text":
            for annotation in objects(part.get("annotations")):
                _add(content, "citations", _citation(annotation, length))
            if told := tokens_told(part.get("logprobs")):
                content.extras.setdefault("logprobs", []).extend(told)
            if text := as_text(part.get("text")):
                texts.append(text)
                length += len(text)
        elif kind == "refusal":
            refusals.append(as_text(part.get("refusal")) or "")
        else:
            _add(content, "other", part)
    content.text = "".join(texts) or None
    content.refusal = "".join(refusals) or None


def _parts(messages: list[JsonObject]) -> Iterator[JsonObject]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):  # as some gateways write a message of one text
            yield {"type": "output_text", "text": content}
        else:
            yield from objects(content)


def _citation(annotation: JsonObject, shift: int) -> JsonObject:
    kind = annotation.get("type")
    read = CITATIONS.get(kind) if isinstance(kind, str) else None
    return annotation if read is None else read(annotation, shift)


CITATIONS: Final[Mapping[str, Callable[[JsonObject, int], JsonObject]]] = {
    "url_citation": url_citation,
    "file_citation": file_citation,
    "container_file_citation": container_citation,
    "file_path": file_path,
}


def _reasoning(item: JsonObject) -> list[str]:
    """The summary; of servers of open models, which give none, the reasoning itself."""
    return _texts(item.get("summary")) or _texts(item.get("content"))


def _texts(parts: Json) -> list[str]:
    return [text for part in objects(parts) if (text := as_text(part.get("text")))]


# Calls of functions and tools of the caller's own.


def _function_call(item: JsonObject) -> JsonObject:
    return _call(item, arguments(item.get("arguments")))


def _custom_call(item: JsonObject) -> JsonObject:
    return _call(item, item.get("input"))


def _call(item: JsonObject, made: Json) -> JsonObject:
    return {"name": item.get("name"), "arguments": made, "call_id": item.get("call_id")}


CALLS: Final[Mapping[str, ReadItem]] = {
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
}


# Tools of the service.


def _file_search(item: JsonObject) -> JsonObject:
    return kept(item, "id", "status", "queries", "results")


def _web_search(item: JsonObject) -> JsonObject:
    """The action's own fields stand beside the call's: a search has queries and sources, a page that was opened has its URL."""
    action = as_object(item.get("action"))
    found = kept(item, "id", "status")
    if (kind := as_text(action.get("type"))) is not None:
        found["action"] = kind
    return found | kept(action, "query", "queries", "url", "pattern", "sources")


def _mcp_call(item: JsonObject) -> JsonObject:
    return {
        **_mcp("call", item),
        **kept(item, "output", "error", "status", "approval_request_id"),
    }


def _mcp_approval(item: JsonObject) -> JsonObject:
    return _mcp("approval_request", item)


def _mcp_tools(item: JsonObject) -> JsonObject:
    """The names only: the schemas of a server's tools are the same in every answer."""
    names = [tool.get("name") for tool in objects(item.get("tools"))]
    return {**_mcp("list_tools", item), "tools": names, **kept(item, "error")}


def _mcp(kind: str, item: JsonObject) -> JsonObject:
    found: JsonObject = {"kind": kind, **kept(item, "id")}
    if (server := item.get("server_label")) is not None:
        found["server"] = server
    found |= kept(item, "name")
    if (made := item.get("arguments")) is not None:
        found["arguments"] = arguments(made)
    return found


def _computer(item: JsonObject) -> JsonObject:
    return kept(item, "id", "call_id", "status", "action", "actions", "pending_safety_checks")


def _code(item: JsonObject) -> JsonObject:
    found = {"kind": "code_interpreter", **kept(item, "id", "container_id", "status", "code")}
    if outputs := [_code_output(output) for output in objects(item.get("outputs"))]:
        found["outputs"] = outputs
    return found


def _code_output(output: JsonObject) -> JsonObject:
    """Logs, or the address of a picture; a picture that is in its address is told of like any other."""
    address = as_text(output.get("url"))
    if address is None or not address.startswith("data:"):
        # `images` is our word for what was decoded here: a service's own must not pass for that.
        return {name: value for name, value in output.items() if name != "images"}
    return {**kept(output, "type"), "images": [picture_of(address)]}


def _run(kind: str) -> ReadItem:
    """A reader of what a shell or a patch tool is to do, or did."""

    def read(item: JsonObject) -> JsonObject:
        names = ("id", "call_id", "status", "action", "operation", "output")
        return {"kind": kind, **kept(item, *names)}

    return read


def _image(item: JsonObject) -> JsonObject:
    """Everything but the picture itself, of which format, size and hash are told."""
    result = item.get("result")
    told = ("id", "status", "action", "revised_prompt", "size", "quality", "background", "error")
    return {**kept(item, *told), "images": [] if result is None else [picture_of(result)]}


ITEMS: Final[Mapping[str, tuple[str, ReadItem]]] = {
    "file_search_call": ("file_searches", _file_search),
    "web_search_call": ("web_searches", _web_search),
    "mcp_call": ("mcp_calls", _mcp_call),
    "mcp_list_tools": ("mcp_calls", _mcp_tools),
    "mcp_approval_request": ("mcp_calls", _mcp_approval),
    "computer_call": ("computer_calls", _computer),
    "code_interpreter_call": ("code_calls", _code),
    "shell_call": ("code_calls", _run("shell")),
    "shell_call_output": ("code_calls", _run("shell_output")),
    "local_shell_call": ("code_calls", _run("local_shell")),
    "local_shell_call_output": ("code_calls", _run("local_shell_output")),
    "apply_patch_call": ("code_calls", _run("apply_patch")),
    "apply_patch_call_output": ("code_calls", _run("apply_patch_output")),
    "image_generation_call": ("image_calls", _image),
}
# What the caller is meant to do or to allow; where the service did it itself, its output stands among the items.
_PENDING: Final = frozenset(
    {
        "computer_call",
        "shell_call",
        "local_shell_call",
        "apply_patch_call",
        "mcp_approval_request",
    }
)
