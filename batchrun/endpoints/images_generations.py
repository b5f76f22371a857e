"""/v1/images/generations: a text in, images out."""

from typing import ClassVar

from batchrun.endpoints.images import ImagesEndpoint


class ImagesGenerations(ImagesEndpoint):
    """Nothing but the prompt: everything else is `body`."""

    url: ClassVar = "/v1/images/generations"
    unused_keys: ClassVar = {
        **ImagesEndpoint.unused_keys,
        "attach": "Use /v1/images/edits, which makes images out of images.",
    }
