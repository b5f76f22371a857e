import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from factory import AT, World

from batchrun.errors import LedgerError
from batchrun.ledger.states import ItemState
from batchrun.model import OutputSettings
from batchrun.outputs.writing import write_outputs

BY_ID = OutputSettings(files="{{ id }}.md")


def _write(world: World, job: int) -> dict[str, bytes]:
    folder = write_outputs(world.ledger, job, now=AT).folder / "files"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _folder(world: World, job: int) -> Path:
    return write_outputs(world.ledger, job, now=AT).folder


def test_each_answer_is_a_file_of_its_own_text_as_it_is_and_values_as_json(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "text", 'First\r\nsecond, 日本語 "quoted"')
    world.answered(job, "value", b'{"b":0.10,"a":[1]}')
    world.answered(job, "number", b"7")
    world.failed(job, "failed", partial="half")
    world.item(job, "open", ItemState.PENDING)

    assert _write(world, job) == {
        "number.md": b"7\n",
        "text.md": 'First\r\nsecond, 日本語 "quoted"'.encode(),
        "value.md": b'{"b":0.10,"a":[1]}\n',
    }


def test_the_index_says_which_file_is_whose(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "b/1", "two")
    world.answered(job, "a", "one")

    folder = _folder(world, job)
    lines = [json.loads(line) for line in (folder / "files.jsonl").read_text().splitlines()]

    assert [line["id"] for line in lines] == ["b/1", "a"]
    assert [(folder / line["file"]).read_text() for line in lines] == ["two", "one"]
    assert list(lines[0]) == ["id", "file", "bytes", "sha256"]


@pytest.mark.parametrize(
    "hostile",
    [
        "../../escaped",
        "/etc/passwd",
        "..",
        ".",
        "x" * 300,
        "CON",
        "NUL",
        "COM1.txt",
        "trailing.",
        "trailing ",
        "-rf",
        "a\\b",
        "e\u0301",
        "é",
    ],
)
@pytest.mark.fault(51)
def test_no_id_gets_its_file_out_of_the_folder(world: World, hostile: str) -> None:
    job = world.job(output=OutputSettings(files="{{ id }}"))
    world.answered(job, hostile, "answer")
    before = {path for path in world.folder.rglob("*") if "outputs" not in path.parts}

    files = _write(world, job)

    assert list(files.values()) == [b"answer"]
    after = {path for path in world.folder.rglob("*") if "outputs" not in path.parts}
    assert after == before


@pytest.mark.fault(51)
def test_ids_that_differ_only_in_case_or_form_each_get_their_file(world: World) -> None:
    job = world.job(output=BY_ID)
    ids = ["Café", "cafe\u0301", "café", "cafe", "CAFE", "Cafe"]
    for item_id in ids:
        world.answered(job, item_id, item_id)

    files = _write(world, job)

    assert sorted(content.decode() for content in files.values()) == sorted(ids)
    assert len({name.lower() for name in files}) == len(ids)


def test_a_template_that_gives_many_items_one_name_loses_none_of_them(world: World) -> None:
    job = world.job(output=OutputSettings(files="{{ lang }}.txt"))
    items = [world.answered(job, f"i{n}", f"answer {n}") for n in range(5)]
    world.fields(job, [(item, {"lang": "ja" if n < 4 else "en"}) for n, item in enumerate(items)])

    files = _write(world, job)

    assert sorted(files.values()) == [b"answer %d" % n for n in range(5)]
    assert files["en.txt"] == b"answer 4"
    assert all(name.endswith(".txt") for name in files)


