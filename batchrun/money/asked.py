"""A request taken apart: its texts, images, the caps on its answer, and what is not in it at all; `readers` does it for each endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from batchrun.attachments.pixels import Pixels, pixels_in
from batchrun.model import Json

MESSAGE_TOKENS: Final = 3  # around each message, besides its role and content
NAME_TOKENS: Final = 1


class Body(msgspec.Struct, gc=False):
    """The fields of a request body that matter here; of any endpoint, and of any kind."""

    model: Any = ""
    instructions: Any = None
    input: Any = None
    messages: Any = None
    prompt: Any = None
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()
    response_format: msgspec.Raw = msgspec.Raw()
    max_output_tokens: Any = None
    max_completion_tokens: Any = None
    max_tokens: Any = None
    n: Any = None
    best_of: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    quality: Any = None
    size: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    max_tool_calls: Any = None
    service_tier: Any = None
    suffix: Any = None
    context_management: Any = None
    models: Any = None
    plugins: Any = None
    prompt_cache_options: msgspec.Raw = msgspec.Raw()
    reasoning: msgspec.Raw = msgspec.Raw()


class Image(NamedTuple):
    """An image that the model is shown. `pixels` of one whose bytes are here; any other has the `name` of a link, a file or an attachment."""

    detail: str
    pixels: Pixels | None
    name: str


@dataclass(slots=True)
class Asked:
    """One request, taken apart. `loose` are texts of tools and schemas; `overhead` what stands around everything, in tokens.

    `images` are those that are shown. `unseen` says what the model will read that is not in the request.
    `cap` bounds each of `answers` answers; None: nothing does, 0: there is no answer that is billed by tokens.
    `slack`: tokens that there may be beside what the rules say. `hosted` are the types of tools that the service runs, at most `calls` times together.
    `tier` is what the request says of how it is asked; `picture` the (quality, size) of what it has made; `unbound` why nothing bounds its cost, or "".
    """

    texts: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    overhead: int = 0
    slack: int = 0
    images: list[Image] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)
    cap: int | None = None
    answers: int = 1
    hosted: set[str] = field(default_factory=set)
    calls: int | None = None
    tier: Json = None
    picture: tuple[str, str] | None = None
    unbound: str = ""

    def message(self, role: Json, content: Json, name: Json = None) -> None:
        """A message with its parts. Every role is one token."""
        self.overhead += MESSAGE_TOKENS + (1 if role else 0)
        if isinstance(name, str):
            self.overhead += NAME_TOKENS
            self.texts.append(name)
        self.content(content)

    def content(self, content: Json) -> None:
        """A text, or parts."""
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, list):
            for part in content:
                self.part(part)

    def part(self, part: Json) -> None:
        """One part of a message: text, image, or what only the service can read."""
        if not isinstance(part, dict):
            self.content(part)
            return
        kind = kind_of(part)
        if kind in _IMAGES:
            self.images.append(_image(part))
        elif kind in UNSEEN:
            self.unseen.add(UNSEEN[kind])
        else:
            for key in _TEXTS:
                if isinstance(text := part.get(key), str):
                    self.texts.append(text)
            if kind not in _TEXT_PARTS:
                self.unseen.add("parts of other kinds")


_IMAGES: Final = frozenset({"input_image", "image_url"})
UNSEEN: Final[Mapping[Any, str]] = {
    "input_file": "files",
    "file": "files",
    "input_audio": "audio",
    "item_reference": "earlier responses",
}
_TEXTS: Final = ("text", "refusal")
_TEXT_PARTS: Final = frozenset(
    {None, "text", "input_text", "output_text", "refusal", "summary_text"}
)


def kind_of(part: Mapping[str, Json]) -> str | None:
    """The type that a part or an item says that it has."""
    kind = part.get("type")
    return kind if kind is None or isinstance(kind, str) else "unknown"


def _image(part: Mapping[str, Json]) -> Image:
    shown = part.get("image_url")
    detail = part.get("detail")
    if isinstance(shown, dict):
        detail, shown = shown.get("detail"), shown.get("url")
    detail = detail if isinstance(detail, str) else "auto"
    name = shown if isinstance(shown, str) else part.get("file_id")
    if not isinstance(name, str):
        return Image(detail, None, "")
    if name.startswith("data:"):
        return Image(detail, pixels_in(name), "")
    return Image(detail, None, name)
