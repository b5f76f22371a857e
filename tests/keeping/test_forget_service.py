"""Files at the service that hold what was forgotten: deleted, and remembered until they are."""

from dataclasses import replace

from forgetkit import HERS, OTHERS, SHE, everywhere, forget, lives
from runnerkit import DAY_S, World

from batchrun.errors import Transient, WrongAccount
from batchrun.ledger.connection import open_ledger
from batchrun.testing_backend import Fault


def test_files_at_the_service_that_hold_the_item_are_deleted_and_no_others(world: World) -> None:
    world.write(OTHERS)
    world.submit()
    world.run()
    kept = {f["id"] for f in world.service.list_files(limit=100)["data"]}
    world.write([*OTHERS, HERS])
    world.submit()
    world.run()
    found = forget(world, SHE)
    assert (found.remote_deleted, found.remote_left) == (2, 0)
    assert {f["id"] for f in world.service.list_files(limit=100)["data"]} == kept


def test_a_service_that_is_away_is_told_and_the_files_are_remembered(world: World) -> None:
    lives(world)
    world.backend.add(Fault(call="delete_file", error=Transient("away")))
    found = forget(world, SHE)
    assert found.remote_left > 0
    assert [str(p) for p in found.problems] == ["away"]
    assert everywhere(world) == [], "what is here is gone all the same"
    found = world.api().forget()
    assert (found.remote_left, found.problems) == (0, ())
    assert found.remote_deleted > 0


def test_files_that_are_gone_already_count_as_deleted(world: World) -> None:
    lives(world)
    world.clock.sleep_until(world.clock.now() + 40 * DAY_S)
    found = forget(world, SHE)
    assert (found.remote_left, found.problems) == (0, ())


def test_a_key_of_another_project_proves_nothing(world: World) -> None:
    lives(world)
    ours = world.wire.identity
    world.clock.sleep_until(world.clock.now() + 40 * DAY_S)
    world.wire.identity = replace(ours, fingerprint="somebody else's")
    found = forget(world, SHE)
    assert found.remote_left > 0
    assert isinstance(found.problems[0], WrongAccount)
    world.wire.identity = ours
    assert world.api().forget().remote_left == 0


def test_a_copied_home_deletes_nothing_at_the_service(world: World) -> None:
    lives(world)
    with open_ledger(world.home) as ledger, ledger.transaction():
        ledger.execute("update meta set value = json_set(value, '$.inode', '1') where key = 'home'")
    found = forget(world, SHE)
    assert found.remote_deleted == 0
    assert "this home is a copy" in str(found.problems[0])
    assert everywhere(world) == []
