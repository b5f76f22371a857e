"""The shape of each endpoint: request bodies out, response bodies in. One file an endpoint; everything else here serves them."""

from collections.abc import Mapping
from types import MappingProxyType

from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.chat_completions import ChatCompletions
from batchrun.endpoints.completions import Completions
from batchrun.endpoints.embeddings import Embeddings
from batchrun.endpoints.images_edits import ImagesEdits
from batchrun.endpoints.images_generations import ImagesGenerations
from batchrun.endpoints.moderations import Moderations
from batchrun.endpoints.responses import Responses
from batchrun.endpoints.videos import Videos
from batchrun.errors import UsageError

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        endpoint.url: endpoint
        for endpoint in (
            Responses(),
            ChatCompletions(),
            Embeddings(),
            Completions(),
            Moderations(),
            ImagesGenerations(),
            ImagesEdits(),
            Videos(),
        )
    }
)


def endpoint_of(url: str) -> Endpoint:
    """The endpoint at `url`, spelled as the API spells it. Raises UsageError for one that no batch knows."""
    try:
        return ENDPOINTS[url]
    except KeyError:
        known = ", ".join(ENDPOINTS)
        raise UsageError(f"the Batch API has no endpoint {url!r}. It has {known}.") from None
