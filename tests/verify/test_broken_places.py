"""Each invariant of outputs and folders, broken by hand: verify names it."""

import shutil

import pytest
from runnerkit import World
from verifykit import broken, change, edit

from batchrun.verifying.verify import verify


@pytest.mark.parametrize(
    "name", ["results.jsonl", "failures.jsonl", "results.csv", "report.json", "files.jsonl"]
)
def test_an_output_that_was_edited_is_seen(world: World, name: str) -> None:
    path = world.home.outputs / "reviews" / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert broken(world) == {
        "outputs-as-listed": (f"{path} is not what was written: it was changed since",)
    }


def test_an_item_file_that_was_edited_or_removed_is_seen(world: World) -> None:
    folder = world.home.outputs / "reviews" / "files"
    edit(folder / "i0.txt", b"Review", b"review")
    (folder / "i3.txt").unlink()
    found = broken(world)["outputs-as-listed"]
    assert found == (
        f"{folder / 'i0.txt'} is not what was written: it was changed since",
        f"{folder / 'i3.txt'} is not there",
    )


def test_outputs_that_are_gone_are_seen(world: World) -> None:
    shutil.rmtree(world.home.outputs / "reviews")
    assert set(broken(world)) == {"outputs-as-listed"}


def test_a_manifest_that_names_files_elsewhere_is_not_followed(world: World) -> None:
    path = world.home.outputs / "reviews" / "manifest.json"
    edit(path, b'"results.jsonl"', b'"../../secret"')
    assert broken(world) == {"outputs-as-listed": (f"{path} is not there, or cannot be read",)}


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("update item_rows set key = 'other' where id = 1", "results.jsonl"),
        ("update result_rows set message = 'other' where item = 3", "failures.jsonl"),
        ("update batch_rows set remote_status = 'other' where id = 1", "report.json"),
    ],
)
def test_outputs_that_would_be_others_now_are_seen(world: World, sql: str, name: str) -> None:
    change(world, sql)
    folder = world.home.outputs / "reviews"
    found = broken(world)["outputs-rewrite-alike"]
    assert f"{folder / name} would be written with other bytes now" in found


def test_outputs_that_are_too_many_or_too_few_are_seen(world: World) -> None:
    change(
        world,
        """update jobs set settings = replace(settings, '"csv":true', '"csv":false') where name = 'reviews'""",
    )
    change(
        world,
        """update jobs set settings = replace(settings, '"csv":false', '"csv":true') where name = 'notes'""",
    )
    assert broken(world) == {
        "outputs-rewrite-alike": (
            f"{world.home.outputs / 'reviews' / 'results.csv'} is listed, and would not be written now",
            f"{world.home.outputs / 'notes' / 'results.csv'} is not listed, and would be written now",
        )
    }


def test_a_table_that_was_written_without_defusing_is_as_good(world: World) -> None:
    world.api().write_outputs("reviews", defuse=False)
    assert broken(world) == {}


def test_outputs_of_a_job_that_goes_on_are_not_compared(world: World) -> None:
    shutil.rmtree(world.home.outputs / "reviews")
    change(world, "update jobs set stale = 1 where name = 'reviews'")
    assert broken(world) == {}


def test_fields_that_are_damaged_are_seen_where_the_outputs_need_them(world: World) -> None:
    path = next(world.home.fields.glob("*.jsonl"))
    path.write_bytes(b"[1,")
    found = broken(world)["outputs-rewrite-alike"]
    assert found[-1].startswith("could not be checked to its end: ")


@pytest.mark.fault(56)
@pytest.mark.parametrize("name", ["batchrun.db", "spool/requests/1.jsonl", "spool/results", "lock"])
def test_a_home_that_others_can_read_is_seen(world: World, name: str) -> None:
    path = world.home.path / name
    path.chmod(0o755)
    found = broken(world, is_quick=True)
    assert set(found) == {"private"}
    assert f"{path}: others may use it (mode 0755)" in found["private"]


def test_outputs_that_others_can_write_are_seen(world: World) -> None:
    folder = world.home.outputs / "reviews"
    folder.chmod(0o775)
    assert broken(world) == {"private": (f"{folder}: others may write into it (mode 0775)",)}
    folder.chmod(0o755)  # who may read them is the owner's to say
    assert broken(world) == {}


@pytest.mark.parametrize(
    "name",
    ["requests/99.jsonl", "requests/notes.txt", "results/99-output.jsonl", "fields/99.jsonl"],
)
def test_a_file_that_nothing_names_is_seen(world: World, name: str) -> None:
    path = world.home.path / "spool" / name
    path.touch(mode=0o600)
    assert broken(world, is_quick=True) == {"no-strays": (f"{path}: nothing names this file",)}


@pytest.mark.parametrize("name", [".results.jsonl.0123.part", "files/.0123.part"])
def test_a_temporary_file_in_finished_outputs_is_seen(world: World, name: str) -> None:
    path = world.home.outputs / "reviews" / name
    path.touch(mode=0o600)
    assert broken(world) == {"no-strays": (f"{path}: left by a process that died",)}


def test_a_temporary_file_of_a_forgetting_that_goes_on_is_no_fault(world: World) -> None:
    (world.home.outputs / "reviews" / ".results.csv.0123.part").touch(mode=0o600)
    columns = "id, at, job, is_whole, was_stale"
    change(world, f"insert into forgettings ({columns}) select id, 1, id, 0, 0 from jobs")
    assert "no-strays" not in broken(world)
    change(world, "update forgettings set done_at = 2")
    assert set(broken(world)) == {"no-strays"}


def test_what_a_dead_process_left_for_the_next_pass_is_told_and_is_no_fault(world: World) -> None:
    temp = world.home.results / ".9-output.jsonl.0123.part"
    temp.touch(mode=0o600)
    given_up = world.rows("select request_file as id from batch_rows where id = 1")[0]["id"]
    change(world, "update item_rows set state = 2 where file = ?", given_up)
    change(world, "update request_files set state = 3 where id = ?", given_up)
    with world.ledger() as ledger:
        found = verify(ledger, is_quick=True)
    assert found.leftovers == (
        str(temp),
        f"{world.home.request_file(given_up)}: given up, and still on disk",
    )
    assert "no-strays" not in {outcome.name for outcome in found.broken}


def test_only_the_first_findings_are_kept_and_all_are_counted(world: World) -> None:
    for number in range(90, 99):
        (world.home.requests / f"{number}.jsonl").touch(mode=0o600)
    with world.ledger() as ledger:
        (strays,) = verify(ledger, is_quick=True).broken
    assert (strays.count, len(strays.findings)) == (9, 5)
