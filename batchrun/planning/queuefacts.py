"""What is known of a service's queue of tokens: whose it is, how much fits into it, and of what size its batches are best."""

from dataclasses import dataclass
from typing import Final, NamedTuple

# A whole limit in one batch would keep everybody else out for as long as it runs, and what does not divide the limit leaves a part of it unused;
# many small batches are many uploads and polls. In simulations of five jobs, an eighth came within 5 % of what ever smaller pieces reach.
PIECES: Final = 8
_WHOLE_PERCENT: Final = 133  # of a piece: what is no larger is not cut
_PIECE_LEAST: Final = 10_000  # tokens; smaller pieces are not worth a batch
_BELIEVED_S: Final = 86_400  # a limit that a service told may be another one a day later


class QueueKey(NamedTuple):
    """Whose queue it is, and the model's."""

    account: str
    model: str


class Queue(NamedTuple):
    """The queue that a batch goes into, by the settings. `configured`: how many tokens it takes, where they say that."""

    key: QueueKey
    configured: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What refusals say of a queue.

    `tokens`: so many fit, as far as is known; `stated`: what the service called its limit last. `at`: the last refusal, `refusals` of them in
    a row; before `until` nothing that may not fit is tried.
    """

    tokens: int
    at: int
    stated: int | None = None
    refusals: int = 0
    until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """A queue with a limit, configured or learned. `sent`: when a batch of each job was sent into it last."""

    key: QueueKey
    configured: int | None = None
    learned: Learned | None = None
    sent: tuple[tuple[int, int], ...] = ()

    @property
    def level(self) -> int:
        """So many tokens of ours fit in all likelihood."""
        known = (self.configured, None if self.learned is None else self.learned.tokens)
        return min(tokens for tokens in known if tokens is not None)

    @property
    def until(self) -> int:
        """Before when nothing is tried that may not fit."""
        return 0 if self.learned is None else self.learned.until

    @property
    def whole(self) -> int | None:
        """How many the service takes from everybody together; None where nobody has said so."""
        said = (self.configured, None if self.learned is None else self.learned.stated)
        return min((tokens for tokens in said if tokens is not None), default=None)

    def most(self, now: int) -> int | None:
        """Above how many tokens of ours not even one more batch is tried; None: there is no such number."""
        if self.learned is None or now - self.learned.at < _BELIEVED_S:
            return self.whole
        return self.configured

    @property
    def piece(self) -> int | None:
        """How many tokens a batch is to have at most; None where its queue's size is not known."""
        if self.whole is None:
            return None
        return max(self.whole // PIECES, min(self.whole, _PIECE_LEAST))

    def is_small(self, tokens: int) -> bool:
        """Whether a batch has so few that it fits beside several others, if they are ours alone."""
        return self.whole is not None and tokens * PIECES * 100 <= self.whole * _WHOLE_PERCENT

    def is_too_large(self, tokens: int, requests: int) -> bool:
        """Whether a batch is to be cut before it is sent."""
        piece = self.piece
        return (
            piece is not None
            and requests > 1
            and tokens > min(piece * _WHOLE_PERCENT // 100, self.whole or piece)
        )
