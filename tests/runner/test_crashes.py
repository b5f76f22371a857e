"""Whatever instant batchrun dies at, and however often: every item is answered once, and nothing is paid twice."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from crashkit import DELAYS, DELETE_LAGS, LAGS, fresh, submit_points, survive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MOST_POINTS = 40  # more than most processes of these jobs pass


@pytest.mark.parametrize("part", range(4))
@pytest.mark.fault(37)
def test_a_submit_may_die_at_every_point(tmp_path: Path, part: int) -> None:
    for kill in range(1 + part, submit_points() + 1, 4):
        (tmp_path / str(kill)).mkdir()
        world = fresh(tmp_path / str(kill))
        survive(world, [kill])
        world.close()


@pytest.mark.parametrize("tick", range(1, 6))
@pytest.mark.fault(37)
def test_each_tick_may_die_at_its_points(tmp_path: Path, tick: int) -> None:
    for kill in range(1, 26, 3):
        (tmp_path / str(kill)).mkdir()
        world = fresh(tmp_path / str(kill))
        survive(world, [*[None] * tick, kill])
        world.close()


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kills=st.lists(st.one_of(st.none(), st.integers(1, MOST_POINTS)), max_size=8),
    delays=st.lists(st.sampled_from(DELAYS), max_size=3),
    lag=st.sampled_from(LAGS),
    delete_lag=st.sampled_from(DELETE_LAGS),
)
@pytest.mark.fault(4, 37)
def test_whatever_dies_or_is_late_nothing_is_bought_twice_and_nothing_is_lost(
    kills: list[int | None], delays: list[int | None], lag: int, delete_lag: int
) -> None:
    with TemporaryDirectory() as folder:
        world = fresh(Path(folder))
        world.wire.delays, world.wire.lag_s = tuple(delays), lag
        world.wire.delete_lag_s = delete_lag
        survive(world, kills)
        world.close()
