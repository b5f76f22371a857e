"""Whether bytes are the request whose hash an item bears: what was asked is known by its hash long after the request itself is gone."""

import re
from dataclasses import dataclass, field
from typing import Final

from batchrun.requesthashes import hash_seed, plain_hash, whole_hash

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SKELETONS_MOST: Final = 16  # remembered: one job line makes one


@dataclass(slots=True)
class Skeletons:
    """What stands around the prompt of requests, learned as they are met: the hash of a plain request is over its prompt and this.

    No job line is needed for it, which may have changed since: where the prompt is among the strings of a request, its hash tells.
    """

    _known: list[tuple[bytes, bytes, int]] = field(default_factory=list)

    def is_hash_of(self, tail: bytes, stored: bytes | None) -> bool:
        """Whether a request of these bytes (everything after its custom_id) was stored with this hash."""
        for before, after, seed in self._known:
            if (
                tail.startswith(before)
                and tail.endswith(after)
                and plain_hash(tail[len(before) : len(tail) - len(after)], seed) == stored
            ):
                return True
        return whole_hash(tail) == stored or self._learn(tail, stored)

    def _learn(self, tail: bytes, stored: bytes | None) -> bool:
        for found in _STRING.finditer(tail):
            before, after = tail[: found.start()], tail[found.end() :]
            seed = hash_seed(before, after)
            if plain_hash(found[0], seed) == stored:
                self._known.insert(0, (before, after, seed))
                del self._known[_SKELETONS_MOST:]
                return True
        return False
