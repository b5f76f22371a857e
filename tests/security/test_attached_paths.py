"""Names of attachments come from data, and data from strangers: nothing but what the job may read leaves this machine."""

import os
from pathlib import Path

import pytest

from batchrun.attachments.confined import Places
from batchrun.jobfile import Fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder with a file in it, beside a secret."""
    folder = tmp_path / "jobs"
    (folder / "scans").mkdir(parents=True)
    (folder / "scans" / "a.png").write_bytes(b"fine")
    (folder / ".env").write_text("KEY=secret")
    (folder / ".batchrun").mkdir()
    (folder / ".batchrun" / "batchrun.db").write_text("secret")
    (folder / "empty.png").touch()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "jobs-of-others").mkdir()
    (tmp_path / "jobs-of-others" / "secret.txt").write_text("secret")
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("scans/a.png")
    (folder / "out.png").symlink_to(tmp_path / "secret.txt")
    (folder / "folder-out").symlink_to(tmp_path)
    (folder / "hidden.png").symlink_to(".env")
    (folder / "loop.png").symlink_to("loop.png")
    return folder


def content(places: Places, name: str) -> bytes:
    opened = places.open(name)
    try:
        return os.read(opened.descriptor, 100)
    finally:
        os.close(opened.descriptor)


@pytest.mark.parametrize(
    "name",
    ["scans/a.png", "./scans/../scans/a.png", "link.png", "folder-out/jobs/scans/a.png"],
)
def test_whatever_ends_in_the_jobs_folder_is_read(folder: Path, name: str) -> None:
    assert content(Places(folder), name) == b"fine"
    assert content(Places(folder), str(folder / name)) == b"fine"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../secret.txt", "leads out"),
        ("scans/../../secret.txt", "leads out"),
        ("../jobs-of-others/secret.txt", "leads out"),
        ("out.png", "leads out"),
        ("folder-out/secret.txt", "leads out"),
        ("/etc/passwd", "leads out"),
        ("/dev/zero", "leads out"),
        ("/proc/self/environ", "leads out"),
        (".env", "is hidden"),
        ("hidden.png", "is hidden"),
        (".batchrun/batchrun.db", "is hidden"),
        ("scans", "is a folder"),
        (".", "is a folder"),
        ("pipe.png", "is no regular file"),
        ("empty.png", "is empty"),
        ("none.png", "there is no such file"),
        ("scans/a.png/b", "cannot be read: Not a directory"),
        ("loop.png", "cannot be read: Too many levels"),
        ("a\x00b", "is no file name"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_everything_else_is_refused_at_once(folder: Path, name: str, told: str) -> None:
    with pytest.raises(Fault, match=told):
        Places(folder).open(name)


def test_folders_that_the_settings_name_are_open_too(folder: Path, tmp_path: Path) -> None:
    others = tmp_path / "jobs-of-others"
    places = Places(folder, [others])
    assert content(places, "../jobs-of-others/secret.txt") == b"secret"
    assert content(places, str(others / "secret.txt")) == b"secret"
    with pytest.raises(Fault, match="leads out"):
        places.open("../secret.txt")


def test_a_device_is_refused_even_where_its_folder_is_open(folder: Path) -> None:
    with pytest.raises(Fault, match="is no regular file"):
        Places(folder, [Path("/dev")]).open("/dev/null")


def test_a_folder_that_became_a_link_after_it_was_judged_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = str(folder / "scans" / "a.png")
    places = Places(folder)
    monkeypatch.setattr("os.path.realpath", lambda _: judged)
    (folder / "scans").rename(folder / "gone")
    (folder / "scans").symlink_to(folder / "gone")
    with pytest.raises(Fault, match="cannot be read"):
        places.open("scans/a.png")
