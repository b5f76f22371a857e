"""The samples and the jobs that read them: whole, honest, and only using what exists."""

import csv
import json
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from batchrun.jobfile import Problems, load, read_items
from batchrun.model import JsonObject, SqliteQuery

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
JOBS = ROOT / "jobs"
COMMANDS = frozenset(
    {"check", "run", "submit", "tick", "wait", "status", "results", "failures"}
    | {"explain", "retry", "cancel", "serve", "new", "schema"}
)
GOLD = {"positive", "neutral", "negative"}
JAPANESE = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
GUARD = 'test ! -e "$HOME/batchrun/.batchrun/batchrun.db"'
CRON_FIELD = re.compile(r"(\*|\d+(-\d+)?)(/\d+)?(,(\d+(-\d+)?))*")


def _reviews() -> list[dict[str, str]]:
    with (SAMPLES / "reviews.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _lines(path: Path) -> list[JsonObject]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_reviews_have_an_id_a_product_a_text_and_a_gold_label() -> None:
    rows = _reviews()
    assert len(rows) >= 30
    assert {tuple(row) for row in rows} == {("id", "product", "text", "gold")}
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(value.strip() for row in rows for value in row.values())


def test_the_gold_labels_are_balanced() -> None:
    gold = Counter(row["gold"] for row in _reviews())
    assert set(gold) == GOLD
    assert max(gold.values()) - min(gold.values()) <= 3


def test_several_reviews_are_japanese_and_of_every_label() -> None:
    japanese = [row for row in _reviews() if JAPANESE.search(row["text"])]
    assert len(japanese) >= 5
    assert {row["gold"] for row in japanese} == GOLD


def test_the_reviews_hold_what_is_hard_in_csv() -> None:
    texts = [row["text"] for row in _reviews()]
    for hard in ('"', ",", "\n"):
        assert any(hard in text for text in texts), repr(hard)


def test_the_articles_are_of_one_to_two_hundred_words() -> None:
    articles = _lines(SAMPLES / "articles.jsonl")
    assert len(articles) >= 8
    assert len({article["id"] for article in articles}) == len(articles)
    for article in articles:
        assert set(article) == {"id", "title", "text"}
        assert 100 <= len(article["text"].split()) <= 200, article["id"]


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("reviews", {"reviews": 36}),
        ("digest", {"digest": 8}),
        ("nightly", {"nightly-reviews": 36, "nightly-digest": 8}),
        ("raw", {"raw": 5}),
        ("letters", {"letters": 3}),
        ("orders", {"orders": 3}),
    ],
)
def test_each_job_file_is_read_without_an_error_or_a_warning(
    name: str, jobs: dict[str, int]
) -> None:
    file = load(JOBS / f"{name}.jsonl")
    assert file.problems == ()
    assert [entry.problems + entry.warnings for entry in file.jobs] == [()] * len(jobs)
    found: dict[str, int] = {}
    for entry in file.jobs:
        assert entry.settings is not None
        problems = Problems()
        blocks = list(read_items(entry.settings, problems))
        assert list(problems) == []
        found[entry.settings.name] = sum(len(block.fields) for block in blocks)
    assert found == jobs


def test_the_job_that_reads_a_table_writes_a_column_of_it(tmp_path: Path) -> None:
    """tests/cli/test_databases_both_ways.py runs it, over the database that samples/shop.py makes."""
    (entry,) = load(JOBS / "shop.jsonl").jobs
    assert entry.problems + entry.warnings == ()
    assert entry.settings is not None
    assert isinstance(entry.settings.items, SqliteQuery)
    target = entry.settings.output.sqlite
    assert target is not None
    assert target.path == entry.settings.items.sqlite == str(SAMPLES / "shop.db")


def test_no_two_job_files_define_the_same_job() -> None:
    """A job belongs to the file that first submitted it: the second file would be refused."""
    names = [entry.name for path in JOBS.glob("*.jsonl") for entry in load(path).jobs]
    assert len(set(names)) == len(names)


