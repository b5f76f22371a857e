"""Attachments into a body: what the endpoint does not take is refused here, before anything is sent, with what to use instead."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from batchrun.attachments.confined import shown
from batchrun.attachments.filling import inlined_bytes
from batchrun.attachments.kinds import Attachment, Kind
from batchrun.backends.base import AttachMode
from batchrun.endpoints.base import Endpoint
from batchrun.jobfile import Fault
from batchrun.model import ITEM_LINE_LIMIT_BYTES, Json, JsonObject

_WHAT: Final[Mapping[Kind, str]] = MappingProxyType(
    {Kind.IMAGE: "an image", Kind.PDF: "a PDF", Kind.TEXT: "text", Kind.AUDIO: "audio"}
)


def with_attachments(
    endpoint: Endpoint,
    body: JsonObject,
    *,
    prompt: Json,
    attachments: Sequence[Attachment],
    mode: AttachMode,
) -> tuple[JsonObject, int]:
    """(the body with its attachments, bytes that they will certainly add to it when it is sent). Raises Fault.

    `body` was built by `endpoint` with `prompt`. Contents are named by reference: their bytes, or file ids, come in when a batch is cut.
    """
    if not isinstance(prompt, str):
        raise Fault(
            "'attach' goes with a prompt in text, and this item's 'input' has parts of its own",
            "Put the links or data into these parts, or give the job line a 'prompt'.",
        )
    growth = 0
    for attachment in attachments:
        content = attachment.content
        is_referable = endpoint.attachable.get(attachment.kind)
        if is_referable is None or (content and content.form in endpoint.unattachable):
            what = content.form.upper() if content else _WHAT[attachment.kind]
            raise Fault(
                f"'attach': {shown(attachment.name)} is {what}, which cannot go to {endpoint.url}",
                endpoint.attach_instead,
            )
        if attachment.link is not None and attachment.kind not in endpoint.linkable:
            raise Fault(
                f"'attach': {endpoint.url} follows no link to {_WHAT[attachment.kind]}",
                "Attach the file itself, or use /v1/responses.",
            )
        if content is not None and (mode is AttachMode.INLINE or not is_referable):
            growth += inlined_bytes(content)
    if growth > ITEM_LINE_LIMIT_BYTES:
        raise Fault(
            f"'attach': {growth:,} bytes of data in one request; {ITEM_LINE_LIMIT_BYTES:,} is the most",
            _SMALLER[mode is AttachMode.INLINE],
        )
    return endpoint.attached(body, attachments), growth


_SMALLER: Final = (
    "Make the files smaller, or attach links.",
    'Make the files smaller, or let them be uploaded: attach = "auto" in the profile.',
)
