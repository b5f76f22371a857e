"""The page about rehearsals: its scripts can be played, and no condition and no answer is missing from it."""

import json
from pathlib import Path

import msgspec
import pytest

from batchrun.service.bodies import RESPONSES, Finish
from batchrun.service.responders.script import Rule, read_rules
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock

PAGE = Path(__file__).parents[2] / "docs" / "rehearsal.md"
TEXT = PAGE.read_text(encoding="utf-8")
SCRIPTS = [
    script
    for block in TEXT.split("```json\n")[1:]
    if (script := block.split("```")[0]).startswith('{"rules"')
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_of_the_page_can_be_played(tmp_path: Path, script: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(script, encoding="utf-8")
    assert read_rules(path)


def test_every_condition_and_answer_is_on_the_page() -> None:
    section = TEXT.partition("## Answers from a script")[2].partition("\n## ")[0]
    for word in (*Rule.__struct_fields__, *Finish):
        assert f"`{word}`" in section, word


def test_the_repair_and_the_tool_of_the_page_go_as_it_says() -> None:
    rules = msgspec.convert(json.loads(SCRIPTS[1])["rules"], list[Rule])
    responder = ScriptedResponder(rules, clock=ManualClock())

    def answer(custom_id: str, *said: dict[str, str]) -> dict[str, object]:
        body = {"model": "m", "input": [{"role": "user", "content": "Well?"}, *said]}
        found: dict[str, object] = responder.respond(RESPONSES, body, custom_id=custom_id).body[
            "output"
        ][0]
        return found

    bad = {"role": "assistant", "content": "not json"}
    wrong = {"role": "user", "content": "This answer cannot be used."}
    assert '{"total":12}' in str(answer("1-3-a", bad, wrong, bad, wrong))
    assert answer("2-1-a")["name"] == "weather"
    call = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
    for output, said in (("Rain", "umbrella"), ("error: no such place", "could not find out")):
        given = {"type": "function_call_output", "call_id": "c", "output": output}
        assert said in str(answer("2-2-a", call, given))
