"""Fault scripts: read from TOML and JSON, and every mistake in one is told with its line and key."""

import json
from pathlib import Path

import pytest
from faultkit import fault

from batchrun.errors import UsageError
from batchrun.service.faults.kinds import COURSE, EXECUTION, LINES, SERVICE, WIRE, places_of
from batchrun.service.faults.refusing import REFUSING
from batchrun.service.faults.resultlines import LINE_FAULTS
from batchrun.service.faults.script import FaultScript, read_faults
from batchrun.service.faults.spoiling import SPOILING
from batchrun.service.faults.words import ANY_CALL, CALLS, Moment, Place, What


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml, in_json = tmp_path / "night.toml", tmp_path / "night.json"
    toml.write_text(
        'seed = 7\n[[fault]]\nat = "POST /batches"\nwhat = "drop"\ncalls = [1, 3]\n\n'
        '[[fault]]\nat = ["GET /batches", "GET /batches/{id}"]\nwhat = "show"\nset.status = "paused"\n'
    )
    faults = [
        {"at": "POST /batches", "what": "drop", "calls": [1, 3]},
        {
            "at": ["GET /batches", "GET /batches/{id}"],
            "what": "show",
            "set": {"status": "paused"},
        },
    ]
    in_json.write_text(json.dumps({"seed": 7, "fault": faults}))
    one, other = read_faults(toml), read_faults(in_json)
    assert (one.seed, one.named) == (other.seed, other.named)
    first, second = one.named.values()
    assert (first.places, first.happens, first.numbers) == ((Place.CREATE,), Moment.AFTER, (1, 3))
    assert second.set == {"status": "paused"}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('at = "GET /batchs"\nwhat = "lag"', 3, "'at': 'GET /batchs' is no place (did you mean 'GET /batches'?)"),
        ('at = "GET /batches"\nwhat = "lagg"', 4, "'what': 'lagg' is none of its words (did you mean 'lag'?)"),
        ('at = "GET /batches"\nwhat = "lag"\nsecond = 3', 5, "unknown key 'second' (did you mean 'seconds'?)"),
        ('at = "GET /batches"\nwhat = "lag"\n\nseconds = "3"', 6, "'seconds': it takes a whole number, not text"),
        ('at = "GET /batches"\nwhat = "lag"', 4, "'what': 'lag' needs 'seconds'"),
        ('what = "lag"\nseconds = 3', 2, "'at' is missing"),
        ('at = "GET /batches"\nwhat = "cut"\nmoment = "after"', 5, "'moment': 'cut' takes 'during' here, not 'after'"),
        ('at = "GET /batches"\nwhat = "lag"\nseconds = 1\nmoment = "before"', 6, "'moment': 'lag' takes no moment here, not 'before'"),
        ('at = "POST /files"\nwhat = "lag"\nseconds = 3', 3, "'at': 'lag' does not exist at 'POST /files', only at"),
        ('at = "any call"\nwhat = "missing"', 3, "'at': 'missing' needs a place: 'output file', 'error file'"),
        ('at = []\nwhat = "drop"', 3, "'at': 'drop' needs a place: 'POST /files'"),
        ('at = "any call"\nwhat = "status"\nstatus = 200', 5, "'status': 200 cannot be answered by 'status'"),
        ('at = "any call"\nwhat = "redirect"\nto = "http://x.example/"\nstatus = 304', 6, "'status': 304"),
        ('at = "any call"\nwhat = "html"\nstatus = 99', 5, "'status': 99"),
        ('at = "any call"\nwhat = "drop"\nstatus = 500', 5, "'status': means nothing to 'drop' here"),
        ('at = "any call"\nwhat = "drop"\ncalls = 0', 5, "'calls': counts from 1"),
        ('at = "any call"\nwhat = "drop"\nevery = 0', 5, "'every': must be at least 1"),
        ('at = "any call"\nwhat = "drop"\nprobability = 2', 5, "'probability': must lie between 0 and 1"),
        ('at = "any call"\nwhat = "drop"\nfrom_s = 60\nuntil_s = 60', 6, "'until_s': must be later than 'from_s'"),
        ('at = "POST /files"\nwhat = "drop"\nfilename = "x"', 5, "'filename': is not known at 'POST /files'"),
        ('at = "output file"\nwhat = "both"\nkey = "x"', 5, "'key': is not known at 'output file'"),
        ('at = "output file"\nwhat = "both"\ncustom_id = "["', 5, "'custom_id': is not a regular expression"),
        ('at = "output file"\nwhat = "both"\ntimes = 2', 5, "'times': counts calls"),
        ('at = "GET /batches"\nwhat = "show"', 4, "'what': 'show' needs 'set' or 'nulls'"),
        ('at = "any call"\nwhat = "bomb"\nbytes = 0', 5, "'bytes': must be at least 1"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = tmp_path / "night.toml"
    path.write_text(f"seed = 1\n[[fault]]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        read_faults(path)
    said = str(caught.value)
    assert said.startswith(f"{path}:{line}: fault 1: {what}")
    assert said.endswith(".")
    assert not said.endswith("..")


def test_the_line_is_that_of_the_right_fault_in_json_too(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    path.write_text(
        '{"seed": 1,\n "fault": [\n  {"at": "any call", "what": "drop"},\n'
        '  {"at": "any call",\n   "what": "cut",\n   "bytes": [\n1]}]}'
    )
    with pytest.raises(UsageError) as caught:
        read_faults(path)
    assert str(caught.value) == f"{path}:6: fault 2: 'bytes': it takes a whole number, not a list."


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", b"[[fault]]\nat = \n", ":2: not TOML: "),
        ("a.json", b'{"fault": [\n{]}', ":2: not JSON: "),
        ("a.toml", b"\xff", ": not UTF-8 at byte 0."),
        ("a.toml", b"faults = []", ": unknown key 'faults' (did you mean 'fault'?)."),
        ("a.toml", b"fault = 3", ": 'fault': it takes a list, not a whole number."),
        ("a.json", b"[]", ": it takes a table, not a list."),
        ("a.toml", b"seed = 1", ": 'fault' is missing."),
    ],
)
def test_a_file_that_is_no_script_says_so(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_faults(path)
    assert str(caught.value).startswith(f"{path}{said}")


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Name an existing fault script"):
        read_faults(tmp_path / "none.toml")


def test_a_script_in_python_is_checked_as_well() -> None:
    with pytest.raises(UsageError, match="fault 2: 'moment'"):
        FaultScript([fault(ANY_CALL, "drop"), fault(ANY_CALL, "cut", moment="after")])


def test_two_faults_of_the_same_words_are_two() -> None:
    twice = [fault("POST /batches", "drop", calls=1)] * 2
    assert len(FaultScript(twice).named) == 2


def test_every_kind_exists_somewhere_and_is_done_by_exactly_one_function() -> None:
    tables = [WIRE, SERVICE, COURSE, LINES]
    assert {what for table in tables for what in table} == set(What)
    assert EXECUTION.keys() <= WIRE.keys()
    assert REFUSING.keys() | SPOILING.keys() == WIRE.keys()
    assert not REFUSING.keys() & SPOILING.keys()
    assert {What.MISSING, *LINE_FAULTS} == LINES.keys()
    assert all(places_of(what) for what in What)


def test_any_call_means_those_that_the_kind_knows() -> None:
    assert fault(ANY_CALL, "drop").places == CALLS
    late = fault(ANY_CALL, "late", seconds=1)
    assert set(late.places) == {Place.CREATE, Place.DELETE_FILE, Place.CANCEL}
