"""verify on a home in order, and on one in which a process died."""

from runnerkit import World

from batchrun.verifying.verify import INVARIANTS, verify


def test_a_home_in_order_holds_every_invariant(world: World) -> None:
    with world.ledger() as ledger:
        found = verify(ledger)
    assert {outcome.name: outcome.findings for outcome in found.broken} == {}
    assert [outcome.name for outcome in found.outcomes] == [i.name for i in INVARIANTS]
    assert found.leftovers == ()


def test_the_home_of_these_tests_has_everything_that_is_checked(world: World) -> None:
    states = {row["state"] for row in world.rows("select distinct state from item_rows")}
    assert states == {0, 1, 2, 3}
    for table in ("history", "queue", "bad_items", "content_items", "result_files"):
        assert world.rows(f"select 1 from {table} limit 1"), table
    assert {row["state"] for row in world.rows("select state from batch_rows")} >= {3, 5}
    assert world.rows("select 1 from request_files where state = 1")
