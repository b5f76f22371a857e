"""How an endpoint speaks of functions: the tools of a request, the calls in an answer, and what the next request says of both.

Source: the API's guide to function calling; the shapes are those of the SDK's input types.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from batchrun.endpoints.choices import in_order
from batchrun.endpoints.responses_items import content_of
from batchrun.endpoints.tolerant import as_object, as_text, kept_text, objects
from batchrun.model import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a function; `arguments` as the model wrote them, JSON if all is well."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer that calls functions: what it adds to the conversation, and its calls in their order."""

    additions: tuple[JsonObject, ...]
    calls: tuple[ToolCall, ...]


class Calling(ABC):
    """The words of one endpoint."""

    @abstractmethod
    def offered(self, tool: JsonObject) -> JsonObject:
        """A tool (name, description, parameters) as an entry of a request's `tools`."""

    @abstractmethod
    def declared(self, body: JsonObject) -> Iterator[str]:
        """The names of the functions in a body's `tools`."""

    @abstractmethod
    def said(self, answer: JsonObject, request: JsonObject) -> Said | None:
        """What an answer to `request` said; None where it calls what is no function: a custom tool, a computer."""

    @abstractmethod
    def told(self, request: JsonObject) -> Iterator[tuple[str, str]]:
        """Call ids and outputs that a request tells of, in their order."""

    @abstractmethod
    def returned(self, call_id: str, output: str) -> JsonObject:
        """What tells the model how its call ended."""


class ResponsesCalling(Calling):
    """/v1/responses: calls and their outputs are items of the conversation."""

    def offered(self, tool: JsonObject) -> JsonObject:
        """See Calling."""
        return {"type": "function", **tool, "strict": True}

    def declared(self, body: JsonObject) -> Iterator[str]:
        """See Calling."""
        for tool in objects(body.get("tools")):
            if tool.get("type") == "function" and (name := as_text(tool.get("name"))):
                yield name

    def said(self, answer: JsonObject, request: JsonObject) -> Said | None:
        """See Calling. Every item goes back, reasoning too: reasoning models want it beside their calls.

        Where nothing is stored, reasoning can go back in its encrypted form only.
        """
        items = list(objects(answer.get("output")))
        made = [item for item in items if item.get("type") == "function_call"]
        if not made or len(made) < len((content := content_of(items)).tool_calls):
            return None
        if content.pending:
            return None
        identified = _Identified()
        said: list[JsonObject] = []
        calls: list[ToolCall] = []
        for item in items:
            if item.get("type") == "function_call":
                call = identified.call(item.get("call_id"), item)
                calls.append(call)
                said.append({**item, "call_id": call.call_id, "arguments": call.arguments})
            elif not _is_lost(item, request):
                said.append(item)
        return Said(additions=tuple(said), calls=tuple(calls))

    def returned(self, call_id: str, output: str) -> JsonObject:
        """See Calling."""
        return {"type": "function_call_output", "call_id": call_id, "output": output}

    def told(self, request: JsonObject) -> Iterator[tuple[str, str]]:
        """See Calling."""
        for item in objects(request.get("input")):
            if item.get("type") == "function_call_output":
                yield kept_text(item.get("call_id")), kept_text(item.get("output"))


class ChatCalling(Calling):
    """/v1/chat/completions: calls are part of the assistant's message, outputs are messages of their own."""

    def offered(self, tool: JsonObject) -> JsonObject:
        """See Calling."""
        return {"type": "function", "function": {**tool, "strict": True}}

    def declared(self, body: JsonObject) -> Iterator[str]:
        """See Calling."""
        for tool in objects(body.get("tools")):
            if name := as_text(as_object(tool.get("function")).get("name")):
                yield name

    def said(self, answer: JsonObject, request: JsonObject) -> Said | None:  # noqa: ARG002 (the other's)
        """See Calling. A legacy `function_call` becomes a call like any other."""
        choices = in_order(answer)
        message = as_object(choices[0].get("message")) if choices else {}
        made = list(objects(message.get("tool_calls")))
        if legacy := as_object(message.get("function_call")):
            made.append({"function": legacy})
        if not made or any("custom" in call for call in made):
            return None
        identified = _Identified()
        calls = [identified.call(call.get("id"), as_object(call.get("function"))) for call in made]
        said: JsonObject = {
            "role": "assistant",
            "content": as_text(message.get("content")),
            "tool_calls": [
                {
                    "id": call.call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in calls
            ],
        }
        # A field of servers of open models; those that think between calls want it back.
        if reasoning := as_text(message.get("reasoning_content")):
            said["reasoning_content"] = reasoning
        return Said(additions=(said,), calls=tuple(calls))

    def returned(self, call_id: str, output: str) -> JsonObject:
        """See Calling."""
        return {"role": "tool", "tool_call_id": call_id, "content": output}

    def told(self, request: JsonObject) -> Iterator[tuple[str, str]]:
        """See Calling."""
        for message in objects(request.get("messages")):
            if message.get("role") == "tool":
                yield kept_text(message.get("tool_call_id")), kept_text(message.get("content"))


class _Identified:
    """Gives each call of an answer an id of its own: some servers give none, or the same to all."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def call(self, given: Json, function: JsonObject) -> ToolCall:
        identifier = as_text(given)
        if identifier is None or identifier in self._seen:
            identifier = f"call_{len(self._seen)}"
        self._seen.add(identifier)
        return ToolCall(
            call_id=identifier,
            name=as_text(function.get("name")) or "",
            arguments=kept_text(function.get("arguments")),
        )


def _is_lost(item: JsonObject, request: JsonObject) -> bool:
    """Whether an item names reasoning that the service has not kept."""
    if item.get("type") != "reasoning" or request.get("store") is not False:
        return False
    return not as_text(item.get("encrypted_content"))
