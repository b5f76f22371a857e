"""`batchrun spend`: tables that fit where they are shown, documents for programs, and a page that a person would send."""

import csv
import io
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from clikit import Desk

sys.path.insert(1, str(Path(__file__).parents[1] / "spending"))

from spendkit import NOON, OWN, Till, a_busy_month

from batchrun.cli.spending import Terminal, bar, spark, spending_text
from batchrun.spending.page import page
from batchrun.spending.report import By
from batchrun.testing import ManualClock

LIMITS = f"{OWN}[budget]\nmonth = 20\nsoft_day = 1\n"
HOSTILE = '<script>alert("x")</script>\u202e&\x1b[2J'


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """A desk whose home had a busy month."""
    a_busy_month(Till(desk.folder, toml=LIMITS))
    return Desk(folder=desk.folder, capture=desk.capture, clock=ManualClock(NOON))


def test_it_shows_days_with_bars_limits_prices_and_what_has_none(busy: Desk) -> None:
    called = busy.call("spend")
    assert (called.code, called.err) == (0, "")
    first, sparks, _, header, *_ = called.out.splitlines()
    assert first == (
        "spent 2026-11-01 to 2026-11-21 (UTC): $23.50 + ? for 2,278 requests, saved $23.49 + ? against live prices"
    )
    assert re.fullmatch(r"  \.[▁▂▃▄▅▆▇█]{20}  2026-11-01 to 2026-11-21", sparks)
    columns = ("DAY", "REQUESTS", "PROMPT", "CACHED", "COMPLETION", "REASONING", "COST", "SAVED")
    assert tuple(header.split()) == columns
    assert re.search(
        r"2026-11-20 +41 +164,000 +9,000 +33,000 +1,000 +\$0\.48 +\$0\.479  █", called.out
    )
    assert re.search(
        r"  0 %  \[ {20}\] \$20\.00 a month: \$20\.00 left until 2026-12-01T", called.out
    )
    assert "under way: 1 batch, $0.00 reserved; of 1 of them nothing is reserved" in called.out
    assert "no price:  1,204 requests of 'acme-7b' are in no cost" in called.out
    assert "batchrun.toml (990 requests, as it is today)" in called.out


def test_an_empty_month_is_no_error(busy: Desk) -> None:
    called = busy.call("spend", "--month", "2026-01", "--by", "job")
    assert called.code == 0
    assert called.out.startswith(
        "spent 2026-01-01 to 2026-01-31 (UTC): $0.00 for 0 requests\n\nlimits:"
    )


@pytest.mark.parametrize("by", list(By))
def test_each_way_of_grouping_has_its_rows(busy: Desk, by: By) -> None:
    document = busy.call("spend", "--by", str(by), "--json").json
    names = {
        By.DAY: "2026-11-02",
        By.MONTH: "2026-11",
        By.JOB: "letters",
        By.MODEL: "acme-7b",
        By.PROFILE: "openai",
        By.TAG: "(no tag)",
        By.ACCOUNT: "default",
    }
    assert names[by] in [row["name"] for row in document["rows"]]
    assert document["by"] == by
    assert document["total"]["cost"] == {"picodollars": 23_495_750_000_000, "usd": "23.49575"}


def test_the_document_has_an_unknown_cost_as_null(busy: Desk) -> None:
    rows = {row["name"]: row for row in busy.call("spend", "--by", "model", "--json").json["rows"]}
    assert (rows["acme-7b"]["cost"], rows["acme-7b"]["saved"]) == (None, None)
    assert rows["acme-7b"]["unpriced_requests"] == 1_204


def test_csv_has_the_rows_to_the_last_digit(busy: Desk) -> None:
    called = busy.call("spend", "--by", "job", "--csv")
    rows = {row["job"]: row for row in csv.DictReader(io.StringIO(called.out))}
    assert rows["letters"]["cost_usd"] == "0.22575"
    assert rows["letters"]["completion_tokens"] == "147000"
    assert (rows["scans"]["cost_usd"], rows["scans"]["unpriced_requests"]) == ("", "1204")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--json", "--csv"), "Choose one"),
        (("--month", "soon"), "no day or month"),
        (("--since", "2027-01-01"), "is after"),
        (("--html", "."), "cannot be written"),
    ],
)
def test_wrong_wishes_are_usage_errors(busy: Desk, words: tuple[str, ...], told: str) -> None:
    called = busy.call("spend", *words, *(("--yes",) if "--html" in words else ()))
    assert called.code == 2
    assert told in called.err


