"""Files: their limits, their expiry, their order, and who may read them on the disk."""

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from servicekit import DAY_S, HOUR_S, Desk, OpenDesk, jsonl, request

from batchrun.errors import LedgerError
from batchrun.service.options import Options
from batchrun.service.refusals import ServiceError
from batchrun.service.store import Store


def modes(folder: Path) -> Iterator[tuple[str, int]]:
    for path in (folder, *folder.rglob("*")):
        yield path.name, stat.S_IMODE(path.stat().st_mode)


def test_everything_on_the_disk_is_private(desk: Desk) -> None:
    previous = os.umask(0)
    try:
        desk.create(request("a"))
        desk.work()
    finally:
        os.umask(previous)
    for name, mode in modes(desk.data):
        assert mode & 0o077 == 0, name


def test_a_file_shows_what_was_uploaded(desk: Desk) -> None:
    file = desk.service.get_file(desk.upload(b"{}\n"))
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": 3,
        "created_at": desk.clock.now(),
        "expires_at": desk.clock.now() + 30 * DAY_S,
        "filename": "input.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }


def test_a_file_beyond_the_limit_is_refused_and_not_kept(open_desk: OpenDesk) -> None:
    desk = open_desk(options=Options(upload_bytes=3))
    desk.upload(b"123")
    with pytest.raises(ServiceError) as refused:
        desk.upload(b"1234")
    assert refused.value.status == 413
    assert len(desk.service.list_files()["data"]) == 1
    assert list((desk.data / "incoming").iterdir()) == []


def test_an_expired_file_is_gone_and_its_bytes_follow(desk: Desk) -> None:
    policy = {"anchor": "created_at", "seconds": HOUR_S}
    file_id = desk.upload(b"{}\n", expires_after=policy)
    desk.clock.advance(HOUR_S)
    for call in (desk.service.get_file, desk.service.open_content, desk.service.delete_file):
        with pytest.raises(ServiceError) as refused:
            call(file_id)
        assert refused.value.status == 404
    assert desk.service.list_files()["data"] == []
    assert (desk.data / "files" / file_id).exists()
    desk.work()
    assert not (desk.data / "files" / file_id).exists()


def test_result_files_live_as_long_as_the_batch_asked(desk: Desk) -> None:
    batch_id = desk.create(
        request("a"), output_expires_after={"anchor": "created_at", "seconds": HOUR_S}
    )
    other_id = desk.create(request("a"))
    # The anchor is the creation of the file, not of the batch.
    desk.clock.advance(10)
    desk.work()
    asked, default = (
        desk.service.get_file(desk.batch(one)["output_file_id"]) for one in (batch_id, other_id)
    )
    assert asked["expires_at"] == desk.clock.now() + HOUR_S
    assert default["expires_at"] == desk.clock.now() + 30 * DAY_S
    assert (asked["purpose"], asked["filename"]) == ("batch_output", f"{batch_id}_output.jsonl")
    desk.clock.advance(HOUR_S)
    desk.work()
    with pytest.raises(ServiceError):
        desk.service.open_content(asked["id"])
    assert desk.batch(batch_id)["output_file_id"] == asked["id"]


def test_deleting_frees_the_bytes_at_once_unless_a_batch_reads_them(open_desk: OpenDesk) -> None:
    desk = open_desk(options=Options(line_s=HOUR_S))
    unused = desk.upload(b"{}\n")
    batch_id = desk.create(request("a"))
    desk.work()
    used = desk.batch(batch_id)["input_file_id"]
    for file_id in (unused, used):
        assert desk.service.delete_file(file_id)["deleted"] is True
    assert not (desk.data / "files" / unused).exists()
    assert (desk.data / "files" / used).exists()
    desk.clock.advance(HOUR_S)
    desk.work()
    desk.work()
    assert not (desk.data / "files" / used).exists()


def test_files_are_listed_by_time_purpose_and_page(desk: Desk) -> None:
    made = [desk.upload(b"{}\n") for _ in range(3)]
    other = desk.upload(b"x", purpose="user_data")

    def listed(**query: object) -> list[str]:
        page = desk.service.list_files(**query)  # type: ignore[arg-type]  # each test line is one query
        return [file["id"] for file in page["data"]]

    assert listed() == [other, *made[::-1]]
    assert listed(order="asc", purpose="batch") == made
    assert listed(purpose="batch", limit=2) == made[:0:-1]
    assert listed(purpose="batch", after=made[1]) == [made[0]]
    assert listed(order="asc", after=made[1]) == [made[2], other]
    page = desk.service.list_files(limit=2)
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, other, made[2])
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"order": "up"}, {"after": "file-of-nobody"}):
        with pytest.raises(ServiceError):
            listed(**wrong)


def test_batches_are_listed_newest_first_and_page_by_page(desk: Desk) -> None:
    assert desk.service.list_batches() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    made = [desk.create(request("a")) for _ in range(21)]
    page = desk.service.list_batches()
    assert [batch["id"] for batch in page["data"]] == made[:0:-1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[20], made[1], True)
    rest = desk.service.list_batches(after=page["last_id"])
    assert [batch["id"] for batch in rest["data"]] == made[:1]
    assert rest["has_more"] is False
    for wrong in (0, 101):
        with pytest.raises(ServiceError):
            desk.service.list_batches(limit=wrong)
    with pytest.raises(ServiceError):
        desk.service.list_batches(after="batch_of_nobody")


def test_what_dead_processes_left_is_removed_after_a_day_and_not_before(desk: Desk) -> None:
    kept = desk.upload(jsonl(request("a")))
    fresh, old = desk.data / "incoming" / "file-fresh", desk.data / "incoming" / "file-old"
    orphan = desk.data / "files" / "file-orphan"
    for path in (fresh, old, orphan):
        path.write_bytes(b"half")
    for path in (old, orphan, desk.data / "files" / kept):
        os.utime(path, (0, 0))
    desk.reopen()
    assert fresh.exists()
    assert not old.exists()
    assert not orphan.exists()
    with desk.service.open_content(kept) as source:
        assert source.read() == jsonl(request("a"))


def test_a_stream_that_breaks_leaves_nothing(desk: Desk) -> None:
    class Broken(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            raise ConnectionResetError("the client went away")

    with pytest.raises(LedgerError):
        desk.service.create_file(Broken(), filename="a.jsonl", purpose="batch")  # type: ignore[arg-type]  # reads like one
    assert list((desk.data / "incoming").iterdir()) == []
    assert desk.service.list_files()["data"] == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "service").write_text("a file is in the way")
    with pytest.raises(LedgerError, match="service"):
        Store(tmp_path / "service")


def test_a_database_of_another_version_is_not_touched(desk: Desk) -> None:
    with desk.service._store.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    desk.service.close()
    with pytest.raises(LedgerError, match="another version"):
        desk.open()
    with pytest.raises(LedgerError, match="another version"):
        desk.open()
