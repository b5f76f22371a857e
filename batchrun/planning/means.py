"""What a job may spend, as planning sees it. Pure."""

from typing import NamedTuple


class Means(NamedTuple):
    """Picodollars. `room`: what the tightest limit leaves to the job. `is_stopped`: none of its batches may be sent, whatever they cost.

    `is_bound`: that limit has something reserved, or set aside for this job, of which a part may become free by itself; `is_ample`: a good part of it is free. `least` and `whole`: the most that the next request
    and the next batch of it can cost, as far as that was found out when it did not fit; 0: not known.
    """

    room: int
    is_stopped: bool = False
    is_bound: bool = False
    is_ample: bool = False
    least: int = 0
    whole: int = 0

    @property
    def is_short(self) -> bool:
        """Whether what waits is not to be sent yet: not even its next batch fits.

        A smaller one is worth it when a good part of the limit is free, or when nothing that is out can make more room: else each answer would
        be followed by a batch of its own.
        """
        if self.is_stopped or self.room >= self.whole:
            return self.is_stopped
        return self.room < self.least or (self.is_bound and not self.is_ample)
