"""The harness can fail: each program with a part of the protocol taken out breaks a promise under the kills that the whole one survives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farside import Manners
from judging import Violation
from killing import Kill
from living import Planned, Way, live
from programs import PROGRAMS
from yard import SERVED, Zygote

CRONTAB = PROGRAMS[0]
AFTER_THE_CREATE = Kill(kind=SERVED, line="after POST /v1/batches", nth=1)


def lives(
    zygote: Zygote,
    way: Way,
    folder: Path,
    broken: str | None,
    *kills: Kill | None,
    **manners: Any,
) -> str | None:
    """How the program breaks a promise, or None."""
    try:
        live(
            CRONTAB, Planned(*kills), way, folder, zygote, manners=Manners(**manners), broken=broken
        )
    except Violation as violation:
        return str(violation)
    return None


def test_a_create_before_its_intent_is_caught_paying_twice(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    way = ways("crontab")
    assert lives(zygote, way, tmp_path / "whole", None, AFTER_THE_CREATE) is None
    found = lives(zygote, way, tmp_path / "broken", "effect_before_intent", AFTER_THE_CREATE)
    assert found is not None
    assert "paid twice" in found or "executed" in found


def test_without_the_fence_a_create_that_outlives_its_client_is_caught_paying_twice(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    """The client is killed while its create is on the way, which takes effect when it was long given up."""
    way = ways("crontab")
    assert lives(zygote, way, tmp_path / "whole", None, AFTER_THE_CREATE, late=(660,)) is None
    found = lives(zygote, way, tmp_path / "broken", "no_fence", AFTER_THE_CREATE, late=(660,))
    assert found is not None
    assert "paid twice" in found or "executed" in found


def test_without_the_second_wait_a_create_that_beats_the_fence_is_caught_paying_twice(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    """The deletion bites late and the listing lags: the create gets through after the fence and is seen later still."""
    way = ways("crontab")
    slow = {"late": (200,), "lag_s": 110, "delete_lag_s": 300}
    assert lives(zygote, way, tmp_path / "whole", None, AFTER_THE_CREATE, **slow) is None
    found = lives(zygote, way, tmp_path / "broken", "no_second_wait", AFTER_THE_CREATE, **slow)
    assert found is not None
    assert "paid twice" in found or "executed" in found


def test_absence_from_part_of_a_listing_is_caught_paying_twice(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    """The client is killed before it hears of its batch, and the listing breaks off for longer than both waits."""
    way, broken = ways("crontab"), "absence_from_part_of_a_listing"
    assert lives(zygote, way, tmp_path / "whole", None, AFTER_THE_CREATE, blind_s=700) is None
    found = lives(zygote, way, tmp_path / "broken", broken, AFTER_THE_CREATE, blind_s=700)
    assert found is not None
    assert "paid twice" in found or "executed" in found


def test_any_404_taken_for_a_fence_is_caught_paying_twice(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    """The create outlives its client, and the service does not show its input file, which is there all the same."""
    way, hidden = ways("crontab"), {"late": (660,), "hides_files": True}
    assert lives(zygote, way, tmp_path / "whole", None, AFTER_THE_CREATE, **hidden) is None
    broken = "any_404_is_a_fence"
    found = lives(zygote, way, tmp_path / "broken", broken, AFTER_THE_CREATE, **hidden)
    assert found is not None
    assert "paid twice" in found or "executed" in found


def test_every_4xx_taken_for_a_refusal_is_caught_paying_twice(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    """A gateway answers 409 to a create that took effect: nobody has to die for that."""
    way, broken = ways("crontab"), "every_4xx_is_a_refusal"
    assert lives(zygote, way, tmp_path / "whole", None, conflict=True) is None
    found = lives(zygote, way, tmp_path / "broken", broken, conflict=True)
    assert found is not None
    assert "paid twice" in found or "executed" in found


def test_without_transactions_a_kill_between_two_statements_is_caught(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path
) -> None:
    way = ways("crontab")
    passed, _ = way.passed["submit"][0]
    # From where the batches are made, backwards: before that, most transactions are of one statement.
    points = range(passed.statements * 7 // 10, passed.statements // 3, -3)
    kills = [Kill(kind="statement", nth=nth) for nth in points]
    assert any(
        lives(zygote, way, tmp_path / str(kill.nth), "no_transaction", kill) for kill in kills
    )


@pytest.mark.parametrize("broken", ["no_transaction"])
def test_a_broken_program_that_nobody_kills_is_not_caught(
    zygote: Zygote, ways: Callable[[str], Way], tmp_path: Path, broken: str
) -> None:
    """So it is the kills that show what is missing."""
    assert lives(zygote, ways("crontab"), tmp_path / "lives", broken) is None
