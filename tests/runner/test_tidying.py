"""Files on the service: those whose id was never recorded go when nothing is on its way; those of settled batches where that is wished."""

from dataclasses import replace
from typing import Any, NoReturn

import pytest
from runnerkit import DAY_S, PROFILE, NewWorld, World, items

from batchrun.config import Config
from batchrun.errors import Ambiguous, AuthError, NotFound, Refused, Transient, UsageError
from batchrun.model import Account
from batchrun.recovery.recovering import RecoverOptions
from batchrun.testing_backend import Fault
from batchrun.windows import upload_life_s


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
    assert file["expires_at"] - file["created_at"] == upload_life_s("24h")


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


def test_the_input_of_a_running_batch_stays_where_the_service_does_not_show_of_which_file_it_is(
    new_world: NewWorld,
) -> None:
    world = new_world(faults=[Fault(call="create", error=Ambiguous("timed out"), when="after")])
    world.wire.edit = lambda batch: replace(batch, input_file_id=None)
    world.write(items(3))
    world.submit()
    world.clock.advance(1_000)
    world.api().recover([], RecoverOptions(waits=True))
    for _ in range(40):
        world.tick()
        world.clock.advance(3_600)
    assert world.batches()[0]["name"] == "created"
    assert "list_files" in world.backend.calls
    assert len(files(world)) == 1


def test_the_upload_with_which_a_batch_was_found_is_no_orphan(new_world: NewWorld) -> None:
    world = orphaned(new_world)
    ours = world.batches()[0]["input_file_id"]
    (other,) = (
        file["id"]
        for file in world.service.list_files(limit=10, purpose="batch")["data"]
        if file["id"] != ours
    )
    world.wire.edit = lambda batch: replace(
        batch, input_file_id=other, raw={**batch.raw, "input_file_id": other}
    )
    world.run()
    assert len(files(world)) == 2


def deleting(new_world: NewWorld, *faults: Fault) -> World:
    """Three items created on the service, in a world that deletes what is settled."""
    world = new_world(faults=faults)
    world.__class__ = Deleting
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.batches()[0]["name"] == "created")
    return world


def test_files_of_settled_batches_go_where_the_service_lists_no_files(new_world: NewWorld) -> None:
    refused = Fault(call="list_files", error=Refused("no such route", status=405), number=None)
    world = deleting(new_world, refused)
    world.run()
    assert all_files(world) == 0
    assert world.batches()[0]["cleaned_at"] is not None


def test_a_404_of_another_place_says_nothing_about_the_files_of_this_one(
    new_world: NewWorld,
) -> None:
    world = deleting(new_world, Fault(call="delete_file", error=Transient("502")))
    world.run_until(lambda: world.batches()[0]["name"] == "collected")
    here = world.wire.identity
    world.wire.identity = Account(base_url="https://other.example/v1", fingerprint="f2")
    world.backend.add(Fault(call="delete_file", error=NotFound("no such file"), number=None))
    for _ in range(5):
        world.clock.advance(DAY_S)
        assert world.tick().problems == ()
    assert world.batches()[0]["cleaned_at"] is None
    world.wire.identity = here
    world.backend._script.clear()
    world.run()
    assert all_files(world) == 0


def test_a_deletion_that_the_service_does_not_confirm_is_made_again(new_world: NewWorld) -> None:
    world = deleting(new_world)
    delete = world.wire.delete_file
    answers = iter([False])

    def deny(file_id: str) -> bool:
        return next(answers, True) and delete(file_id)

    world.wire.delete_file = deny  # type: ignore[method-assign]
    world.run()
    assert all_files(world) == 0


@pytest.mark.parametrize("error", [UsageError("no profile 'openai'"), AuthError("no key")])
def test_house_keeping_with_a_profile_that_cannot_be_opened_is_no_problem(
    new_world: NewWorld, error: Exception
) -> None:
    world = new_world(faults=[Fault(call="list_files", error=Transient("502"))])
    world.write(items(3))
    world.submit()
    world.run_until(lambda: world.batches()[0]["name"] == "collected")
    world.clock.advance(4_000)

    def refuse(_: str) -> NoReturn:
        raise error

    runner = replace(world.api()._runner(), open_backend=refuse)
    result = runner.run_pass(lock_wait_s=0)
    assert result.problems == ()
    assert result.next_at == world.clock.now() + DAY_S
    world.run()
    assert world.tick().next_at is None
