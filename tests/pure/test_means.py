"""What a job may spend, and whether what waits of it waits for money."""

import pytest

from batchrun.planning.means import Means


@pytest.mark.parametrize(
    ("means", "is_short"),
    [
        (Means(room=10), False),  # nobody knows yet what is needed
        (Means(room=0), False),
        (Means(room=10, least=3, whole=10), False),
        (Means(room=10, least=3, whole=11), False),  # a part of it fits, and nothing else will
        (Means(room=3, least=3, whole=11), False),
        (Means(room=2, least=3, whole=11), True),
        (Means(room=10, is_bound=True, least=3, whole=11), True),  # more may fit soon
        (Means(room=11, is_bound=True, least=3, whole=11), False),
        (Means(room=11, is_stopped=True), True),
        (Means(room=-1, least=0, whole=0), True),
    ],
)
def test_what_fits_as_far_as_it_ever_will_is_not_short(means: Means, is_short: bool) -> None:
    assert means.is_short is is_short
