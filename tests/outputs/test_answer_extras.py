"""What came beside an answer, in every output that shows the answer."""

import csv
import io
import json

from factory import RETRY, World

from batchrun.ledger.history import keep_history, restore_history
from batchrun.ledger.states import ItemState
from batchrun.outputs.explain import explain
from batchrun.outputs.results import stream_results

CITED = '{"citations":[{"type":"url","url":"u","start":0,"end":1}],"reasoning":"Hm.\\u0000"}'
OTHER = '{"other":[{"type":"=new"}]}'


def results(world: World, job: int) -> list[dict[str, object]]:
    text = b"".join(stream_results(world.ledger, job, format="jsonl"))
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def table(world: World, job: int) -> list[dict[str, str]]:
    text = b"".join(stream_results(world.ledger, job, format="csv")).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_its_fields_follow_those_of_the_line_where_there_are_any(world: World) -> None:
    job = world.job()
    world.answered(job, "a", "x", extras=CITED)
    world.answered(job, "b", "y")
    world.failed(job, "c", extras=OTHER)

    first, second, third = results(world, job)

    assert list(first)[-3:] == ["model", "citations", "reasoning"]
    assert first["citations"] == [{"type": "url", "url": "u", "start": 0, "end": 1}]
    assert first["reasoning"] == "Hm.\0"
    assert list(second)[-1] == "model"
    assert third["other"] == [{"type": "=new"}]


def test_a_failed_item_shows_nothing_of_an_older_answer(world: World) -> None:
    job = world.job()
    item = world.item(job, "a", ItemState.FAILED)
    world.result(item, output="x", extras=CITED)

    (line,) = results(world, job)

    assert list(line)[-1] == "model"
    assert "citations" not in table(world, job)[0]
    assert explain(world.ledger, job, "a").extras == {}


def test_the_table_has_a_column_for_each_that_there_is(world: World) -> None:
    job = world.job()
    world.answered(job, "a", {"reasoning": "the answer's own"}, extras=CITED)
    world.failed(job, "b", extras=OTHER)

    first, second = table(world, job)

    assert list(first)[-3:] == ["citations", "output.reasoning", "other"]
    assert first["reasoning"] == "the answer's own"
    assert first["output.reasoning"] == "Hm.\0"
    assert json.loads(first["citations"])[0]["url"] == "u"
    assert (first["other"], second["citations"]) == ("", "")
    assert json.loads(second["other"]) == [{"type": "=new"}]


def test_explain_tells_it_of_the_last_attempt(world: World) -> None:
    job = world.job()
    batch = world.batch(job)
    done = world.answered(job, "a", "x", extras=CITED, batch=batch)
    world.result(
        done, table="history", batch=batch, outcome=RETRY, cause="server_error", extras=OTHER
    )
    world.failed(job, "b", extras=OTHER, batch=batch)

    told = explain(world.ledger, job, "a")

    assert list(told.to_json()["extras"]) == ["citations", "reasoning"]
    assert explain(world.ledger, job, "b").extras == {"other": [{"type": "=new"}]}


def test_it_goes_into_the_history_with_its_attempt_and_comes_back_with_it(world: World) -> None:
    job = world.job()
    item = world.item(job, "a")
    world.result(item, outcome=RETRY, cause="server_error", extras=OTHER)
    chosen = "select id from item_rows"
    with world.ledger.transaction():
        keep_history(world.ledger, chosen, ())
    assert world.ledger.value("select extras from history where item = ?", (item,)) == OTHER
    with world.ledger.transaction():
        restore_history(world.ledger, chosen)
    assert world.ledger.value("select extras from result_rows where item = ?", (item,)) == OTHER