def test_the_raw_file_is_a_batch_file_as_it_stands() -> None:
    requests = _lines(JOBS / "raw.jsonl")
    assert len(requests) >= 4
    assert len({request["custom_id"] for request in requests}) == len(requests)
    assert {request["body"]["model"] for request in requests} == {"gpt-5-mini"}
    for request in requests:
        assert set(request) == {"custom_id", "method", "url", "body"}
        assert (request["method"], request["url"]) == ("POST", "/v1/responses")


def _cron_lines() -> list[str]:
    lines = (SAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    is_setting = re.compile(r"[A-Z_]+=").match
    return [line for line in lines if line and not line.startswith("#") and not is_setting(line)]


def _command(words: list[str], program: str) -> list[str]:
    """The words after the program, which must be batchrun."""
    assert words[0] == program
    assert words[1] in COMMANDS
    return words[1:]


def test_the_crontab_submits_at_night_and_ticks_every_ten_minutes() -> None:
    found = {}
    for line in _cron_lines():
        *fields, command = line.split(maxsplit=5)
        assert len(fields) == 5
        assert all(CRON_FIELD.fullmatch(field) for field in fields), line
        assert "%" not in command, "cron takes a % for the end of the command"
        guard, _, guarded = command.rpartition(" || ")
        words = _command(shlex.split(guarded), "$HOME/batchrun/.venv/bin/batchrun")
        assert guard == (GUARD if words[0] == "tick" else "")
        found[words[0]] = " ".join(fields)
        assert words[words.index("--home") + 1] == "$HOME/batchrun/.batchrun"
    assert found == {"submit": "30 22 * * *", "tick": "*/10 * * * *"}


def test_the_tick_of_the_crontab_is_silent_until_the_first_submit_has_made_the_home(
    tmp_path: Path,
) -> None:
    (tick,) = [line.split(maxsplit=5)[5] for line in _cron_lines() if " tick " in line]
    program = tmp_path / "batchrun" / ".venv" / "bin" / "batchrun"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "called: $*"\n')
    program.chmod(0o700)

    def run() -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", tick],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    assert run() == (0, "")
    home = tmp_path / "batchrun" / ".batchrun"
    home.mkdir()
    assert run() == (0, ""), "a home without a ledger is none yet"
    (home / "batchrun.db").touch()
    assert run() == (0, f"called: tick --home {home}\n")


def test_the_tick_of_systemd_is_skipped_until_the_first_submit_has_made_the_home() -> None:
    assert _unit("batchrun.service")["ConditionPathExists"] == "%h/batchrun/.batchrun/batchrun.db"
    assert "ConditionPathExists" not in _unit("batchrun-submit.service")


def _unit(name: str) -> dict[str, str]:
    """The settings of a systemd unit; each key stands once in these."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    settings = dict(line.split("=", 1) for line in lines)
    assert len(settings) == len(lines)
    return settings


@pytest.mark.parametrize(
    ("name", "command", "good_codes"),
    [("batchrun", "tick", "3 4 143"), ("batchrun-submit", "submit", "143")],
)
def test_each_service_runs_one_command_and_knows_its_good_exit_codes(
    name: str, command: str, good_codes: str
) -> None:
    unit = _unit(f"{name}.service")
    words = _command(unit["ExecStart"].split(), "%h/batchrun/.venv/bin/batchrun")
    assert words[0] == command
    assert words[words.index("--home") + 1] == "%h/batchrun/.batchrun"
    assert (unit["Type"], unit["SuccessExitStatus"]) == ("oneshot", good_codes)
    assert _unit(f"{name}.timer")["WantedBy"] == "timers.target"


def test_the_files_that_cron_and_systemd_name_exist() -> None:
    text = "".join((SAMPLES / name).read_text() for name in ("crontab", "batchrun-submit.service"))
    named = set(re.findall(r"jobs/\w+\.jsonl", text))
    assert named == {"jobs/nightly.jsonl"}
    assert (ROOT / named.pop()).is_file()
