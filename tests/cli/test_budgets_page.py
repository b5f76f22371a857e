"""docs/budgets.md shows what the program says: its settings and its job line are taken as they stand, and every line below a command is printed by it."""

import json
import re
from pathlib import Path

from clikit import FAST_PROFILE, Desk

from batchrun.service.service import BatchService

PAGE = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text("utf-8")
# The service of the tests is at an address of which no price is known: these are OpenAI's.
PRICE = '[price."gpt-5-mini"]\nbatch = { input = 0.125, output = 1 }\n'


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_what_stands_below_a_command_is_what_it_prints(desk: Desk, service: BatchService) -> None:
    (desk.folder / "batchrun.toml").write_text(block("toml") + FAST_PROFILE + PRICE)
    texts = ({"id": f"q{number}", "text": f"question {number}"} for number in range(3))
    desk.write("faq.jsonl", block("json").strip(), *texts)
    commands = re.findall(r"```sh\nbatchrun ([^\n]*)\n```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(commands) == 2
    for command, shown in commands:
        called = desk.call(*command.split())
        assert called.code == 0
        assert shown in called.out.replace(str(desk.folder), "/home/me/jobs")


def test_scopes_and_periods_on_the_page_are_those_that_there_are(desk: Desk) -> None:
    from batchrun.model import Allowance
    from batchrun.money.limits import NOTICES, Scope

    for scope in Scope:
        name = "[budget]" if scope is Scope.HOME else f"[budget.{scope}.NAME]"
        assert f"| `{name}` |" in PAGE
    for period in Allowance.__dataclass_fields__:
        assert f"`{period}`" in PAGE
    assert "At {}, {} and {} %".format(*NOTICES) in PAGE
    object_form = re.search(r"an object such as `(.*?)`", PAGE)
    assert object_form is not None
    path = desk.job("faq", budget=json.loads(object_form[1]))
    assert desk.call("check", path).code == 0
