"""What `forget JOB ITEM` does to spool files: her lines become spaces, everybody else's bytes stay where they are, and `verify` still proves them."""

import json
from pathlib import Path

import pytest
from forgetkit import HERS, OTHERS, SHE, everywhere, forget, lives
from keepkit import CANARY
from runnerkit import World


def test_all_other_items_stay_byte_for_byte(world: World) -> None:
    lives(world)
    before = {n: world.api().explain("reviews", n) for n in ("i0", "i1", "i2")}
    raws = [attempt.raw for told in before.values() for attempt in told.attempts]
    assert all(raws)
    lines = [x for x in world.output("results.jsonl").splitlines() if CANARY.encode() not in x]
    forget(world, SHE)
    after = {n: world.api().explain("reviews", n) for n in ("i0", "i1", "i2")}
    for name, told in after.items():
        assert told.request == before[name].request
        assert told.attempts == before[name].attempts
        assert told.output == before[name].output
    assert world.output("results.jsonl").splitlines() == lines
    manifest = json.loads(world.output("manifest.json"))
    assert manifest["counts"]["items"] == 3
    assert world.tick_moment() is None, "nothing is left to do: the outputs are up to date"


def test_other_items_of_a_blanked_file_can_still_be_sent(world: World) -> None:
    lives(world)
    forget(world, SHE)
    world.api().retry("reviews", redo=True)
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_lines_of_other_items_that_only_a_tolerant_reader_understands_stay(world: World) -> None:
    """A lone surrogate, which strict JSON readers refuse, makes no answer anybody's."""
    world.write([*OTHERS, HERS])
    world.submit()
    spoilt = b'"text":"\\ud800'

    def spoil(_: str, content: bytes) -> bytes:
        return (
            b"".join(
                line.replace(b'"text":"', spoilt, 1) if b'"2-1-' in line else line
                for line in content.splitlines(keepends=True)
            )
            + (f'{{"garbage": "{CANARY}\n').encode()
        )

    world.wire.content = spoil
    world.run()
    before = world.api().explain("reviews", "i1").attempts[0].raw
    assert before is not None
    forget(world, SHE)
    assert world.api().explain("reviews", "i1").attempts[0].raw == before
    assert everywhere(world) == []


def heal(world: World, path: Path, damaged: bytes, sound: bytes) -> None:
    """As it is once more, but for the checksum, which is that of a file with her lines in it."""
    path.write_bytes(path.read_bytes().replace(damaged, sound))
    with world.ledger() as ledger, ledger.transaction():
        for table in ("request_files", "result_files"):
            ledger.execute(f"update {table} set checksum = null")


def test_a_damaged_line_of_another_item_stays_to_be_looked_at(world: World) -> None:
    world.write([*OTHERS, HERS])
    world.submit()
    world.run()
    path = world.home.result_file(1, 0)
    path.write_bytes(path.read_bytes().replace(b'"custom_id":"2-', b'"custom_xx":"2-'))
    line = world.api().explain("reviews", "i1").attempts[0].raw
    forget(world, SHE)
    assert world.api().explain("reviews", "i1").attempts[0].raw == line
    assert everywhere(world) == []
    heal(world, path, b"custom_xx", b"custom_id")


@pytest.mark.parametrize(
    ("folder", "sound", "damaged"),
    [("requests", b'"url"', b'"uRl"'), ("results", b'"status_code"', b'"status_Code"')],
)
def test_what_was_damaged_before_is_still_named_afterwards(
    world: World, folder: str, sound: bytes, damaged: bytes
) -> None:
    """The checksum of what is left of a damaged file would prove nothing."""
    world.write([*OTHERS, HERS])
    world.submit()
    world.run()
    (path,) = (world.home.path / "spool" / folder).iterdir()
    path.write_bytes(path.read_bytes().replace(sound, damaged))
    forget(world, SHE)
    assert everywhere(world) == []
    assert f"{folder}-unchanged" in {outcome.name for outcome in world.api().verify().broken}
    heal(world, path, damaged, sound)
