"""Result files that were made to break their reader: each line becomes an answer, a failure or an incident, and its neighbours their answers."""

import json
from collections.abc import Callable

import pytest
from processkit import in_process
from runnerkit import World, items

from batchrun.model import JsonObject

COUNT = 4


def answered(world: World, edit: Callable[[list[bytes]], list[bytes]], **changes: object) -> World:
    """Four items; the lines of the output file as `edit` makes them of theirs."""
    world.wire.content = lambda _, whole: b"".join(
        line + b"\n" for line in edit(whole.split(b"\n")[:-1])
    )
    world.write(items(COUNT), **changes)  # type: ignore[arg-type]  # keys of the job line
    world.submit()
    world.run()
    return world


def body_of(line: bytes, text: str) -> bytes:
    """The line with another answer."""
    loaded: JsonObject = json.loads(line)
    loaded["response"]["body"]["output"][0]["content"][0]["text"] = text
    return json.dumps(loaded, ensure_ascii=False).encode("utf-8", "surrogatepass")


def others_are_answered(world: World) -> None:
    answers = world.answers()
    assert {name: answers.get(name) for name in ("i0", "i2", "i3")} == {
        f"i{n}": f"Review: text {n}" for n in (0, 2, 3)
    }
    # That tokens do not add up any more is true, and for verify to say.
    assert {outcome.name for outcome in world.api().verify().broken} <= {"usage-adds-up"}


TEXTS = {
    "10 MB": "x" * 10_000_000,
    "U+2028, U+2029, U+0085, form feeds": "a\u2028b\u2029c\u0085d\x0b\x0ce",
    "NUL": "a\0b",
    "terminal escapes": "\x1b]52;c;AAAA\x07",
    "JSON bomb as text": "[" * 100_000,
    "a million quotes": '"\\' * 500_000,
    "every plane": "\ufffe\U0010ffff\U000e0001",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.fault(42, 44, 46, 47)
def test_any_text_is_an_answer_and_comes_out_as_it_went_in(world: World, text: str) -> None:
    answered(
        world,
        lambda lines: [lines[0], body_of(lines[1], text), *lines[2:]],
        output={"files": "{{ id }}.txt", "csv": True},
    )
    assert world.incidents() == []
    others_are_answered(world)
    written = [json.loads(line) for line in world.output("results.jsonl").split(b"\n")[:-1]]
    assert written[1]["output"] == text
    assert world.output("files/i1.txt") == text.encode()


@pytest.mark.fault(43)
def test_half_a_character_is_replaced_and_its_answer_kept(world: World) -> None:
    answered(
        world,
        lambda lines: [lines[0], lines[1].replace(b"Review: text 1", b"a\\ud800b"), *lines[2:]],
    )
    assert world.answers()["i1"] == "a\ufffdb"
    others_are_answered(world)


HOSTILE = {
    "nested without end": b'{"custom_id":"%b","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "objects without end": b'{"custom_id":"%b","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "NaN": b'{"custom_id":"%b","response":{"status_code":200,"body":NaN},"error":NaN}',
    "a number of a megabyte": b'{"custom_id":"%b","response":' + b"9" * 1_000_000 + b"}",
    "1e999": b'{"custom_id":"%b","response":{"status_code":1e999,"body":{"output":1e999}}}',
    "invalid UTF-8": b'{"custom_id":"%b","response":{"status_code":200,"body":{"output":"\xff\xfe"}}}',
    "half a line": b'{"custom_id":"%b","response":{"status_code":200,"bo',
    "noise": bytes(range(1, 10)) + b"\x0b\x80\xff" * 1_000,
    "10 MB of noise": b"\xff" * 10_000_000,
    "10 MB of brackets": b"[" * 10_000_000,
    "65 MB of brackets": b"[" * 65_000_000,
    "UTF-16": '{"custom_id":"1"}'.encode("utf-16"),
    "a stranger, hostile": b'{"custom_id":"../../etc/passwd\\u0000\\u001b[2J"}',
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.fault(26, 27, 43, 46, 47, 48, 49)
def test_a_hostile_line_is_a_failure_or_an_incident_of_its_own(
    world: World, hostile: bytes
) -> None:
    def edit(lines: list[bytes]) -> list[bytes]:
        name = json.loads(lines[1])["custom_id"].encode()
        return [lines[0], hostile.replace(b"%b", name).replace(b"\n", b""), *lines[2:]]

    answered(world, edit, attempts=1)
    assert world.states()["i1"] == "failed"
    assert set(world.failures().values()) <= {"missing_result", "malformed_result", "empty_output"}
    told = [kind for kind in world.incidents() if kind != "usage_differs"]
    assert len(told) == (world.failures()["i1"] == "missing_result")
    others_are_answered(world)
    for name in ("results.jsonl", "failures.jsonl"):
        for line in world.output(name).split(b"\n")[:-1]:
            json.loads(line.decode())


@pytest.mark.fault(39, 46)
def test_many_long_lines_are_read_in_bounded_memory(world: World) -> None:
    """60 answers of 2 MB: as bytes they would be 120 MB, as anything that is parsed more."""
    world.write(items(60))
    world.submit()
    world.serve()
    world.clock.advance(60)
    world.embedded.close()
    done = in_process(
        world,
        """
        def content(_, whole):
            return whole.replace(b"Review: ", b"Review: " + b"x" * 2_000_000)
        world.wire.content = content
        import tracemalloc
        tracemalloc.start()
        world.tick()
        print(world.tally()["succeeded"], tracemalloc.get_traced_memory()[1] // 1_000_000)
        """,
    )
    assert done.returncode == 0, done.stderr
    succeeded, megabytes = map(int, done.stdout.split())
    assert succeeded == 60
    # The wire of this test itself holds the file twice while it edits it.
    assert megabytes < 600


@pytest.mark.parametrize(
    "image",
    [
        {},
        {"sha256": ["x"], "format": "png", "bytes": 1},
        {"sha256": "x", "format": "/../../../escaped", "bytes": "many"},
    ],
    ids=["empty", "no hash", "a path"],
)
@pytest.mark.parametrize("address", [None, "https://images.example/1"])
def test_what_a_service_claims_of_images_is_not_taken_for_what_was_decoded(
    world: World, image: JsonObject, address: str | None
) -> None:
    made = {"type": "image", "url": address, "images": [image]}
    call = {"type": "code_interpreter_call", "id": "ci_1", "outputs": [made]}

    def edit(lines: list[bytes]) -> list[bytes]:
        loaded: JsonObject = json.loads(lines[1])
        loaded["response"]["body"]["output"].append(call)
        return [lines[0], json.dumps(loaded).encode(), *lines[2:]]

    answered(world, edit, output={"csv": True})
    others_are_answered(world)
    told = [json.loads(line) for line in world.output("results.jsonl").splitlines()]
    (shown,) = [one["code_calls"][0]["outputs"] for one in told if "code_calls" in one]
    assert shown == [{"type": "image", "url": address}]
