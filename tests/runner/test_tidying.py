"""Files on the service: those whose id was never recorded go when nothing is on its way; those of settled batches where that is wished."""

from dataclasses import replace
from typing import Any

import pytest
from runnerkit import DAY_S, PROFILE, NewWorld, World, items

from batchrun.config import Config
from batchrun.errors import Ambiguous, NotFound, Refused, Transient
from batchrun.running.send import INPUT_FILE_EXPIRES_S
from batchrun.testing_backend import Fault


def files(world: World) -> list[str]:
    """Names of the uploaded files at the far end."""
    page = world.service.list_files(limit=100, purpose="batch")
    return sorted(file["filename"] for file in page["data"])


def orphaned(new_world: NewWorld, **settings: Any) -> World:
    """An upload whose answer was lost, and then one that worked."""
    lost = Fault(call="upload", error=Transient("reset"), when="after")
    world = new_world(faults=[lost], **settings)
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.batches()[0]["name"] == "created")
    assert len(files(world)) == 2
    return world


def test_an_upload_whose_id_was_never_recorded_is_found_by_its_name_and_deleted(
    new_world: NewWorld,
) -> None:
    world = orphaned(new_world)
    world.run()
    (batch,) = world.batches()
    assert files(world) == [f"{batch['token']}.jsonl"]
    assert world.embedded.get_file(batch["input_file_id"]).bytes


def test_strangers_files_are_left_alone(new_world: NewWorld) -> None:
    world = orphaned(new_world)
    path = world.folder / "x.jsonl"
    path.write_text("{}\n")
    for name in ("br-0123456789.jsonl", "theirs.jsonl"):
        world.embedded.upload(path, name=name, expires_after_s=None)
    world.run()
    assert {"br-0123456789.jsonl", "theirs.jsonl"} < set(files(world))
    assert len(files(world)) == 3


def test_nothing_is_deleted_while_a_create_is_in_doubt(new_world: NewWorld) -> None:
    lost = Fault(call="create", error=Ambiguous("timed out"), when="after")
    world = orphaned(new_world)
    world.backend.add(replace(lost, number=2))
    other = world.folder / "other.jsonl"
    world.write(items(2), other, job="other")
    world.wire.lag_s = 2 * DAY_S
    world.submit(other)
    calls = len(world.backend.calls)
    began = world.clock.now()
    world.run_until(lambda: world.clock.now() > began + 3_000)
    assert world.batches()[1]["name"] == "creating"
    assert "list_files" not in world.backend.calls[calls:]
    assert len(files(world)) == 2, "the orphan, and the input of the first batch"
    world.wire.lag_s = 0
    world.run()
    assert len(files(world)) == 1


def test_a_quiet_pass_lists_no_files(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    assert world.backend.calls.count("list_files") == 1
    world.clock.advance(DAY_S)
    world.tick()
    assert world.backend.calls.count("list_files") == 1


@pytest.mark.parametrize("error", [Refused("no", status=405), NotFound("no", status=404)])
def test_a_service_that_lists_no_files_is_not_asked_again(
    new_world: NewWorld, error: Exception
) -> None:
    world = orphaned(new_world)
    world.backend.add(Fault(call="list_files", error=error, number=None))
    result = world.run()
    assert result.problems == ()
    assert world.backend.calls.count("list_files") == 1
    assert world.tally() == {"succeeded": 3}


def test_house_keeping_that_fails_is_put_off_and_no_problem(new_world: NewWorld) -> None:
    world = orphaned(new_world)
    world.backend.add(Fault(call="list_files", error=Transient("502")))
    world.run()
    assert world.backend.calls.count("list_files") == 2
    assert len(files(world)) == 1


def test_orphans_expire_by_themselves(world: World) -> None:
    world.write(items(1))
    world.submit()
    (file,) = world.service.list_files(limit=10, purpose="batch")["data"]
    assert file["expires_at"] - file["created_at"] == INPUT_FILE_EXPIRES_S


class Deleting(World):
    """A world whose profile says `delete_remote = true`."""

    @property
    def config(self) -> Config:
        config = super().config
        profile = replace(config.profiles[PROFILE], delete_remote=True)
        return replace(config, profiles={**config.profiles, PROFILE: profile})


def all_files(world: World) -> int:
    return len(world.service.list_files(limit=100)["data"])


def test_files_of_settled_batches_stay_unless_it_is_wished(world: World) -> None:
    world.write(items(3))
    world.submit()
    world.run()
    assert all_files(world) == 2


def test_files_of_settled_batches_go_where_it_is_wished(new_world: NewWorld) -> None:
    world = new_world()
    world.__class__ = Deleting
    world.write(items(3))
    world.submit()
    world.run()
    assert all_files(world) == 0
    assert world.batches()[0]["cleaned_at"] is not None
    assert world.tally() == {"succeeded": 3}
    assert world.home.result_file(1, 0).exists()


def test_files_of_a_batch_under_audit_stay_until_that_is_over(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timed out"), when="after")])
    world.__class__ = Deleting
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.tally() == {"succeeded": 3})
    world.tick()
    assert all_files(world) == 2
    world.run()
    assert all_files(world) == 0


def test_a_deletion_that_fails_is_made_again(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="delete_file", error=Transient("502"), number=2)])
    world.__class__ = Deleting
    world.write(items(3))
    world.submit()
    world.run()
    assert all_files(world) == 0
