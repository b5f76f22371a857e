"""A model calls functions, they are run between two batches, and what they return goes into the next: the conversation goes on."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from callingkit import Model, call, calling, chat_calling, lend, ran
from runnerkit import NewWorld, World, items

from batchrun.model import JsonObject
from batchrun.service.bodies import CHAT, RESPONSES
from batchrun.service.responders.script import Rule

STOCK = call("stock", {"article": "lamp", "shop": None})
REASONING: JsonObject = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": None,
}


def lived(new_world: NewWorld, model: Model, count: int = 1, **changes: Any) -> World:
    world = new_world(script=model)
    lend(world)
    world.write(items(count), **{"rounds": 3, **changes})
    prepared = world.submit()
    assert prepared.error is None, prepared.error
    world.run()
    return world


def test_a_call_is_run_and_the_next_request_tells_the_model(new_world: NewWorld) -> None:
    model = Model(calling(STOCK, before=(REASONING,)), "There are 4.")
    world = lived(new_world, model)
    assert world.answers() == {"i0": "There are 4."}
    first, second = model.asked
    assert first["tools"] == [
        {
            "type": "function",
            "name": "stock",
            "description": "How many of an article a shop has.",
            "parameters": {
                "type": "object",
                "properties": {
                    "article": {"type": "string"},
                    "shop": {
                        "anyOf": [{"type": "string"}, {"type": "null"}],
                        "description": "null: 'Lyon'",
                    },
                },
                "required": ["article", "shop"],
                "additionalProperties": False,
            },
            "strict": True,
        },
        {
            "type": "function",
            "name": "price",
            "description": "What an article costs.",
            "parameters": {
                "type": "object",
                "properties": {"article": {"type": "string"}},
                "required": ["article"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    ]
    assert second.pop("input") == [
        {"role": "user", "content": first["input"]},
        REASONING,
        STOCK,
        {"type": "function_call_output", "call_id": "call_a", "output": '{"pieces":4}'},
    ]
    assert second == {key: value for key, value in first.items() if key != "input"}
    assert ran() == ["lamp Lyon"]
    assert world.rows("select outcome, cause from history") == [{"outcome": 7, "cause": None}]
    (line,) = map(json.loads, world.output("results.jsonl").splitlines())
    assert (line["status"], line["attempts"]) == ("succeeded", 2)


def test_chat_completions_are_told_in_messages(new_world: NewWorld) -> None:
    two = chat_calling(STOCK, call("stock", {"article": "bulb", "shop": "Nice"}, "call_b"))
    model = Model(two, "Both.")
    world = lived(new_world, model, endpoint="/v1/chat/completions")
    assert world.answers() == {"i0": "Both."}
    assert model.asked[0]["tools"][0]["function"]["strict"] is True
    _, said, *told = model.asked[1]["messages"]
    assert [one["function"]["name"] for one in said["tool_calls"]] == ["stock", "stock"]
    assert told == [
        {"role": "tool", "tool_call_id": "call_a", "content": '{"pieces":4}'},
        {"role": "tool", "tool_call_id": "call_b", "content": '{"pieces":4}'},
    ]
    assert ran() == ["lamp Lyon", "bulb Nice"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("price", {"article": "lamp"}, "error: LookupError: no article 'lamp'"),
        ("stock", {"shop": None}, "error: wrong arguments: article: Field required"),
        ("stock", {"article": 7, "shop": None}, "error: wrong arguments: article: Input should"),
        ("stock", "half a JS", "error: wrong arguments: Invalid JSON"),
        ("order", {}, "error: there is no function 'order'. There are: stock, price"),
    ],
)
def test_what_goes_wrong_is_an_answer_to_the_model_and_a_line_of_the_report(
    new_world: NewWorld, name: str, arguments: Any, told: str
) -> None:
    model = Model(calling(call(name, arguments)), "Sorry.")
    world = lived(new_world, model)
    assert world.answers() == {"i0": "Sorry."}
    output = model.asked[1]["input"][-1]["output"]
    assert output.startswith(told)
    assert "Traceback" not in output
    report = json.loads(world.output("report.json"))
    assert report["tools"] == {
        "calls": 1,
        "errors": 1,
        "waiting": 0,
        "first_errors": [{"id": "i0", "name": name, "message": output}],
    }
    assert "tools: 1 call, 1 error." in world.output("report.md").decode()


def test_a_model_that_calls_for_ever_fails_after_the_last_round(new_world: NewWorld) -> None:
    model = Model(calling(STOCK))
    world = lived(new_world, model, rounds=2)
    assert len(model.asked) == 3
    assert ran() == ["lamp Lyon"] * 2
    assert world.failures() == {"i0": "tool_rounds"}
    assert world.rows("select message from failures") == [
        {"message": "it calls stock after 2 rounds"}
    ]
    failure = json.loads(world.output("failures.jsonl"))
    assert failure["fix"].startswith('First raise "rounds" in ')


def test_calls_of_each_item_go_into_its_own_conversation(new_world: NewWorld) -> None:
    def model(url: str, body: Any, custom_id: str | None) -> Rule:
        del url, custom_id
        said = body["input"]
        text = said if isinstance(said, str) else said[0]["content"]
        if isinstance(said, str) and not text.endswith("1"):
            return calling(call("stock", {"article": "x" * int(text[-1]), "shop": None}))
        return Rule(reply=said if isinstance(said, str) else said[-1]["output"])

    world = new_world(script=model)
    lend(world)
    world.write(items(4), rounds=1)
    world.submit()
    world.run()
    pieces = {f"i{n}": f'{{"pieces":{n}}}' for n in (0, 2, 3)}
    assert world.answers() == {**pieces, "i1": "Review: text 1"}
    assert not world.api().verify().broken


def test_labels_and_repairs_work_behind_a_round(new_world: NewWorld) -> None:
    model = Model(calling(STOCK), "perhaps", '{"label": "good"}')
    world = lived(new_world, model, labels=["good", "bad"], repair={"attempts": 1})
    assert world.answers() == {"i0": "good"}
    kinds = [said.get("type") or said["role"] for said in model.asked[2]["input"]]
    assert kinds == ["user", "function_call", "function_call_output", "assistant", "user"]


def test_without_rounds_a_call_is_the_answer_and_nothing_is_offered(new_world: NewWorld) -> None:
    model = Model(calling(STOCK))
    world = lived(new_world, model, rounds=None)
    assert "tools" not in model.asked[0]
    assert json.loads(world.output("results.jsonl"))["output"]["tool_calls"][0]["name"] == "stock"
    assert ran() == []


def test_a_function_that_the_body_declares_is_the_users_own_and_its_call_the_answer(
    new_world: NewWorld,
) -> None:
    own = {"type": "function", "name": "done", "parameters": None, "strict": None}
    model = Model(calling(STOCK), calling(call("done", {"answer": 4})))
    world = lived(new_world, model, body={"tools": [own, {"type": "web_search"}]})
    offered = [tool.get("name") or tool["type"] for tool in model.asked[0]["tools"]]
    assert offered == ["stock", "price", "done", "web_search"]
    assert world.states() == {"i0": "succeeded"}
    assert json.loads(world.output("results.jsonl"))["output"]["tool_calls"][0]["name"] == "done"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("required", "auto"),
        ({"type": "function", "name": "stock"}, "auto"),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "stock"}],
            },
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "stock"}],
            },
        ),
    ],
)
def test_a_model_that_had_to_call_may_answer_in_the_next_round(
    new_world: NewWorld, first: Any, then: Any
) -> None:
    model = Model(calling(STOCK), "4")
    world = lived(new_world, model, body={"tool_choice": first})
    assert [body["tool_choice"] for body in model.asked] == [first, then]
    assert world.answers() == {"i0": "4"}


def test_chat_has_what_a_choice_allows_one_level_deeper(new_world: NewWorld) -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "stock"}}]}
    first = {"type": "allowed_tools", "allowed_tools": allowed}
    model = Model(chat_calling(STOCK), "4")
    lived(new_world, model, endpoint="/v1/chat/completions", body={"tool_choice": first})
    then = {"type": "allowed_tools", "allowed_tools": {**allowed, "mode": "auto"}}
    assert [body["tool_choice"] for body in model.asked] == [first, then]


def test_calls_without_ids_of_their_own_are_told_apart(new_world: NewWorld) -> None:
    nameless = {**STOCK, "call_id": None}
    model = Model(calling(nameless, STOCK, STOCK), "ok")
    lived(new_world, model)
    _, *said = model.asked[1]["input"]
    assert [one["call_id"] for one in said] == ["call_0", "call_a", "call_2"] * 2


def test_reasoning_that_the_service_did_not_keep_is_not_named_to_it(new_world: NewWorld) -> None:
    kept = {**REASONING, "id": "rs_2", "encrypted_content": "xyz"}
    model = Model(calling(STOCK, before=(REASONING, kept)), "ok")
    lived(new_world, model, body={"store": False})
    assert model.asked[1]["input"][1:3] == [kept, STOCK]


def test_explain_shows_the_conversation_and_its_calls(new_world: NewWorld) -> None:
    world = lived(new_world, Model(calling(STOCK), "4"))
    told = world.api().explain("reviews", "i0")
    assert [attempt.outcome for attempt in told.attempts] == ["called", "succeeded"]
    (made,) = told.calls
    assert (made.name, made.output, made.is_error) == ("stock", '{"pieces":4}', False)
    assert told.request["body"]["input"][-1]["output"] == '{"pieces":4}'
    assert told.to_json()["calls"][0]["call_id"] == "call_a"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"rounds": 0}, "'rounds' must be"),
        ({"rounds": 51}, "'rounds' must be"),
        ({"tools": ["x"]}, "code never comes from a job file"),
        ({"endpoint": "/v1/embeddings", "max_output_tokens": None}, "its answers call no"),
        ({"endpoint": "/v1/chat/completions", "body": {"n": 2}}, "'rounds' and 'body.n'"),
        (
            {"body": {"tools": [{"type": "function", "name": "stock", "parameters": {}}]}},
            "'body.tools' declares 'stock'",
        ),
    ],
)
def test_what_cannot_work_is_an_error_of_the_job(
    new_world: NewWorld, changes: Any, word: str
) -> None:
    world = new_world()
    lend(world)
    world.write(items(1), **{"rounds": 1, **changes})
    assert word in str(world.submit().error)
    assert world.remotes() == []


def test_rounds_without_a_file_of_functions_are_an_error_that_names_the_option(
    new_world: NewWorld,
) -> None:
    world = new_world()
    world.write(items(1), rounds=1)
    assert "Add --tools FILE.py" in str(world.submit().error)


def test_functions_that_changed_are_another_request(new_world: NewWorld) -> None:
    model = Model("no call")
    world = lived(new_world, model)
    tools = "def stock(article: str) -> int:\n    return 1\n"
    lend(world, tools)
    tally = world.submit().tally
    assert tally is not None
    assert tally.reasked == 1


@pytest.mark.parametrize(("endpoint", "calls"), [(RESPONSES, calling), (CHAT, chat_calling)])
def test_a_file_goes_along_in_every_round_and_in_the_repair_behind_them(
    new_world: NewWorld, endpoint: str, calls: Callable[[JsonObject], Rule]
) -> None:
    model = Model(calls(STOCK), "perhaps", '{"label": "good"}')
    world = new_world(script=model)
    lend(world)
    (world.folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    world.write(
        items(1),
        endpoint=endpoint,
        attach="a.png",
        rounds=1,
        labels=["good", "bad"],
        repair={"attempts": 1},
    )
    world.submit()
    world.run()
    assert world.answers() == {"i0": "good"}
    first, second, third = (body.get("input") or body["messages"] for body in model.asked)
    assert "data:image/png;base64,iVBORw0KGgo=" in json.dumps(first)
    assert second[: len(first)] == first
    assert third[: len(second)] == second
