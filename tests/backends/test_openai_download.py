"""Downloads: whole or not at all, private, synced, and never a partial file left behind."""

import errno
import gzip
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import misbehaving
import pytest
from misbehaving import Server, answer, chunked, cut, hang_up, page, refusal

from batchrun.backends.openai import OpenAIBackend
from batchrun.backends.openai_content import write_content
from batchrun.errors import LedgerError, NotFound, Transient

LINES = b'{"custom_id": "1"}\n{"custom_id": "2"}\n'


def says(size: object) -> misbehaving.Step:
    return answer(misbehaving.file(bytes=size))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "result.part"


def test_a_download_is_written_to_a_private_new_file(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(len(LINES)), answer(LINES))
    assert backend.download("file-1", path) == len(LINES)
    assert path.read_bytes() == LINES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [seen.path for seen in server.seen] == ["/v1/files/file-1", "/v1/files/file-1/content"]


def test_bytes_arrive_unchanged_whatever_they_are(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    content = bytes(range(256)) * 1000 + "\u2028\u0085\r\n".encode()
    server.then(says(len(content)), chunked(content[:70_000], content[70_000:]))
    backend.download("file-1", path)
    assert path.read_bytes() == content


def test_a_file_that_is_announced_empty_may_be_empty(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(0), answer(b""))
    assert backend.download("file-1", path) == 0
    assert path.read_bytes() == b""


@pytest.mark.fault(15)
def test_a_body_shorter_than_the_service_says_is_transient_though_http_finds_it_complete(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(len(LINES)), answer(LINES[:19]))
    with pytest.raises(Transient, match="sent 19 bytes of file 'file-1', but 38 were announced"):
        backend.download("file-1", path)
    assert not path.exists()


def test_an_empty_body_of_a_file_that_is_not_empty_is_transient(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(len(LINES)), answer(b""))
    with pytest.raises(Transient):
        backend.download("file-1", path)
    assert not path.exists()


@pytest.mark.parametrize(
    "broken",
    [
        cut(LINES[:10], announced=len(LINES)),
        chunked(LINES[:10], ended=False),
        hang_up,
        misbehaving.reset,
        page(502),
        page(200),
        page(404),
        refusal(429),
        answer(b"not gzip", content_encoding="gzip"),
    ],
    ids=["cut", "chunks", "hang_up", "reset", "502", "html", "404_page", "429", "gzip"],
)
@pytest.mark.fault(14)
def test_a_broken_download_is_transient_and_leaves_nothing(
    backend: OpenAIBackend, server: Server, path: Path, broken: misbehaving.Step
) -> None:
    server.then(says(len(LINES)), broken)
    with pytest.raises(Transient):
        backend.download("file-1", path)
    assert not path.exists()


def test_a_file_that_is_gone_is_not_found(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(refusal(404))
    with pytest.raises(NotFound):
        backend.download("file-1", path)
    server.then(says(3), refusal(404))
    with pytest.raises(NotFound):
        backend.download("file-1", path)
    assert not path.exists()


def test_without_a_count_a_final_newline_is_proof_enough(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(None), answer(LINES))
    assert backend.download("file-1", path) == len(LINES)


def test_without_a_count_and_a_final_newline_two_equal_looks_are_proof_enough(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(None), answer(LINES[:-1]), answer(LINES[:-1]))
    assert backend.download("file-1", path) == len(LINES) - 1
    assert path.read_bytes() == LINES[:-1]


@pytest.mark.fault(16)
def test_without_a_count_and_a_final_newline_two_different_looks_are_transient(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(None), answer(LINES[:-1]), answer(LINES[:-5]))
    with pytest.raises(Transient, match="the last line is cut"):
        backend.download("file-1", path)
    assert not path.exists()


def test_more_than_the_service_says_is_accepted_if_it_comes_twice(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(20), answer(LINES), answer(LINES))
    assert backend.download("file-1", path) == len(LINES)
    assert path.read_bytes() == LINES


@pytest.mark.fault(16)
def test_more_than_the_service_says_is_transient_if_it_differs(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(20), answer(LINES), answer(LINES[::-1]))
    with pytest.raises(Transient, match="20 were announced"):
        backend.download("file-1", path)
    assert not path.exists()


def test_a_count_that_fits_is_proof_enough_without_a_final_newline(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(len(LINES) - 1), answer(LINES[:-1]))
    assert backend.download("file-1", path) == len(LINES) - 1


@pytest.mark.fault(18)
def test_a_server_that_compresses_all_the_same_is_read(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    server.then(says(len(LINES)), answer(gzip.compress(LINES), content_encoding="gzip"))
    assert backend.download("file-1", path) == len(LINES)
    assert path.read_bytes() == LINES


@pytest.mark.fault(18)
def test_a_bomb_does_not_fill_the_disk(backend: OpenAIBackend, server: Server, path: Path) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server.then(says(1000), answer(bomb, content_encoding="gzip"))
    with pytest.raises(Transient, match="grows beyond"):
        backend.download("file-1", path)
    assert not path.exists()


@pytest.mark.fault(17)
def test_a_download_that_drips_is_cut_off(
    server: Server, crawling: OpenAIBackend, path: Path
) -> None:
    server.then(says(100), chunked(*[b"x"] * 100))
    with pytest.raises(Transient, match=r"bytes in \d+ s"):
        crawling.download("file-1", path)
    assert not path.exists()


def test_what_a_dead_process_left_is_replaced(
    backend: OpenAIBackend, server: Server, path: Path
) -> None:
    path.write_bytes(b"half a li")
    path.chmod(0o644)
    server.then(says(len(LINES)), answer(LINES))
    backend.download("file-1", path)
    assert path.read_bytes() == LINES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.fault(52)
def test_a_planted_link_is_replaced_and_not_followed(
    backend: OpenAIBackend, server: Server, path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    server.then(says(len(LINES)), answer(LINES))
    backend.download("file-1", path)
    assert not path.is_symlink()
    assert path.read_bytes() == LINES
    assert target.read_bytes() == b"precious"


def test_a_missing_folder_is_an_error_of_the_disk(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    server.then(says(len(LINES)), answer(LINES))
    with pytest.raises(LedgerError, match="No such file"):
        backend.download("file-1", tmp_path / "gone" / "x")


@pytest.mark.fault(30)
def test_a_full_disk_is_an_error_of_the_disk_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match="No space left on device"):
        write_content([LINES], path)
    assert not path.exists()


def test_an_interrupt_leaves_nothing(path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield LINES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_content(chunks(), path)
    assert not path.exists()
