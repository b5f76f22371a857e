"""Windows other than a day: sent as they are written, waited for as long as they are, and outlived by their uploads."""

from dataclasses import replace

from runnerkit import DAY_S, NewWorld, items

from batchrun.service.options import Options


def test_a_window_of_a_week_is_sent_waited_for_and_outlived_by_its_input_file(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(windows={"7d": 7 * DAY_S}, validating_s=3 * DAY_S))
    world.write(items(2), window="7d")
    prepared = world.submit()
    assert [w.what for w in prepared.warnings] == ["completion window '7d'"]
    world.run()
    assert world.tally() == {"succeeded": 2}
    (batch,) = world.batches()
    assert batch["window"] == world.remotes()[0]["completion_window"] == "7d"
    file = world.service.get_file(batch["input_file_id"])
    assert file["expires_at"] - file["created_at"] == 16 * DAY_S


def test_without_a_window_it_is_a_day(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(1))
    prepared = world.submit()
    world.run()
    assert (prepared.warnings, world.batches()[0]["window"]) == ((), "24h")
    assert world.rows("select settings ->> 'window' as w from jobs") == [{"w": "24h"}]


def test_an_unknown_status_is_strange_after_two_windows_however_long_they_are(
    new_world: NewWorld,
) -> None:
    world = new_world(options=Options(windows={"7d": 7 * DAY_S}))
    world.wire.edit = lambda batch: replace(batch, status="queued_up")
    world.write(items(1), window="7d")
    world.submit()
    seen = []
    for days in (1, 13, 2):
        world.clock.advance(days * DAY_S)
        world.tick()
        seen.append(world.batches()[0]["needs_person"])
    assert seen == [0, 0, 1]
