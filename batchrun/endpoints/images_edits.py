"""/v1/images/edits: images and a text in, images out."""

from collections.abc import Sequence
from typing import ClassVar

from batchrun.attachments.kinds import Attachment, Kind, reference_to
from batchrun.endpoints.images import ImagesEndpoint
from batchrun.endpoints.references import reference_fault
from batchrun.model import JsonObject

_IMAGES_LIMIT = 16  # the SDK's word on `image`: "You can provide up to 16 images."


class ImagesEdits(ImagesEndpoint):
    """The images are `images` in `body`, the job's or (mostly) the item's.

    The SDK uploads a form with `image`; a line of a batch is JSON and refers to its images instead.
    """

    url: ClassVar = "/v1/images/edits"
    required: ClassVar = ("model", "prompt", "images")
    synonyms: ClassVar = {**ImagesEndpoint.synonyms, "image": "images", "input_image": "images"}
    attach_key: ClassVar = "images"
    attachable: ClassVar = {Kind.IMAGE: True}
    unattachable: ClassVar = frozenset({"gif"})
    attach_instead: ClassVar = "It edits PNG, JPEG and WebP images."

    def attached(self, body: JsonObject, attachments: Sequence[Attachment]) -> JsonObject:
        """See Endpoint. The attachments are the images that are edited."""
        return {**body, "images": [_image(attachment) for attachment in attachments]}

    def faults(self, body: JsonObject) -> tuple[str, ...]:
        """See Endpoint."""
        images = body.get("images")
        problems = list(super().faults(body))
        if isinstance(images, list):
            if not 1 <= len(images) <= _IMAGES_LIMIT:
                problems.append(f"'images' must be 1 to {_IMAGES_LIMIT} images, not {len(images)}.")
            named = [(f"images[{place}]", image) for place, image in enumerate(images)]
            named += [(name, body.get(name)) for name in ("mask", "markup")]
            problems += [fault for name, image in named if (fault := reference_fault(name, image))]
        return tuple(problems)


def _image(attachment: Attachment) -> JsonObject:
    if attachment.content is None:
        return {"image_url": attachment.link}
    return {"file_id": reference_to(attachment.content)}
