import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from factory import AT, World

from batchrun.errors import LedgerError, UsageError
from batchrun.ledger.connection import open_for_reading
from batchrun.ledger.states import ItemState
from batchrun.model import OutputSettings
from batchrun.outputs.results import stream_results
from batchrun.outputs.writing import write_outputs

EVERYTHING = OutputSettings(files="{{ id }}.txt", csv=True, excel=True, parquet=True)


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _rich(world: World) -> int:
    job = world.job(output=EVERYTHING)
    world.batch(job)
    world.answered(job, "a1", "positive")
    world.failed(job, "a2", "refusal")
    world.bad(job, "reviews.csv:4", "bad_item", "no text")
    return job


def test_everything_asked_for_is_there_and_the_manifest_lists_it_with_hashes(world: World) -> None:
    job = _rich(world)

    written = write_outputs(world.ledger, job, now=AT)
    files = _tree(written.folder)
    manifest = json.loads(files["manifest.json"])

    assert set(files) == {
        "results.jsonl",
        "failures.jsonl",
        "results.csv",
        "results.excel.csv",
        "results.parquet",
        "files.jsonl",
        "files/a1.txt",
        "report.json",
        "report.md",
        "manifest.json",
    }
    assert manifest["job"] == "reviews"
    assert manifest["complete"] is True
    assert manifest["submitted_at"] == "2026-09-21T14:13:20Z"
    assert manifest["counts"]["items"] == 3
    for entry in manifest["files"]:
        content = files[entry["name"]]
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert [entry["name"] for entry in manifest["files"]] == [f.name for f in written.files]
    assert written.is_complete


def test_only_what_is_asked_for_is_written(world: World) -> None:
    job = world.job()
    world.answered(job, "a1")

    folder = write_outputs(world.ledger, job, now=AT).folder

    assert {p.name for p in folder.iterdir()} == {
        "results.jsonl",
        "failures.jsonl",
        "report.json",
        "report.md",
        "manifest.json",
    }


def test_a_job_with_open_items_is_written_as_not_complete(world: World) -> None:
    job = world.job()
    world.answered(job, "a1")
    world.item(job, "a2", ItemState.IN_FLIGHT)

    written = write_outputs(world.ledger, job, now=AT)

    assert not written.is_complete
    assert json.loads((written.folder / "manifest.json").read_text())["complete"] is False


def test_written_again_later_or_after_everything_was_deleted_the_bytes_are_the_same(
    world: World,
) -> None:
    job = _rich(world)
    folder = write_outputs(world.ledger, job, now=AT).folder
    first = _tree(folder)

    write_outputs(world.ledger, job, now=AT + 86_400)
    assert _tree(folder) == first

    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    write_outputs(world.ledger, job, now=AT + 2 * 86_400)
    assert _tree(folder) == first


def test_results_can_be_streamed_as_the_files_have_them(world: World) -> None:
    job = _rich(world)
    files = _tree(write_outputs(world.ledger, job, now=AT).folder)

    assert b"".join(stream_results(world.ledger, job, format="jsonl")) == files["results.jsonl"]
    assert b"".join(stream_results(world.ledger, job, format="csv")) == files["results.csv"]


@pytest.mark.fault(56)
def test_folder_and_files_are_for_their_owner_only(world: World) -> None:
    previous = os.umask(0)
    try:
        folder = write_outputs(world.ledger, _rich(world), now=AT).folder
    finally:
        os.umask(previous)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir() if p.is_file()} == {0o600}


def test_a_shared_folder_stays_readable_but_others_may_not_write_there(world: World) -> None:
    job = world.job()
    folder = world.folder / "outputs" / "reviews"
    folder.mkdir(parents=True)
    folder.chmod(0o777)

    write_outputs(world.ledger, job, now=AT)

    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "name", ["results.jsonl", "failures.jsonl", "report.md", "manifest.json", "results.csv"]
)
@pytest.mark.fault(52)
def test_a_link_planted_under_a_name_of_ours_is_replaced_never_followed(
    world: World, name: str
) -> None:
    job = _rich(world)
    victim = world.folder / "victim"
    victim.write_text("precious")
    folder = world.folder / "outputs" / "reviews"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(victim)

    write_outputs(world.ledger, job, now=AT)

    assert victim.read_text() == "precious"
    assert not (folder / name).is_symlink()


