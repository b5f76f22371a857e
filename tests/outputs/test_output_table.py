import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from factory import AT, World
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import LedgerError
from batchrun.ledger.states import ItemState
from batchrun.model import OutputSettings
from batchrun.outputs.results import stream_results
from batchrun.outputs.writing import write_outputs

# What a ledger and a fields file can hold: any text of UTF-8.
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


def _csv(world: World, job: int, *, defuse: bool = True) -> list[dict[str, str]]:
    text = b"".join(stream_results(world.ledger, job, format="csv", defuse=defuse)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_every_text_survives_the_round_trip_through_csv(pairs: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        job = world.job()
        items = [world.answered(job, f"i{n}", out) for n, (_, out) in enumerate(pairs)]
        world.fields(job, [(i, {"text": text}) for i, (text, _) in zip(items, pairs, strict=True)])

        rows = _csv(world, job, defuse=False)
        world.ledger.close()

    assert [(row["text"], row["output"]) for row in rows] == pairs


@given(TEXT)
@pytest.mark.fault(53)
def test_no_defused_cell_starts_a_formula_unless_it_is_a_number(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        job = world.job()
        world.answered(job, "i", "=" + text)
        (row,) = _csv(world, job)
        world.ledger.close()

    assert row["output"] == "'=" + text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("-\u0665", "'-\u0665"),
        ("a=b", "a=b"),
        ("'quoted", "'quoted"),
        ("", ""),
    ],
)
@pytest.mark.fault(53)
def test_text_that_starts_a_formula_is_defused_and_numbers_never_are(
    world: World, text: str, shown: str
) -> None:
    job = world.job()
    world.answered(job, "i", text)

    assert _csv(world, job)[0]["output"] == shown
    assert _csv(world, job, defuse=False)[0]["output"] == text


def test_ids_headers_and_messages_are_defused_too(world: World) -> None:
    job = world.job()
    item = world.failed(job, "=id", message="=boom")
    world.fields(job, [(item, {"@header": "x"})])

    (row,) = _csv(world, job)

    assert (row["id"], row["message"], row["'@header"]) == ("'=id", "'=boom", "x")


def test_input_columns_come_first_then_id_status_and_output(world: World) -> None:
    job = world.job()
    one, two = world.answered(job, "a1", "positive"), world.failed(job, "a2", "refusal")
    world.fields(job, [(one, {"text": "good", "stars": 5}), (two, {"text": "bad", "lang": "ja"})])

    text = b"".join(stream_results(world.ledger, job, format="csv")).decode()

    assert text == (
        "text,stars,lang,id,status,output,finish,cause,message,attempts,model,"
        "input_tokens,cached_tokens,cache_write_tokens,output_tokens,reasoning_tokens\n"
        "good,5,,a1,succeeded,positive,stop,,,1,gpt-5-mini,100,20,30,10,4\n"
        'bad,,ja,a2,failed,,,refusal,"refusal, said the service",1,gpt-5-mini,100,20,30,10,4\n'
    )


def test_an_id_column_of_the_input_is_not_repeated(world: World) -> None:
    job = world.job()
    world.fields(job, [(world.answered(job, "a1"), {"id": "a1", "text": "x"})])

    header = b"".join(stream_results(world.ledger, job, format="csv")).split(b"\n")[0]

    assert header.startswith(b"id,text,status,output,")


def test_an_id_made_by_a_template_stands_beside_the_inputs_own(world: World) -> None:
    job = world.job(id="{{ lang }}-{{ id }}")
    world.fields(job, [(world.answered(job, "ja-7"), {"id": 7, "lang": "ja"})])

    (row,) = _csv(world, job)

    assert (row["id"], row["output.id"]) == ("7", "ja-7")


def test_objects_become_one_column_a_key_and_keep_their_digits(world: World) -> None:
    job = world.job()
    world.answered(job, "a", b'{"label":"ok","score":0.10,"tags":["x", "y"],"none":null}')
    world.answered(job, "b", b'{"label":"no","big":123456789012345678901234567890,"yes":true}')

    a, b = _csv(world, job)

    assert "output" not in a
    assert (a["label"], a["score"], a["tags"], a["none"]) == ("ok", "0.10", '["x", "y"]', "")
    assert (b["label"], b["big"], b["yes"]) == ("no", "123456789012345678901234567890", "true")


def test_the_columns_of_a_schema_are_there_in_its_order_though_nothing_succeeded(
    world: World,
) -> None:
    job = world.job(schema={"type": "object", "properties": {"b": {}, "a": {}}})
    world.failed(job, "x")

    header = b"".join(stream_results(world.ledger, job, format="csv")).split(b"\n")[0]

    assert header.startswith(b"id,status,b,a,finish,")


def test_labels_are_one_output_column_though_they_were_asked_for_by_a_schema(world: World) -> None:
    job = world.job(labels=("yes", "no"), schema={"type": "object", "properties": {"label": {}}})
    world.answered(job, "x", "yes")

    assert _csv(world, job)[0]["output"] == "yes"


def test_a_column_name_that_is_taken_is_prefixed_and_none_is_lost(world: World) -> None:
    job = world.job()
    item = world.answered(job, "i", {"text": "answer", "model": "M", "status": "s"})
    world.fields(job, [(item, {"text": "question", "status": "new"})])

    (row,) = _csv(world, job)

    assert (row["text"], row["output.text"]) == ("question", "answer")
    assert (row["status"], row["output.status"], row["output.output.status"]) == (
        "new",
        "succeeded",
        "s",
    )
    assert (row["model"], row["output.model"]) == ("M", "gpt-5-mini")


def test_mixed_answers_keep_a_plain_column_beside_the_keys(world: World) -> None:
    job = world.job()
    world.answered(job, "a", "text")
    world.answered(job, "b", {"k": 1})
    world.answered(job, "c", [1, 2])

    assert [(row["output"], row["k"]) for row in _csv(world, job)] == [
        ("text", ""),
        ("", "1"),
        ("[1,2]", ""),
    ]


def test_items_that_the_last_submission_did_not_have_get_no_input_columns(world: World) -> None:
    job = world.job()
    old, new = world.answered(job, "kept"), world.answered(job, "new")
    world.bad(job, "data.csv:3", "bad_item", "no text")
    world.fields(job, [(new, {"text": "x"})])

    assert [(row["id"], row["text"]) for row in _csv(world, job)] == [
        ("kept", ""),
        ("new", "x"),
        ("data.csv:3", ""),
    ]
    assert old < new


def test_input_columns_follow_the_items_after_a_submission_that_reordered_them(
    world: World,
) -> None:
    job = world.job()
    a, b, c = (world.answered(job, key) for key in "abc")
    world.item(job, "kept", ItemState.PENDING)
    world.order(c, a, b)
    world.fields(job, [(c, {"text": "C"}), (a, {"text": "A"}), (b, {"text": "B"})])

    assert [(row["id"], row["text"]) for row in _csv(world, job)] == [
        ("c", "C"),
        ("a", "A"),
        ("b", "B"),
        ("kept", ""),
    ]


def test_a_lone_surrogate_in_an_answer_is_replaced_and_breaks_nothing(world: World) -> None:
    job = world.job()
    world.answered(job, "i", b'"half \\ud83d done"')

    assert _csv(world, job)[0]["output"] == "half \ufffd done"


def test_fields_are_read_as_they_were_written(world: World) -> None:
    job = world.job()
    item = world.answered(job, "i")
    path = world.ledger.home.fields_file(1)
    path.write_text(f'[{item},{{"price":1.10,"note":"a\u2028b","list":[1,{{}}]}}]\n')

    (row,) = _csv(world, job)

    assert (row["price"], row["note"], row["list"]) == ("1.10", "a\u2028b", "[1,{}]")


def test_a_damaged_fields_file_is_named_with_what_to_do(world: World) -> None:
    job = world.job()
    world.answered(job, "i")
    world.ledger.home.fields_file(1).write_text('[1,{"text":')

    with pytest.raises(
        LedgerError, match=r"fields/1\.jsonl: cannot be read: it is damaged.*batchrun submit"
    ):
        _csv(world, job)


def test_a_lookup_past_the_fields_of_another_item_does_not_lose_the_next_ones(world: World) -> None:
    job = world.job()
    first, gone, last = (world.answered(job, key) for key in "abc")
    world.execute("update item_rows set vanished = 1 where id = ?", gone)
    world.fields(job, [(first, {"t": "A"}), (gone, {"t": "B"}), (last, {"t": "C"})])

    assert [row["t"] for row in _csv(world, job)] == ["A", "C"]


def test_answers_with_keys_of_their_own_do_not_make_a_column_each(world: World) -> None:
    schema = {"type": "object", "properties": {"a": {}}}
    job = world.job(schema=schema, strict=False)
    world.answered(job, "many", {"a": 0} | {f"k{n}": "x" for n in range(999)})
    world.answered(job, "last", {"a": 1, "k999": "y"})
    world.answered(job, "more", {"a": 2, "k1000": "z", "k0": "w"})

    many, last, more = _csv(world, job)

    names = list(many)
    assert sum(name[:1] == "k" for name in names) == 1_000
    assert "k1000" not in names
    assert names.index("output") < names.index("a") < names.index("k0")
    assert [row["output"] for row in (many, last, more)] == ["", "", '{"a":2,"k1000":"z","k0":"w"}']
    assert [row["a"] for row in (many, last, more)] == ["0", "1", "2"]
    assert [row["k0"] for row in (many, last, more)] == ["x", "", "w"]
    assert last["k999"] == "y"


@pytest.mark.parametrize("count", [1_000, 1_001])
def test_answers_without_columns_are_counted_in_the_manifest(world: World, count: int) -> None:
    output = OutputSettings(csv=True, excel=True, parquet=True)
    job = world.job(output=output)
    for key in ("a", "b"):
        world.answered(job, key, {f"k{n}": "x" for n in range(count)})
    world.answered(job, "c", {"k0": "x"})
    folder = write_outputs(world.ledger, job, now=AT).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    counts = {file["name"]: file.get("whole_answers") for file in manifest["files"]}
    tables = ("results.csv", "results.excel.csv", "results.parquet")
    assert [counts.pop(name) for name in tables] == [None if count == 1_000 else 2] * 3
    assert set(counts.values()) == {None}
