"""What bad input gets: what, where and what to do, the exit code of the table, no traceback, and nothing left behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from clikit import Desk
from filelock import FileLock

ITEM = {"id": "q1", "text": "one"}
JOB = {"job": "faq", "model": "gpt-5-mini", "prompt": "{{ text }}", "max_output_tokens": 2000}
BIG = "x" * 16_000_000


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "faq.jsonl: the file is empty. A job file begins with a job line."),
        (['{"job": "faq", "mod'], "faq.jsonl:1: half a line"),
        ([{**JOB, "model": 7}, ITEM], "faq.jsonl:1: 'model' must be"),
        ([{**JOB, "promt": "x"}, ITEM], "faq.jsonl:1: unknown key 'promt'. Did you mean 'prompt'?"),
        ([JOB, ITEM, ITEM], "faq.jsonl:3: duplicate id 'q1' (first on line 2)."),
        ([{**JOB, "prompt": "{{ txet }}"}, ITEM], "faq.jsonl:2: the item has no field 'txet'."),
        ([{**JOB, "prompt": "{{ text"}, ITEM], "faq.jsonl:1: "),
        ([JOB, ITEM, {"id": "q2", "text": None}], "faq.jsonl:3: "),
        ([JOB, b'{"id": "q1", "text": "\xff"}\n'], "faq.jsonl:2: invalid UTF-8: byte 0xff"),
        ([JOB, '{"id": "q1", "text": NaN}'], "faq.jsonl:2: "),
        ([JOB, '{"id": "q1", "id": "q2"}'], "faq.jsonl:2: duplicate key 'id'"),
        ([JOB, {"id": "q1", "text": BIG}], "faq.jsonl:2: "),
        ([JOB], "faq.jsonl:1: job 'faq' has no items"),
        ([{**JOB, "items": "gone.csv"}], "gone.csv: there is no such file."),
        ([{**JOB, "items": {"job": "other"}}], "not in this version"),
        ([{**JOB, "body": {"stream": True}}, ITEM], "faq.jsonl:1: "),
        ([ITEM], "faq.jsonl:1: an item without a job."),
    ],
    ids=[
        "empty", "half-a-line", "wrong-type", "unknown-key", "duplicate-id", "undefined-name", "template-syntax", "null",
        "utf-8", "nan", "duplicate-key", "16-MB-line", "no-items", "missing-data", "not-in-this-version", "stream", "no-job",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_bad_job_file_is_told_with_its_line(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    lines: list[dict[str, object] | str | bytes],
    told: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")
    called = desk.call(command, desk.write("faq.jsonl", *lines))
    assert called.code == 5
    assert told in called.err
    assert called.out == ""
    assert len(called.err) < 2_000


def test_a_job_file_has_one_name_whoever_finds_what_is_wrong_with_it(desk: Desk) -> None:
    body = {"temperature": "0.5", "max_tokens": 5}  # the first is also a doubt about the model
    called = desk.call("check", desk.write("faq.jsonl", {**JOB, "body": body}, ITEM))
    assert len(called.err.splitlines()) == 3
    assert all(line.startswith("faq.jsonl:1: ") for line in called.err.splitlines())


@pytest.mark.parametrize("command", ["check", "submit", "run"])
def test_a_missing_job_file_starts_no_home(desk: Desk, command: str) -> None:
    called = desk.call(command, "jobs/gone.jsonl")
    assert (called.code, called.out) == (5, "")
    assert called.err.startswith("jobs/gone.jsonl: there is no such file.")
    assert "it is relative to the current folder" in called.err
    assert list(desk.folder.iterdir()) == []


def test_where_a_path_counts_from_is_said_for_each_file(desk: Desk) -> None:
    """Job files are named in the current folder, data files in the job file."""
    data = desk.write("jobs/data.jsonl", {**JOB, "items": "gone.csv"})
    called = desk.call("check", data, "jobs/gone.jsonl")
    of_data, of_job = called.err.splitlines()
    assert (
        "gone.csv: there is no such file. Check the path; it is relative to the job file."
        in of_data
    )
    assert of_job.startswith("jobs/gone.jsonl: there is no such file.")
    assert of_job.endswith("it is relative to the current folder.")


def test_all_problems_of_all_files_are_told_in_one_go(desk: Desk) -> None:
    first = desk.write("a.jsonl", {**JOB, "nonsense": 1, "model": 7}, ITEM)
    second = desk.write("b.jsonl", {**JOB, "job": "b"}, ITEM, ITEM, ITEM)
    called = desk.call("check", first, second, "gone.jsonl")
    assert called.code == 5
    assert [line.split(" ")[0] for line in called.err.splitlines()] == [
        "a.jsonl:1:",
        "a.jsonl:1:",
        "b.jsonl:3:",
        "b.jsonl:4:",
        "gone.jsonl:",
    ]


def test_an_error_in_one_job_does_not_stop_the_others(desk: Desk, service: object) -> None:
    path = desk.write(
        "two.jsonl", {**JOB, "job": "bad", "nonsense": 1}, ITEM, {**JOB, "job": "good"}, ITEM
    )
    called = desk.call("run", path)
    assert called.code == 5
    assert "two.jsonl:1: unknown key 'nonsense'" in called.err
    assert called.out.startswith("good (openai): done, its one item succeeded.")
    assert [line["id"] for line in desk.outputs("good")] == ["q1"]


def test_no_key_names_the_variable_and_the_way_without_one(desk: Desk) -> None:
    called = desk.call("run", desk.job())
    assert (called.code, called.out) == (6, "")
    assert called.err.startswith("batchrun: no API key: set OPENAI_API_KEY")
    assert "`--backend local` needs none" in called.err


@pytest.mark.fault(1)
def test_a_wrong_key_is_told_and_the_right_one_goes_on(
    desk: Desk, service: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = os.environ["OPENAI_API_KEY"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-canary")
    called = desk.call("run", desk.job())
    assert called.code == 6
    assert "batchrun: " in called.err
    assert "sk-wrong-canary" not in called.out + called.err
    assert called.err.count("Incorrect API key") <= 1
    monkeypatch.setenv("OPENAI_API_KEY", right)
    assert desk.call("run", "faq.jsonl").code == 0


@pytest.mark.fault(12)
def test_an_unreachable_server_is_told_and_nothing_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    called = desk.call("run", "--timeout", "1m", desk.job())
    assert called.code == 6
    assert "127.0.0.1:9" in called.err
    assert "Go on with: batchrun wait faq@openai" in called.err
    status = desk.call("status", "faq")
    assert status.code == 4
    assert "2" in status.out
    patient = desk.call("wait")
    assert patient.code == 6
    assert patient.err.count("all is kept; trying again from 2026-") == 1


def test_an_unknown_backend_names_the_nearest(desk: Desk) -> None:
    called = desk.call("run", "--backend", "lokal", desk.job())
    assert called.code == 2
    assert "there is no backend or profile 'lokal'. Did you mean 'local'?" in called.err
    assert not (desk.folder / ".batchrun").exists()


@pytest.mark.fault(33, 40)
def test_a_locked_home_is_told_after_the_wait(desk: Desk, service: object) -> None:
    assert desk.call("run", desk.job()).code == 0
    with FileLock(str(desk.folder / ".batchrun" / "lock")):
        for words in (("submit", "faq.jsonl"), ("wait",), ("results", "faq", "--format", "files")):
            called = desk.call(*words, "--lock-wait", "0")
            assert called.code == 75
            assert "another batchrun is at work in this home" in called.err
        assert desk.call("tick").code == 0
        assert desk.call("status", "faq").code == 0


@pytest.mark.fault(40)
def test_a_tick_that_meets_a_live_one_is_silent(desk: Desk, service: object) -> None:
    assert desk.call("submit", desk.job()).code == 0
    desk.clock.advance(60)
    with FileLock(str(desk.folder / ".batchrun" / "lock")):
        called = desk.call("tick")
    assert (called.code, called.out, called.err) == (0, "", "")


def read_only(folder: Path) -> None:
    """Nothing can be made in it, even by root: a file stands where the home would be."""
    (folder / ".batchrun").write_text("in the way")


@pytest.mark.fault(32)
def test_a_folder_that_takes_no_home_is_a_disk_error(desk: Desk) -> None:
    read_only(desk.folder)
    called = desk.call("run", "--backend", "local", desk.job())
    assert called.code == 7
    assert "the home cannot be created" in called.err
    assert "--home" in called.err


def test_a_home_in_a_folder_that_is_not_there_names_that_folder(desk: Desk) -> None:
    home = desk.folder / "nowhere" / ".batchrun"
    called = desk.call("run", "--home", str(home), "--backend", "local", desk.job())
    assert called.code == 7
    assert f"There is no folder {home.parent}: make it first." in called.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
@pytest.mark.fault(32)
def test_a_read_only_folder_is_a_disk_error(desk: Desk) -> None:
    path = desk.job()
    desk.folder.chmod(0o500)
    try:
        called = desk.call("run", "--backend", "local", path)
    finally:
        desk.folder.chmod(0o700)
    assert called.code == 7
    assert "Permission denied" in called.err


def damage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1_000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [damage, empty, remove])
@pytest.mark.parametrize(
    "words",
    [
        *(("status",), ("status", "--check"), ("tick",), ("wait",), ("results", "faq")),
        *(("failures",), ("explain", "faq", "q1"), ("retry", "faq"), ("cancel", "faq", "--yes")),
        *(("prune",), ("forget", "faq", "--yes"), ("resolve", "1", "--absent"), ("verify",)),
        *(("submit", "faq.jsonl"), ("run", "faq.jsonl")),
    ],
)
@pytest.mark.fault(34)
def test_a_ledger_that_is_damaged_or_gone_is_told_with_the_way_back(
    desk: Desk, service: object, spoil: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    assert desk.call("run", desk.job()).code == 0
    for name in ("batchrun.db-wal", "batchrun.db-shm"):
        (desk.folder / ".batchrun" / name).unlink(missing_ok=True)
    spoil(desk.folder / ".batchrun" / "batchrun.db")
    called = desk.call(*words)
    assert (called.code, called.out) == (7, "")
    assert ".batchrun/batchrun.db: " in called.err
    assert "`batchrun recover FILE...`" in called.err


def test_a_ledger_that_is_gone_is_found_from_below_and_no_other_home_is_started(
    desk: Desk, service: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.call("run", desk.job()).code == 0
    (desk.folder / ".batchrun" / "batchrun.db").unlink()
    below = desk.folder / "jobs"
    below.mkdir()
    (desk.folder / "faq.jsonl").rename(below / "faq.jsonl")
    monkeypatch.chdir(below)
    assert desk.call("submit", "faq.jsonl").code == 7
    assert [path.name for path in below.iterdir()] == ["faq.jsonl"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("chekc", "x"), "There is no command 'chekc'. Did you mean 'check'?"),
        (("run",), "Missing argument 'FILE...'."),
        (("run", "--lock-wait", "soon", "x"), "'soon' is no duration."),
        (("run", "--limit", "0", "x"), "'--limit'"),
        (("results", "faq", "--format", "xml"), "'xml' is not one of"),
        (("status",), "no batchrun home here: looked for .batchrun/ in "),
        (("tick",), "no batchrun home here"),
        (("wait", "faq"), "no batchrun home here"),
        (("failures",), "Start one with `batchrun submit FILE` or `batchrun run FILE`"),
        (("explain", "faq", "q1"), "no batchrun home here"),
        (("retry", "faq"), "no batchrun home here"),
        (("cancel", "faq"), "no batchrun home here"),
        (("results", "faq"), "no batchrun home here"),
        (("serve",), "no key: set BATCHRUN_SERVE_KEY"),
        (("serve", "--script", "a", "--model", "b"), "--model and --script contradict each other"),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_usage_errors_exit_with_2(
    desk: Desk, words: tuple[str, ...], told: str, is_json: bool
) -> None:
    called = desk.call(*words, *(["--json"] if is_json else []))
    assert (called.code, called.out) == (2, "")
    if is_json and "FILE" not in words:
        (error,) = called.errors
        assert (error["type"], error["code"]) == ("error", 2)
        assert told in error["message"]
    else:
        assert told in called.err
        assert called.err.startswith("batchrun: ")
    assert list(desk.folder.iterdir()) == []


def test_contradicting_options_are_told_before_anything_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")
    path = desk.job()
    assert "--reask and --new-only" in desk.call("submit", "--reask", "--new-only", path).err
    fresh = desk.call("submit", "--fresh", path)
    assert fresh.code == 2
    assert "Add --yes" in fresh.err


def test_a_bug_is_one_line_and_its_traceback_comes_with_v(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("batchrun.jobfile.job_line_schema", broken)
    called = desk.call("schema")
    assert called.code == 1
    assert called.err.startswith("batchrun: a bug in batchrun: KeyError: 'surprise'.")
    assert "with -v" in called.err
    assert "Traceback (most recent call last)" in desk.call("schema", "-v").err


def test_json_errors_of_job_files_hold_every_problem(desk: Desk) -> None:
    called = desk.call("check", "--json", desk.write("faq.jsonl", {**JOB, "promt": 1}, ITEM))
    (error,) = called.errors
    assert error["code"] == 5
    assert error["problems"] == [
        {
            "path": "faq.jsonl",
            "line": 1,
            "message": "unknown key 'promt'",
            "fix": "Did you mean 'prompt'?",
        }
    ]
    assert json.loads(called.out)["jobs"][0]["error"]["code"] == 5


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv", "data.md"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_data_that_is_a_pipe_is_refused_and_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")
    os.mkfifo(desk.folder / name)
    called = desk.call(command, desk.write("faq.jsonl", {**JOB, "items": name}))
    assert called.code == 5
    assert f"{name}: a pipe or a device, not a file." in called.err
    assert "--items -" in called.err


def test_data_that_is_a_device_is_refused(desk: Desk) -> None:
    called = desk.call("check", desk.write("faq.jsonl", {**JOB, "items": "/dev/zero"}))
    assert called.code == 5
    assert "/dev/zero: a pipe or a device, not a file." in called.err


@pytest.mark.parametrize("command", [("tick",), ("status",), ("results", "faq")])
@pytest.mark.parametrize("how", ["--home", "BATCHRUN_HOME"])
def test_a_home_that_was_named_and_is_not_there_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], how: str
) -> None:
    if how == "--home":
        called = desk.call(*command, "--home", "some/where")
    else:
        monkeypatch.setenv("BATCHRUN_HOME", "some/where")
        called = desk.call(*command)
    assert called.code == 2
    assert called.err.startswith("batchrun: some/where: there is no batchrun home")
    assert "looked for" not in called.err


def test_an_organization_that_no_header_can_carry_is_a_mistake_of_the_settings(desk: Desk) -> None:
    desk.write("batchrun.toml", '[profile.openai]\nproject = "proj_é"\n')
    called = desk.call("run", desk.write("faq.jsonl", JOB, ITEM))
    assert called.code == 2
    assert "[profile.openai] has project = 'proj_é', which cannot be sent" in called.err


def test_a_service_without_its_model_points_to_scripts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHRUN_SERVE_KEY", "any")
    called = desk.call("serve", "--model", "none.gguf")
    assert called.code == 6
    assert "A service needs no model that answers from --script FILE." in called.err
