"""The doctor's look at the home and the machine, each thing wrong in turn."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clikit import Desk
from doctorkit import checks, levels, submit
from misbehaving import Server

from batchrun.doctoring.diagnosis import Level
from batchrun.doctoring.locks import holders
from batchrun.doctoring.machine import proxies, sqlite_version
from batchrun.doctoring.mounts import file_system_of, is_network
from batchrun.doctoring.places import file_system, locks_work, space, writable
from batchrun.ledger.home import Home
from batchrun.ledger.lock import pass_lock

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /net rw,relatime - nfs4 server:/export rw
31 22 0:41 / /net/my\\040files rw,relatime shared:2 master:3 - fuse.sshfs me@there: rw
32 22 0:42 / /var rw - xfs /dev/sdb rw
33 22 0:43 / /var rw - cifs //there/share rw
"""


@pytest.fixture
def submitted(desk: Desk, server: Server) -> Desk:
    """A home with one batch in flight."""
    submit(desk, server)
    return desk


def test_before_there_is_a_home_the_folder_is_looked_at(desk: Desk, server: Server) -> None:
    found = checks(desk, "--offline")
    assert found["home"]["level"] == "warn"
    assert found["home"]["what"] == f"there is none yet; one would be made in {desk.folder}"
    assert levels(found)["writable"] == "ok"
    assert list(desk.folder.iterdir()) == []


def test_a_home_that_was_named_and_is_none_ends_with_2(desk: Desk) -> None:
    assert desk.call("doctor", "--home", "nowhere").code == 2


def test_a_home_in_order_has_nothing_to_mend(submitted: Desk) -> None:
    found = checks(submitted, "--offline")
    home = {name: check["level"] for name, check in found.items() if check["area"] != "service"}
    assert home.pop("file-system") in {"ok", "unknown", "warn"}  # of the machine that runs the test
    assert home.pop("disk-space") in {"ok", "warn"}
    assert set(home.values()) == {"ok"}
    assert all(check["fix"] is None for check in found.values() if check["level"] == "ok")


def test_it_leaves_nothing_behind(submitted: Desk) -> None:
    before = sorted(submitted.folder.rglob("*"))
    checks(submitted, "--offline")
    after = sorted(submitted.folder.rglob("*"))
    assert [path for path in after if not path.name.endswith(("-shm", "-wal"))] == [
        path for path in before if not path.name.endswith(("-shm", "-wal"))
    ]


@pytest.mark.fault(56)
def test_a_home_that_others_can_read_is_told(submitted: Desk) -> None:
    home = submitted.folder / ".batchrun"
    home.chmod(0o755)
    found = checks(submitted, "--offline")["private"]
    assert (found["level"], found["fix"]) == ("warn", f"chmod -R go= {home}")


@pytest.mark.fault(40)
def test_who_is_at_work_in_the_home_is_told(submitted: Desk) -> None:
    home = Home(submitted.folder / ".batchrun")
    with pass_lock(home, wait_s=0):
        found = checks(submitted, "--offline")["lock"]
    assert found["level"] == "warn"
    assert f"process {os.getpid()} (" in found["what"] or "another process" in found["what"]
    assert checks(submitted, "--offline")["lock"]["level"] == "ok"


def test_the_holder_of_a_lock_is_found_by_the_files_inode() -> None:
    locks = (
        "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 08:01:77 0 EOF\n"
        "2: -> FLOCK  ADVISORY  WRITE 13 08:01:77 0 EOF\n3: FLOCK  ADVISORY  WRITE 14 08:01:177 0 EOF\n"
    )
    assert list(holders(77, locks)) == [12]


def test_a_ledger_that_cannot_be_read_ends_with_7(submitted: Desk) -> None:
    (submitted.folder / ".batchrun" / "batchrun.db").write_bytes(b"x" * 8192)
    found = checks(submitted, "--offline", code=7)
    assert found["ledger"]["level"] == "fail"
    assert (
        "restore a backup or rebuild it with `batchrun recover FILE...`" in found["ledger"]["what"]
    )


def test_a_ledger_that_is_gone_is_told_with_the_way_back(submitted: Desk) -> None:
    (submitted.folder / ".batchrun" / "batchrun.db").unlink()
    found = checks(submitted, "--offline", code=7)
    assert found["home"]["level"] == "ok"
    assert found["ledger"]["level"] == "fail"
    assert "rebuild it from the service with `batchrun recover FILE...`" in found["ledger"]["what"]


