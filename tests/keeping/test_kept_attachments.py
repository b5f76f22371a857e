"""Attached contents go with the last request that names them: by prune, by forget, here and at the service."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keepkit import CANARY, holders
from runnerkit import OPENAI, PROFILE, NewWorld, World

from batchrun.api import Batchrun
from batchrun.backends.base import AttachMode
from batchrun.config import Config

PNG = b"\x89PNG\r\n\x1a\n" + CANARY.encode()
SHARED = b"\x89PNG\r\n\x1a\nshared"


def lived(world: World, **changes: Any) -> World:
    """A job of two items, each with a content of its own and one that both share; all answered."""
    (world.folder / "own-a.png").write_bytes(PNG)
    (world.folder / "own-b.png").write_bytes(PNG + b"b")
    (world.folder / "shared.png").write_bytes(SHARED)
    rows = [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}]
    world.write(rows, attach=["own-{{ id }}.png", "shared.png"], **changes)
    assert world.submit().error is None
    world.run()
    assert world.tally() == {"succeeded": 2}
    assert len(list(world.home.attachments.iterdir())) == 3
    return world


def uploads(world: World) -> int:
    files = world.service.list_files()["data"]
    return sum(file["purpose"] == "vision" for file in files)


def test_prune_frees_what_no_request_names_any_more(world: World) -> None:
    api: Batchrun = lived(world).api()
    (would,) = api.prune(is_dry_run=True)
    (freed,) = api.prune()
    assert (would.file_count, would.bytes) == (freed.file_count, freed.bytes)
    assert freed.bytes > len(PNG) + len(PNG) + len(SHARED)
    assert list(world.home.attachments.iterdir()) == []
    assert world.rows("select form from attachments") == []
    tally = world.submit().tally
    assert tally is not None
    assert tally.unchanged == 2


def test_prune_keeps_what_another_job_still_names(world: World) -> None:
    lived(world)
    other = world.folder / "other.jsonl"
    world.write([{"id": "c", "text": "z"}], other, job="other", attach="shared.png")
    world.submit(other)
    world.api().prune(["reviews"])
    (kept,) = world.home.attachments.iterdir()
    assert kept.read_bytes() == SHARED
    world.run()


def test_a_file_that_nothing_names_is_a_leftover_that_prune_removes(world: World) -> None:
    lived(world)
    left = world.home.attachment_file(bytes(32), "png")
    left.touch(mode=0o600)
    found = world.api().verify()
    assert found.broken == ()
    assert any(left.name in told for told in found.leftovers)
    world.api().prune()
    assert not left.exists()


def test_forgetting_an_item_takes_its_own_content_and_leaves_what_others_share(
    new_world: NewWorld,
) -> None:
    world = lived(new_world(traits=replace(OPENAI, attach=AttachMode.UPLOAD)))
    assert uploads(world) == 3
    (world.folder / "own-a.png").unlink()
    found = world.api().forget("reviews", ("a",))
    assert (found.remote_left, found.problems) == (0, ())
    kept = sorted(path.read_bytes() for path in world.home.attachments.iterdir())
    assert kept == sorted([PNG + b"b", SHARED])
    assert uploads(world) == 2
    assert world.api().verify().broken == ()


@pytest.mark.parametrize("mode", list(AttachMode))
def test_nothing_of_a_forgotten_jobs_contents_is_left(
    new_world: NewWorld, mode: AttachMode
) -> None:
    world = lived(new_world(traits=replace(OPENAI, attach=mode)))
    world.api().forget("reviews")
    assert holders(CANARY, world.home.path) == []
    assert uploads(world) == 0
    assert world.rows("select 1 from attached union all select 1 from attachment_uploads") == []


class Deleting(World):
    """A world whose profile says `delete_remote = true`."""

    @property
    def config(self) -> Config:
        config = super().config
        profile = replace(config.profiles[PROFILE], delete_remote=True)
        return replace(config, profiles={**config.profiles, PROFILE: profile})


@pytest.mark.parametrize("kind", [World, Deleting])
def test_uploads_go_once_no_open_item_needs_them_where_that_is_wished(
    tmp_path: Path, kind: type[World]
) -> None:
    world = kind(tmp_path, traits=replace(OPENAI, attach=AttachMode.UPLOAD))
    lived(world)
    assert uploads(world) == (0 if kind is Deleting else 3)
    world.api().retry("reviews", ("a",), redo=True)
    world.run()
    assert set(world.executions().values()) == {1, 2}
    assert world.tally() == {"succeeded": 2}
    world.close()
