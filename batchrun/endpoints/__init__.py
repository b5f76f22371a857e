"""The shape of each endpoint: request bodies out, response bodies in. One file an endpoint; everything else here serves them."""

from collections.abc import Mapping
from types import MappingProxyType

from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.chat_completions import ChatCompletions
from batchrun.endpoints.embeddings import Embeddings
from batchrun.endpoints.responses import Responses
from batchrun.errors import UsageError

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {endpoint.url: endpoint for endpoint in (Responses(), ChatCompletions(), Embeddings())}
)


def endpoint_of(url: str) -> Endpoint:
    """The endpoint at `url`, spelled as the API spells it. Raises UsageError for one that is not in this version."""
    try:
        return ENDPOINTS[url]
    except KeyError:
        known = ", ".join(ENDPOINTS)
        raise UsageError(f"endpoint {url!r} is not in this version. It knows {known}.") from None
