"""By which hash a request is known: over what is asked, and not over its custom_id."""

from collections.abc import Iterable
from itertools import repeat
from typing import Final

import xxhash

HASH_VERSION: Final = 1  # the seed of request hashes; a new one asks for every job again


def hash_seed(before: bytes, after: bytes) -> int:
    """The seed for requests that differ in their prompt only: what stands around it, and the version of this rule."""
    return xxhash.xxh3_64_intdigest(b"%b\x00%b" % (before, after), HASH_VERSION)


def plain_hash(prompt: bytes, seed: int) -> bytes:
    """The hash of a request by its encoded prompt, within what `seed` stands for.

    Pinned by golden tests like `whole_hash`: a drift between releases would ask (and pay) for every job again.
    """
    return xxhash.xxh3_128_digest(prompt, seed)


def plain_hashes(prompts: Iterable[bytes], seed: int) -> list[bytes]:
    """`plain_hash` of each, without a call of ours an item."""
    return list(map(xxhash.xxh3_128_digest, prompts, repeat(seed)))


def whole_hash(tail: bytes) -> bytes:
    """The hash of a request that was built whole: over method, url and first-round body as they are sent."""
    return xxhash.xxh3_128_digest(tail, HASH_VERSION)
