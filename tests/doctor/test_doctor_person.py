"""What waits for a person, and nothing but a person ends, is named by the doctor, each with its fix."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

# The kit of the core's tests: a real service behind a wire.
sys.path.append(str(Path(__file__).parents[1] / "runner"))

from runnerkit import OPENAI, World, items
from test_damaged_results import half, spoil, until_person
from test_look_first import queued, restore
from test_resolving import mute

from batchrun.doctoring.diagnosis import Diagnosis, Level
from batchrun.doctoring.standing import examine_ledger
from batchrun.errors import Ambiguous
from batchrun.recovery.recovering import RecoverOptions
from batchrun.testing_backend import Fault


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def found(world: World, name: str) -> Diagnosis:
    """The one diagnosis of that name."""
    with world.ledger() as ledger:
        (diagnosis,) = (
            diagnosis
            for diagnosis in examine_ledger(ledger, world.clock.now(), in_process=frozenset())
            if diagnosis.name == name
        )
    return diagnosis


def older(world: World) -> None:
    restore(world, queued(world))
    world.clock.advance(300)
    world.tick()


def half_recovered(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.home.database.unlink()
    world.api().recover([world.job_file], RecoverOptions(waits=False))


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("bring_about", "why"),
    [(older, "older than the service"), (half_recovered, "is being rebuilt")],
)
def test_a_profile_that_is_held_for_good_is_a_failure_with_its_way_out(
    world: World, bring_about: Callable[[World], None], why: str
) -> None:
    bring_about(world)
    held = found(world, "held")
    assert held.level is Level.FAIL
    assert held.exit_code == 7
    assert held.what.startswith("profile 'openai' sends nothing: ")
    assert why in held.what
    assert held.fix == f"batchrun recover FILE... --backend openai --home {world.home.path}"


def test_a_hold_that_ends_by_itself_is_no_matter(world: World) -> None:
    world.write(items(1))
    world.submit()
    with world.ledger() as ledger, ledger.transaction():
        until = world.clock.now() + 3_600
        ledger.execute("insert into holds values ('openai', '', ?, 1, 'no quota')", (until,))
    assert found(world, "held").level is Level.OK


def test_a_batch_in_doubt_is_named_with_the_command_that_resolves_it(tmp_path: Path) -> None:
    world = World(tmp_path, traits=replace(OPENAI, listing_echoes=False))
    world.backend.add(Fault(call="create", error=Ambiguous("timed out"), when="after"))
    world.wire.edit = mute
    world.write(items(3))
    world.submit()
    world.clock.advance(60)
    assert found(world, "needs-person").level is Level.OK, "it is looked for first"
    world.tick()
    needing = found(world, "needs-person")
    assert needing.level is Level.WARN
    assert needing.what.startswith("batch 1 of reviews: batch 1 may have been created")
    assert needing.fix.startswith(
        f"batchrun resolve 1 --is BATCH_ID --home {world.home.path}, or --absent"
    )
    (remote,) = world.remotes()
    world.api().resolve(1, remote_id=remote["id"])
    assert found(world, "needs-person").level is Level.OK
    world.close()


def test_results_that_cannot_be_read_are_named_with_what_can_be_done(world: World) -> None:
    spoil(world, half)
    until_person(world)
    needing = found(world, "needs-person")
    assert "cannot be read, after a second download too" in needing.what
    assert needing.fix.startswith("Mend the file in its place")
    assert needing.fix.endswith(f"batchrun resolve 1 --as-is --home {world.home.path}")
    world.api().resolve(1, is_as_is=True)
    world.run()
    assert found(world, "needs-person").level is Level.OK


def test_requests_that_were_changed_on_the_disk_are_named(world: World) -> None:
    world.write(items(3))
    world.submit(send=False)
    path = world.home.request_file(1)
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"text 1", b"TEXT 1"))
    world.tick()
    needing = found(world, "needs-person")
    assert str(path) in needing.what
    assert needing.fix.startswith("Restore the file from a backup")
    path.write_bytes(sound)
    world.clock.advance(600)
    world.tick()
    assert found(world, "needs-person").level is Level.OK


def test_a_status_that_no_version_knows_is_named_once_it_should_have_ended(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.wire.edit = lambda batch: replace(batch, status="pondering")
    world.clock.advance(60)
    world.tick()
    assert found(world, "needs-person").level is Level.OK
    world.clock.advance(49 * 3_600)
    world.tick()
    needing = found(world, "needs-person")
    (remote,) = world.remotes()
    assert "'pondering'" in needing.what
    assert needing.fix == f"Look at {remote['id']} on the service."