def test_without_a_home_there_is_nothing_to_show(desk: Desk) -> None:
    assert desk.call("spend").code == 2


@pytest.mark.parametrize("width", [100, 80, 60, 40, 24])
def test_a_narrow_terminal_gets_fewer_columns_and_is_told_which(busy: Desk, width: int) -> None:
    spent = Till(busy.folder, toml=LIMITS).spent()
    text = spending_text(spent, By.DAY, Terminal(width, has_blocks=True))
    table = [line for line in text.splitlines() if re.match(r"2026-|DAY|total", line)]
    assert len(table) == 22
    assert max(map(len, table)) <= width
    assert "COST" in table[0]
    assert ("(no room here for " in text) is (width < 100)
    if width > 50:
        others = [line for line in text.splitlines()[1:] if "batchrun.toml" not in line]
        assert max(map(len, others)) <= width, "but for a path, which is not broken"


def test_what_cannot_show_blocks_gets_plain_characters(busy: Desk) -> None:
    spent = Till(busy.folder, toml=LIMITS).spent()
    plain, rich = (
        "".join(line for line in text.splitlines() if not line.startswith("no price:"))
        for text in (spending_text(spent, By.DAY, Terminal(None, has)) for has in (False, True))
    )
    assert plain.isascii()
    assert not rich.isascii()


def test_bars_and_sparks_show_whatever_is_not_nothing() -> None:
    assert (bar(0, 10, True), bar(1, 10**9, True), bar(10, 10, True)) == ("", "▏", "█" * 20)
    assert (bar(1, 10**9, False), bar(30, 10, False)) == ("#", "#" * 20)
    assert (spark([0, 1, 50, 100], True), spark([], True), spark([0], True)) == (".▁▅█", "", ".")


class Seen(HTMLParser):
    """What a browser would be told to do."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def seen(text: str) -> Seen:
    parser = Seen()
    parser.feed(text)
    return parser


def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing(busy: Desk) -> None:
    called = busy.call("spend", "--html", "november.html")
    assert (called.code, called.out) == (0, "Wrote november.html.\n")
    text = (busy.folder / "november.html").read_text("utf-8")
    found = seen(text)
    assert not {"script", "link", "img", "iframe", "object", "style"} & set(found.tags) - {"style"}
    assert not [
        name for name, _ in found.attributes if name in {"href", "src"} or name.startswith("on")
    ]
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("<svg") == text.count("</svg>") > 10
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert str(busy.folder) not in text
    assert "<b>No price known:</b> 1,204 requests of acme-7b" in text


def test_the_page_is_well_formed(busy: Desk) -> None:
    text = page(Till(busy.folder, toml=LIMITS).spent(), By.DAY)
    body = re.sub(r"<meta [^>]*>", "", text.partition("<html")[2])
    root: Any = ET.fromstring(f"<html{body}")
    charts = [svg for svg in root.iter("svg") if svg.get("class") == "chart"]
    assert len(charts[0].findall("g")) == 21, "a column a day"
    assert len(list(root.iter("table"))) == 3, "days, jobs, models"


def test_a_file_that_exists_is_only_replaced_on_purpose(busy: Desk) -> None:
    (busy.folder / "x.html").write_text("mine")
    assert busy.call("spend", "--html", "x.html").code == 2
    assert (busy.folder / "x.html").read_text() == "mine"
    assert busy.call("spend", "--html", "x.html", "--yes").code == 0
    assert (busy.folder / "x.html").read_text() != "mine"


def test_names_of_others_are_text_wherever_they_are_shown(desk: Desk) -> None:
    till = Till(desk.folder)
    till.job(HOSTILE, tags=(HOSTILE,))
    till.batch(HOSTILE, took=(5, 0, 5, 0), model=HOSTILE)
    till.batch("=1+1", took=(5, 0, 5, 0))
    for by in By:
        text = page(till.spent(), by)
        assert "<script" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    called = Desk(folder=desk.folder, capture=desk.capture, clock=ManualClock(NOON)).call(
        "spend", "--by", "job", "--csv"
    )
    assert [row[0] for row in csv.reader(io.StringIO(called.out))][1:] == ["'=1+1", HOSTILE]


def test_the_terminals_width_is_asked_for(busy: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchrun.cli.spending import terminal

    assert terminal().width is None, "not a terminal"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "50")
    assert terminal().width == shutil.get_terminal_size().columns == 50
