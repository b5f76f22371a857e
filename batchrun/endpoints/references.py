"""Images that a request refers to: a body of JSON carries no upload, but `{"file_id": …}` or `{"image_url": …}` (a link or a data URL).

Source: `ImageInputReferenceParam` of the SDK and the schema ImageRefParam of OpenAI's OpenAPI document.
"""

from batchrun.endpoints.asked import link_fault
from batchrun.model import Json

_FORM = '{"file_id": …} or {"image_url": …}'


def reference_fault(name: str, value: Json) -> str | None:
    """What is wrong with the reference `value` of the parameter `name`, or None. null is none of ours to judge."""
    if value is None:
        return None
    if isinstance(value, str):
        return (
            f'{name!r} is a string. Name the image by reference: {{"image_url": {_shown(value)}}}.'
        )
    if not isinstance(value, dict):
        return f"{name!r} must be {_FORM}."
    given = [key for key in ("file_id", "image_url") if isinstance(value.get(key), str)]
    if len(given) != 1:
        return f"{name!r} must name one image: {_FORM}."
    return link_fault(f"{name}.image_url", value.get("image_url"))


def _shown(value: str) -> str:
    """The start of a link as it may stand in a message; of inlined data no more than that."""
    return f'"{value}"' if len(value) <= 80 else f'"{value[:40]}…"'