def test_a_failing_home_is_more_urgent_than_a_failing_service(
    submitted: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (submitted.folder / ".batchrun" / "batchrun.db").write_bytes(b"x" * 8192)
    monkeypatch.delenv("OPENAI_API_KEY")
    found = checks(submitted, "--offline", code=7)
    assert levels(found)["key"] == "fail"


def test_a_copied_home_is_told(submitted: Desk) -> None:
    home = submitted.folder / ".batchrun"
    subprocess.run(["cp", "-r", str(home), str(submitted.folder / "copy")], check=True)
    found = checks(submitted, "--offline", "--home", "copy", code=7)["original"]
    assert found["level"] == "fail"
    assert "batchrun recover --take-over" in found["fix"]


def test_a_home_that_nobody_ticks_is_told(submitted: Desk) -> None:
    submitted.clock.advance(3_000)
    assert checks(submitted, "--offline")["last-pass"]["level"] == "ok"
    submitted.clock.advance(4_000)
    found = checks(submitted, "--offline")["last-pass"]
    assert found["level"] == "warn"
    assert "cron" in found["fix"]


def test_batches_that_were_forgotten_for_twenty_days_are_told(submitted: Desk) -> None:
    submitted.clock.advance(20 * 86_400)
    assert checks(submitted, "--offline")["in-flight"]["level"] == "ok"
    submitted.clock.advance(86_400)
    found = checks(submitted, "--offline")["in-flight"]
    assert found["level"] == "warn"
    assert found["what"].startswith("1 batches in flight, the oldest for 21 days")


def test_a_folder_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = writable(tmp_path / "file" / "home")
    assert (found.level, found.exit_code) == (Level.FAIL, 7)


@pytest.mark.fault(31)
def test_a_disk_that_does_not_sync_is_told_and_nothing_stays(tmp_path: Path) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    found = writable(tmp_path, fsync=failing)
    assert found.level is Level.FAIL
    assert "Input/output error" in found.what
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_keeps_nobody_out_is_told(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text(
        "#!/bin/sh\nexit 0\n"
    )  # as a process on a file system without locks: it gets one
    other.chmod(0o755)
    found = locks_work(tmp_path, python=str(other))
    assert found.level is Level.FAIL
    assert "a second process got a lock that this one held" in found.what


def test_a_lock_that_is_never_free_is_told(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexit 3\n")
    other.chmod(0o755)
    assert "did not get a lock that nobody held" in locks_work(tmp_path, python=str(other)).what


def test_a_second_process_that_dies_says_nothing_about_locks(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nkill -9 $$\n")
    other.chmod(0o755)
    assert locks_work(tmp_path, python=str(other)).level is Level.UNKNOWN
    assert list(tmp_path.iterdir()) == [other]


def test_what_a_doctor_left_that_died_is_swept_by_the_next_one(tmp_path: Path) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    of_dead, of_other = (tmp_path / f".doctor.{n}.part" for n in (died.pid, os.getppid()))
    of_reborn = tmp_path / f".doctor.{os.getpid()}.part"
    for left in (of_dead, of_other, of_reborn):
        left.touch()
    assert writable(tmp_path).level is Level.OK
    assert list(tmp_path.iterdir()) == [of_other]


def test_locks_work_on_the_disk_of_these_tests(tmp_path: Path) -> None:
    assert locks_work(tmp_path, python=sys.executable).level is Level.OK
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", "ext4"),
        ("/net/home", "nfs4"),
        ("/network", "ext4"),
        ("/net/my files/.batchrun", "fuse.sshfs"),
        ("/var/lib", "cifs"),  # the later mount hides the earlier one
    ],
)
def test_the_file_system_of_a_folder_is_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system_of(path, MOUNTS) == kind


def test_no_mounts_say_nothing() -> None:
    assert file_system_of("/", "") is None


@pytest.mark.parametrize(
    ("kind", "answer_is"),
    [("nfs", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("overlay", False)],
)
def test_file_systems_of_other_machines_are_known(kind: str, answer_is: bool) -> None:
    assert is_network(kind) is answer_is


def test_a_network_file_system_is_warned_of(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("30 22 0:40 / / rw,relatime - nfs4 server:/export rw\n")
    assert file_system(tmp_path, mounts=mounts).level is Level.WARN
    assert file_system(tmp_path, mounts=tmp_path / "none").level is Level.UNKNOWN


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("free", "level"),
    [(10**9, Level.OK), (10**9 - 1, Level.WARN), (10**8, Level.WARN), (10**8 - 1, Level.FAIL)],
)
def test_a_disk_that_fills_up_is_told(free: int, level: Level) -> None:
    assert space(free, Path("/home")).level is level


def test_an_old_sqlite_is_told() -> None:
    assert sqlite_version((3, 37, 2)).level is Level.FAIL
    assert sqlite_version((3, 38, 0)).level is Level.OK


@pytest.mark.fault(55)
def test_proxies_are_told_without_their_passwords() -> None:
    found = proxies(
        {"HTTPS_PROXY": "http://me:secret@proxy.example:3128", "http_proxy": "plain:80"}
    )
    assert found.what == "HTTPS_PROXY is proxy.example:3128, HTTP_PROXY is plain:80"
    assert proxies({}).what == "none in the environment"


def test_a_proxy_that_is_no_address_is_told() -> None:
    found = proxies({"HTTPS_PROXY": "://"})
    assert (found.level, found.fix) == (Level.WARN, "unset HTTPS_PROXY")
