"""A bill that is not that of its batch any more: verify names it."""

import pytest
from runnerkit import World
from verifykit import broken, change

_SPENT = "(select batch from bills where cost is not null)"
_OPEN = "(select batch from bills where cost is null)"


@pytest.fixture
def paid(world: World) -> World:
    """The world with a limit that comes late: what was sent has its bill, settled or open."""
    (world.folder / "batchrun.toml").write_text("[budget]\nmonth = 50\n")
    world.tick()
    assert not broken(world, is_quick=True)
    return world


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            f"update bills set booked_at = null, cost = null, presumed = 0 where batch in {_SPENT}",
            "still reserved",
        ),
        (f"update bills set cost = null where batch in {_SPENT}", "booked without a cost"),
        (f"update bills set cost = reserved + 1 where batch in {_SPENT}", "no incident says so"),
        (f"update bills set presumed = reserved + 1 where batch in {_SPENT}", "more is presumed"),
        (
            f"update bills set cost = 0, booked_at = 1 where batch in {_OPEN} and batch in (select id from batch_rows where state = 0)",
            "nothing is reserved for it",
        ),
    ],
)
def test_a_bill_that_does_not_follow_its_batch_is_seen(paid: World, sql: str, told: str) -> None:
    paid.tick()
    with paid.ledger() as ledger:
        assert ledger.value("select count(*) from bills") > 3
    change(paid, "update batch_rows set state = 0 where id = (select max(batch) from bills)")
    change(paid, sql)
    found = broken(paid, is_quick=True)["bills-follow-batches"]
    assert any(told in finding for finding in found), found
