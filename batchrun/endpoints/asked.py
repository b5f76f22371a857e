"""What is said to a model beside plain text, looked at before it is sent: the parts of messages, links to images, and tools.

Only what a service surely refuses: the words of another endpoint, and kinds that its types exclude. What it may know and these tables do
not is let through. Source: the SDK's input types.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from batchrun.attachments.kinds import digest_in
from batchrun.model import Json, JsonObject

# What one endpoint calls a part, by what the other calls it.
RESPONSES_PARTS: Final[Mapping[str, str]] = {
    "text": "input_text",
    "image_url": "input_image",
    "file": "input_file",
}
CHAT_PARTS: Final[Mapping[str, str]] = {theirs: ours for ours, theirs in RESPONSES_PARTS.items()}
_SCHEMES: Final = "https://…, or data:image/png;base64,…"


def link_fault(where: str, link: Json) -> str | None:
    """What is wrong with a link that a service is to follow, or None: it has no folder in which a path would mean something."""
    # A reference to an attachment becomes its data when the request is sent.
    is_path = isinstance(link, str) and ":" not in link.split("/", 1)[0]
    if is_path and digest_in(link) is None:
        return f"{where!r} is no URL, and the service cannot read files of yours: give {_SCHEMES} ('attach' sends a file)."
    return None


def response_faults(body: JsonObject) -> Iterator[str]:
    """Of `input` and `tools` of /v1/responses."""
    given = body.get("input")
    for index, item in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(item, dict):
            yield f"'input[{index}]' must be an object: a message, or what else a conversation holds."
            continue
        if "role" not in item:
            yield from _part_faults(f"input[{index}]", item, RESPONSES_PARTS)
        for number, part in enumerate(_parts(item)):
            yield from _part_faults(f"input[{index}].content[{number}]", part, RESPONSES_PARTS)
    for index, tool in enumerate(_tools(body)):
        yield from _tool_faults(f"tools[{index}]", tool)
        is_function = isinstance(tool, dict) and tool.get("type") == "function"
        if is_function and not isinstance(tool.get("name"), str):
            nested = "function" in tool
            hint = " They stand beside 'type' here, not in 'function'." if nested else ""
            yield f"'tools[{index}]' is a function without a 'name'.{hint}"


def chat_faults(body: JsonObject) -> Iterator[str]:
    """Of `messages` and `tools` of /v1/chat/completions."""
    given = body.get("messages")
    for index, message in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(message, dict):
            yield f"'messages[{index}]' must be an object: a message."
            continue
        for number, part in enumerate(_parts(message)):
            where = f"messages[{index}].content[{number}]"
            yield from _part_faults(where, part, CHAT_PARTS)
    for index, tool in enumerate(_tools(body)):
        yield from _tool_faults(f"tools[{index}]", tool)
        if isinstance(tool, dict) and tool.get("type") == "function":
            inner = tool.get("function")
            if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
                yield f"'tools[{index}]' is a function without a 'name': it stands in 'function' here."
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield "both 'max_tokens' and 'max_completion_tokens'. Give one of the two."


def moderation_faults(body: JsonObject) -> Iterator[str]:
    """Of the parts in the `input` of /v1/moderations."""
    given = body.get("input")
    for index, part in enumerate(given if isinstance(given, list) else ()):
        yield from _part_faults(f"input[{index}]", part, CHAT_PARTS)


def _parts(message: JsonObject) -> list[Json]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _tools(body: JsonObject) -> list[Json]:
    tools = body.get("tools")
    return tools if isinstance(tools, list) else []


def _part_faults(where: str, part: Json, names: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(part, dict):
        if names is RESPONSES_PARTS or not isinstance(part, str):
            yield f"'{where}' must be an object: a part."
        return
    kind = part.get("type")
    if isinstance(kind, str) and kind in names:
        yield f"'{where}' is a part of the type {kind!r}, which another endpoint has. Here it is {names[kind]!r}."
        return
    link = part.get("image_url")
    if kind == "image_url":
        if not isinstance(link, dict):
            yield f'\'{where}.image_url\' must be an object: {{"url": "https://…"}}.'
        elif (fault := link_fault(f"{where}.image_url.url", link.get("url"))) is not None:
            yield fault
    elif kind == "input_image":
        if isinstance(link, dict):
            yield f"'{where}.image_url' must be a string: the URL itself."
        elif (fault := link_fault(f"{where}.image_url", link)) is not None:
            yield fault


def _tool_faults(where: str, tool: Json) -> Iterator[str]:
    if not isinstance(tool, dict):
        yield f"'{where}' must be an object: a tool."
    elif not isinstance(tool.get("type"), str):
        yield f"'{where}' has no 'type'."
