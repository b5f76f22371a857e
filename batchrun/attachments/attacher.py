"""What a job line's `attach` means for an item: its templates rendered, links told from files, and each file read once and known by content."""

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import msgspec

from batchrun.attachments.confined import Opened, Places, shown
from batchrun.attachments.kinds import Attachment, Content, Kind, form_of, kind_of, text_of
from batchrun.attachments.pixels import pixels_of
from batchrun.jobfile import Fault, Template, Where, compile_template
from batchrun.model import JobSettings, Json

# Of one file. Source: the SDK on images ("less than 50MB"), and OpenAI's guide on files as inputs.
CONTENT_LIMIT_BYTES: Final = 50_000_000
_REMEMBERED: Final = 1_000  # contents that many items share are read once
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")

# A link is taken for an image unless its ending is surely another's: many links to images have no ending, or a script's.
_NO_IMAGES: Final = frozenset(
    (
        *(".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".parquet"),
        *(".doc", ".docx", ".odt", ".rtf", ".xls", ".xlsx", ".ppt", ".pptx", ".zip", ".gz"),
        *(".mp3", ".wav", ".ogg", ".flac", ".m4a", ".mp4", ".mov", ".avi", ".webm", ".mkv"),
    )
)

# Keeps the bytes of a content under its digest; they are not there any more when it is asked again.
Keep = Callable[[Content, bytes], None]


def forget_bytes(content: Content, data: bytes) -> None:
    """The `Keep` of those who only want to know what the content is."""


class Attacher:
    """Finds the attachments of a job's items. Raises JobFileError at construction where a template is none."""

    def __init__(
        self, settings: JobSettings, *, folders: Sequence[Path] = (), keep: Keep = forget_bytes
    ) -> None:
        where = Where(path=settings.path, line=settings.line, key="attach")
        self._templates: list[Template] = [
            compile_template(text, where=where) for text in settings.attach or ()
        ]
        self._places = Places(Path(settings.path).parent, folders)
        self._keep = keep
        self._known: OrderedDict[tuple[int, ...], Content] = OrderedDict()

    def attachments(self, fields: Mapping[str, Json]) -> tuple[Attachment, ...]:
        """Those of one item, in order. Raises TemplateError, and Fault for what cannot be attached."""
        return tuple(
            self._attachment(template.render(fields).strip()) for template in self._templates
        )

    def _attachment(self, name: str) -> Attachment:
        if not name:
            raise Fault("'attach' names nothing for this item", "Give the item a file or a link.")
        if _is_several(name):
            raise Fault(
                "'attach': a template gave a list or an object, and each gives one file",
                'Give each file a template of its own, as ["{{ files[0] }}", "{{ files[1] }}"].',
            )
        if scheme := _SCHEME.match(name):
            return _linked(name, scheme[1].lower())
        opened = self._places.open(name)
        try:
            return self._read(opened, PurePosixPath(name).name, shown(name))
        finally:
            os.close(opened.descriptor)

    def _read(self, opened: Opened, name: str, told: str) -> Attachment:
        content = self._known.get(opened.stamp)
        if content is not None:
            self._known.move_to_end(opened.stamp)
            return Attachment(kind=kind_of(content.form), name=name, content=content)
        data = _bytes_of(opened, told)
        if (form := form_of(data)) is None:
            text = text_of(data)
            if text is None:
                raise Fault(
                    f"'attach': {told} is no PNG, JPEG, WebP, GIF, PDF, WAV, MP3 or UTF-8 text by its content",
                    "Convert it to one of these.",
                )
            return Attachment(kind=Kind.TEXT, name=name, text=text)
        content = Content(hashlib.sha256(data).digest(), len(data), form, pixels_of(data))
        self._keep(content, data)
        self._known[opened.stamp] = content
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return Attachment(kind=kind_of(form), name=name, content=content)


def _is_several(name: str) -> bool:
    """Whether this is the JSON of names, which a template makes of a list, rather than a name with brackets."""
    if name[0] not in "[{":
        return False
    try:
        value = msgspec.json.decode(name)
    except msgspec.DecodeError:
        return False
    return isinstance(value, dict) or any(isinstance(one, str | list | dict) for one in value)


def _linked(link: str, scheme: str) -> Attachment:
    """A link, which is the service's to follow: nothing is fetched from here. One that ends in .pdf is taken for a PDF, any other for an image, unless it ends in what none is."""
    if scheme == "data":
        raise Fault("'attach': a data URL is no file", "Put its data into a file and name that.")
    if scheme not in {"http", "https"}:
        raise Fault(
            f"'attach': {shown(link)} is no link of http or https",
            "Put './' before the name of a file that has a colon.",
        )
    try:
        parts = urlsplit(link)
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or not link.isprintable() or " " in link:
        raise Fault(f"'attach': {shown(link)} is no whole link")
    name = PurePosixPath(parts.path).name
    ending = PurePosixPath(name).suffix.lower()
    if ending in _NO_IMAGES:
        raise Fault(
            f"'attach': {shown(link)} ends in {ending!r}, and a link can only be to an image or a PDF",
            "Save what it leads to and attach the file.",
        )
    is_pdf = ending == ".pdf"
    return Attachment(kind=Kind.PDF if is_pdf else Kind.IMAGE, name=name, link=link)


def _bytes_of(opened: Opened, told: str) -> bytes:
    data = b""
    if opened.size <= CONTENT_LIMIT_BYTES:
        try:
            with os.fdopen(opened.descriptor, "rb", buffering=0, closefd=False) as file:
                data = file.read(CONTENT_LIMIT_BYTES + 1)
        except OSError as error:
            raise Fault(f"'attach': {told} cannot be read: {error.strerror}") from None
    if len(data) != opened.size:
        if data:
            raise Fault(f"'attach': {told} changed while it was read", "Submit again.")
        raise Fault(
            f"'attach': {told} has {opened.size:,} bytes; {CONTENT_LIMIT_BYTES:,} is the most",
            "Split it, or attach a link to it.",
        )
    return data