def test_a_table_that_is_no_longer_asked_for_goes_but_one_of_the_users_stays(world: World) -> None:
    job = world.job(output=OutputSettings(csv=True))
    folder = write_outputs(world.ledger, job, now=AT).folder
    world.execute("update jobs set settings = json_set(settings, '$.output.csv', json('false'))")

    write_outputs(world.ledger, job, now=AT)
    assert not (folder / "results.csv").exists()

    (folder / "results.csv").write_text("mine")
    write_outputs(world.ledger, job, now=AT)
    assert (folder / "results.csv").read_text() == "mine"


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": 3}', '{"files": [1]}', "\xff"])
def test_a_broken_manifest_is_simply_replaced(world: World, manifest: str) -> None:
    job = world.job()
    folder = write_outputs(world.ledger, job, now=AT).folder
    good = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_text(manifest, encoding="latin-1")

    write_outputs(world.ledger, job, now=AT)

    assert (folder / "manifest.json").read_bytes() == good


@pytest.mark.fault(30)
def test_a_full_disk_leaves_the_old_files_and_no_half_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.job()
    item = world.answered(job, "a1", "old")
    folder = write_outputs(world.ledger, job, now=AT).folder
    before = _tree(folder)
    world.execute("update result_rows set output = '\"new\"' where item = ?", item)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(
            LedgerError, match=r"results\.jsonl: cannot be written: No space left.*df -h"
        ):
            write_outputs(world.ledger, job, now=AT)

    assert _tree(folder) == before
    write_outputs(world.ledger, job, now=AT)
    assert b'"new"' in (folder / "results.jsonl").read_bytes()


def test_the_manifest_is_the_last_file_to_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[str] = []
    rename = os.rename

    def note(source: Path, target: Path) -> None:
        rename(source, target)
        renamed.append(Path(target).name)

    monkeypatch.setattr(os, "rename", note)
    write_outputs(world.ledger, _rich(world), now=AT)

    assert renamed[-1] == "manifest.json"
    assert "results.jsonl" in renamed


def test_a_file_in_the_place_of_the_folder_is_named_in_the_error(world: World) -> None:
    job = world.job()
    (world.folder / "outputs").mkdir()
    (world.folder / "outputs" / "reviews").write_text("in the way")

    with pytest.raises(LedgerError, match="outputs/reviews"):
        write_outputs(world.ledger, job, now=AT)


def test_what_a_killed_writer_left_is_swept(world: World) -> None:
    job = world.job()
    folder = write_outputs(world.ledger, job, now=AT).folder
    (folder / ".results.jsonl.0a1b2c3d.part").write_text("half")

    write_outputs(world.ledger, job, now=AT)

    assert not list(folder.glob(".*"))


def test_after_writing_the_connection_is_free_for_the_next_transaction(world: World) -> None:
    write_outputs(world.ledger, _rich(world), now=AT)

    assert not world.ledger.connection.in_transaction


def test_outputs_of_no_such_job_is_a_usage_error(world: World) -> None:
    with pytest.raises(UsageError, match="no job with number 5"):
        write_outputs(world.ledger, 5, now=AT)


@pytest.mark.fault(34)
def test_a_damaged_ledger_is_said_so_and_the_old_files_stay(world: World) -> None:
    job = _rich(world)
    folder = write_outputs(world.ledger, job, now=AT).folder
    before = _tree(folder)
    world.ledger.connection.execute("pragma wal_checkpoint(truncate)")
    content = bytearray(world.ledger.home.database.read_bytes())
    page = world.ledger.value("select rootpage from sqlite_master where name = 'item_rows'")
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    world.ledger.home.database.write_bytes(content)

    with (
        open_for_reading(world.ledger.home) as ledger,
        pytest.raises(LedgerError, match="malformed"),
    ):
        write_outputs(ledger, job, now=AT)

    assert _tree(folder) == before
