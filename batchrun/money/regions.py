"""Hosts of one region, which cost more than the one for all the world.

A tenth more, for models that came out on 5 March 2026 or later. Source: OpenAI's guide to data residency. Which models are older is a list
here; a name that is not on it is taken for a newer one, so that nobody is told too little.
"""

import re
from typing import Final
from urllib.parse import urlsplit

_PERCENT: Final = 10
# Released before that day: of GPT-5, up to 5.3.
_OLDER: Final = re.compile(
    r"(ft:)?(gpt-3\.5|gpt-4|chatgpt-4o|gpt-5(\.[1-3])?(-|$|:)|o1|o3|o4-mini|text-|omni-moderation|babbage-002|davinci-002"
    r"|codex-mini|computer-use-preview|gpt-image-1|dall-e-)"
)


def is_regional(base_url: str) -> bool:
    """Whether a server is one of OpenAI's for a single region (`eu.api.openai.com`)."""
    return (urlsplit(base_url).hostname or "").endswith(".api.openai.com")


def percent_more(model: str, base_url: str) -> int:
    """How much dearer a model is at this server than price lists say."""
    return _PERCENT if is_regional(base_url) and not _OLDER.match(model.lower()) else 0