def test_names_do_not_depend_on_which_of_the_twins_has_an_answer(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a", "small")
    world.failed(job, "A")
    alone = _write(world, job)
    world.answered(job, "B", "big")

    assert alone.items() <= _write(world, job).items()


def test_a_name_may_use_fields_of_the_item_and_its_id(world: World) -> None:
    job = world.job(output=OutputSettings(files="{{ lang | upper }}-{{ id }}.txt"))
    item = world.answered(job, "7", "x")
    world.fields(job, [(item, {"lang": "ja", "id": "not this"})])

    assert list(_write(world, job)) == ["JA-7.txt"]


def test_an_item_that_the_name_template_does_not_fit_is_named_by_its_id(world: World) -> None:
    job = world.job(output=OutputSettings(files="{{ lang }}.txt"))
    world.answered(job, "kept", "x")

    assert _write(world, job) == {"kept": b"x"}


def test_files_of_items_that_are_gone_are_removed_and_foreign_files_stay(world: World) -> None:
    job = world.job(output=BY_ID)
    stays, goes, edited = (world.answered(job, key) for key in ("stays", "goes", "edited"))
    folder = _folder(world, job) / "files"
    (folder / "notes.md").write_text("mine")
    (folder / "edited.md").write_text("improved by hand")
    for item in (goes, edited):
        world.execute("update item_rows set vanished = 1 where id = ?", item)

    assert _write(world, job) == {
        "edited.md": b"improved by hand",
        "notes.md": b"mine",
        "stays.md": b"fine",
    }
    assert stays


@pytest.mark.fault(52)
def test_a_doctored_index_removes_nothing_outside_the_folder(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a")
    folder = _folder(world, job)
    victim = folder.parent / "victim"
    victim.write_bytes(b"precious")
    (folder / "files" / "link").symlink_to(victim)
    sha256 = hashlib.sha256(b"precious").hexdigest()
    (folder / "files" / "my notes").write_bytes(b"precious")
    doctored = ("files/../../victim", "../victim", "files/link", "files/my notes", "files/")
    with (folder / "files.jsonl").open("a") as index:
        for file in doctored:
            entry = {"id": "x", "file": file, "bytes": 8, "sha256": sha256}
            index.write(json.dumps(entry) + "\nnot json\n")

    write_outputs(world.ledger, job, now=AT)

    assert victim.read_bytes() == b"precious"
    assert (folder / "files" / "link").is_symlink()
    assert (folder / "files" / "my notes").exists()


def test_a_job_that_no_longer_asks_for_files_cleans_up_its_own(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a")
    folder = _folder(world, job)
    world.execute("update jobs set settings = json_set(settings, '$.output.files', null)")

    _folder(world, job)

    assert not (folder / "files.jsonl").exists()
    assert not (folder / "files").exists()


def test_only_files_whose_answer_changed_are_written_again(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "same", "same")
    other = world.answered(job, "other", "old")
    folder = _folder(world, job) / "files"
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    world.execute("update result_rows set output = '\"new\"' where item = ?", other)

    files = _write(world, job)

    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert files == {"same.md": b"same", "other.md": b"new"}
    assert before["same.md"] == after["same.md"]
    assert before["other.md"] != after["other.md"]


@pytest.mark.fault(52)
def test_links_planted_for_a_file_or_the_folder_are_replaced_never_followed(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a", "answer")
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir()
    victim = elsewhere / "victim"
    victim.write_text("precious")
    folder = world.folder / "outputs" / "reviews"
    folder.mkdir(parents=True)
    (folder / "files").symlink_to(elsewhere)

    assert _write(world, job) == {"a.md": b"answer"}
    assert list(elsewhere.iterdir()) == [victim]

    for plant in (lambda p: p.symlink_to(victim), lambda p: os.link(victim, p), os.mkfifo):
        (folder / "files" / "a.md").unlink()
        plant(folder / "files" / "a.md")
        assert _write(world, job) == {"a.md": b"answer"}
        assert victim.read_text() == "precious"


@pytest.mark.fault(52)
def test_a_second_name_of_the_right_file_is_replaced_since_it_could_change_it_later(
    world: World,
) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a", "answer")
    folder = _folder(world, job) / "files"
    (world.folder / "second-name").hardlink_to(folder / "a.md")

    _write(world, job)

    assert (folder / "a.md").stat().st_nlink == 1


@pytest.mark.fault(56)
def test_files_are_private_and_no_temp_file_stays(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a")
    folder = _folder(world, job) / "files"
    (folder / ".left-by-a-kill.part").write_text("half")

    files = _write(world, job)

    assert list(files) == ["a.md"]
    assert (folder / "a.md").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_while_files_are_written_names_the_file_and_leaves_no_temp(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a", "answer")
    folder = _folder(world, job)
    world.execute("update result_rows set output = '\"new\"'")
    fsync, is_full = os.fsync, iter([False, False, True])  # results and failures still fit

    def fill(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode) and next(is_full, True):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fill)
        with pytest.raises(LedgerError, match=r"files/a\.md: cannot be written: No space left"):
            write_outputs(world.ledger, job, now=AT)

    assert [path.name for path in (folder / "files").iterdir()] == ["a.md"]
    assert (folder / "files" / "a.md").read_bytes() == b"answer"
    assert not list(folder.glob(".*"))


def test_a_folder_that_holds_files_of_the_user_stays_when_ours_go(world: World) -> None:
    job = world.job(output=BY_ID)
    world.answered(job, "a")
    folder = _folder(world, job)
    (folder / "files" / "notes.md").write_text("mine")
    world.execute("update jobs set settings = json_set(settings, '$.output.files', null)")

    _folder(world, job)

    assert [path.name for path in (folder / "files").iterdir()] == ["notes.md"]
