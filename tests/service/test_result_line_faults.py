"""Result files as a bad service writes them: lines left out, doubled, made up, spoiled; the file itself stays consistent."""

import json

import pytest
from faultkit import fault
from servicekit import Desk, OpenDesk, request

from batchrun.model import JsonObject
from batchrun.service.faults.fault import Fault
from batchrun.service.responders.script import Rule


def written(open_desk: OpenDesk, *faults: Fault, metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of the output file of a batch of a, b, c and d."""
    desk = open_desk(faults=list(faults))
    batch_id = desk.create(*map(request, "abcd"), metadata=metadata or {})
    desk.work()
    return content(desk, batch_id)


def content(desk: Desk, batch_id: str) -> bytes:
    file_id = desk.batch(batch_id)["output_file_id"]
    with desk.service.open_content(file_id) as source:
        raw = source.read()
    assert desk.service.get_file(file_id)["bytes"] == len(raw)
    assert desk.batch(batch_id)["request_counts"]["completed"] == 4
    assert set(dict(desk.service.charges()).values()) == {1}
    return raw


def ids(raw: bytes) -> list[str]:
    return [json.loads(line)["custom_id"] for line in raw.splitlines()]


def lines(raw: bytes) -> list[JsonObject]:
    return [json.loads(line) for line in raw.splitlines()]


@pytest.mark.parametrize(
    ("bad", "left"),
    [
        (fault("output file", "missing", custom_id="^b$"), ["a", "c", "d"]),
        (fault("output file", "missing", every=2), ["a", "c"]),
        (fault("output file", "missing", calls=[1, 4]), ["b", "c"]),
        (fault("output file", "missing", metadata={"job": "x"}), ["a", "b", "c", "d"]),
        (fault("output file", "missing", from_s=5), ["a", "b", "c", "d"]),
        (fault("output file", "duplicate", custom_id="b"), ["a", "b", "b", "c", "d"]),
        (
            fault("output file", "unknown", custom_id="b"),
            ["a", "b", "stranger-b", "c", "d"],
        ),
    ],
)
@pytest.mark.fault(24, 25, 26)
def test_lines_are_missing_doubled_or_made_up(
    open_desk: OpenDesk, bad: Fault, left: list[str]
) -> None:
    assert ids(written(open_desk, bad, metadata={"job": "y"})) == left


@pytest.mark.fault(25)
def test_two_lines_contradict_each_other(open_desk: OpenDesk) -> None:
    one, other = lines(written(open_desk, fault("output file", "contradict", calls=1)))[:2]
    assert one["custom_id"] == other["custom_id"] == "a"
    assert (one["response"]["status_code"], other["response"]["status_code"]) == (200, 500)


@pytest.mark.fault(28)
def test_a_line_has_both_or_neither(open_desk: OpenDesk) -> None:
    both, neither = lines(
        written(
            open_desk,
            fault("output file", "both", calls=1),
            fault("output file", "neither", calls=2),
        )
    )[:2]
    assert both["response"]["status_code"] == 200
    assert both["error"]["code"] == "server_error"
    assert (neither["response"], neither["error"]) == (None, None)


@pytest.mark.fault(27, 28)
def test_any_key_of_a_line_is_something_else(open_desk: OpenDesk) -> None:
    first, second = lines(
        written(
            open_desk,
            fault("output file", "show", calls=1, set={"custom_id": 3}),
            fault("output file", "show", calls=2, nulls=["custom_id"], set={"response": "no"}),
        )
    )[:2]
    assert first["custom_id"] == 3
    assert (second["custom_id"], second["response"]) == (None, "no")


@pytest.mark.fault(27, 44, 46)
def test_a_line_is_garbage_of_any_text_and_size(open_desk: OpenDesk) -> None:
    raw = written(
        open_desk,
        fault("output file", "garbage", calls=1),
        fault("output file", "garbage", calls=2, text='{"a": "\u2028"}'),
        fault("output file", "garbage", calls=3, text="[", bytes=100_000),
    )
    first, second, third, fourth, end = raw.split(b"\n")
    assert first.startswith(b"<html>")
    assert json.loads(second) == {"a": "\u2028"}
    assert third == b"[" * 100_000
    assert json.loads(fourth)["custom_id"] == "d"
    assert end == b""


def test_a_file_of_which_every_line_is_missing_does_not_exist(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("output file", "missing")])
    batch_id = desk.create(request("a"))
    desk.work()
    batch = desk.batch(batch_id)
    assert (batch["status"], batch["output_file_id"]) == ("completed", None)
    assert batch["usage"]["total_tokens"] > 0


def test_the_error_file_has_faults_of_its_own(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[fault("error file", "duplicate"), fault("output file", "both", custom_id="x")],
        script=[Rule(status=400)],
    )
    batch_id = desk.create(request("a"))
    desk.work()
    assert [line["custom_id"] for line in desk.errors(batch_id)] == ["a", "a"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_missing_line_stays_missing_whatever_else_strikes_it(
    open_desk: OpenDesk, order: int
) -> None:
    bad = [fault("output file", "missing", calls=1), fault("output file", "duplicate", calls=1)]
    assert ids(written(open_desk, *bad[::order])) == ["b", "c", "d"]


def test_several_faults_of_a_line_add_up(open_desk: OpenDesk) -> None:
    raw = written(
        open_desk,
        fault("output file", "both", calls=1),
        fault("output file", "duplicate", calls=1),
        fault("output file", "garbage", calls=2, text="{"),
        fault("output file", "unknown", calls=[1, 2]),
    )
    written_lines = raw.splitlines()
    assert written_lines.pop(3) == b"{"
    raw = b"\n".join(written_lines)
    assert ids(raw) == ["a", "a", "stranger-a", "stranger-b", "c", "d"]
    assert all(line["error"] for line in lines(raw)[:3])


def test_chance_follows_the_request_and_not_its_place_in_the_file(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("output file", "missing", probability=0.5)])
    names = [f"n{number}" for number in range(30)]
    one = desk.create(*map(request, names))
    other = desk.create(*map(request, reversed(names)))
    desk.work()
    assert sorted(desk.outputs(one)) == sorted(desk.outputs(other))
    assert 4 < len(desk.outputs(one)) < 26
