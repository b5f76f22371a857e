"""Recovering at the wrong door: a profile or a ledger that never was in it brings nothing back, and lets nothing go either."""

from dataclasses import replace

import pytest
from recoverykit import became, finish, lose_database, recover, untroubled
from runnerkit import PROFILE, NewWorld, items

from batchrun.errors import UsageError
from batchrun.recovery.recovering import RecoverOptions

_OTHER = """
[profile.rehearsal]
base_url = "http://127.0.0.1:9/v1"
api_key_env = "REHEARSAL_KEY"
"""


def test_nothing_is_sent_with_a_profile_that_was_not_looked_at(new_world: NewWorld) -> None:
    """Nobody knows any more with which profiles the lost ledger had sent."""
    world = new_world()
    elsewhere = new_world(clock=world.clock)
    world.write(items(5))
    expected = untroubled(world)
    lose_database(world)
    (world.folder / "batchrun.toml").write_text(_OTHER)
    backends = {PROFILE: world.backend, "rehearsal": elsewhere.backend}
    wrong = replace(world.api(), backend="rehearsal", open_backend=backends.__getitem__)
    recovered = wrong.recover([world.job_file])
    assert (became(recovered), recovered.held) == ([], (PROFILE,))
    world.submit()
    world.tick()
    assert sum(world.charges().values()) == 5
    assert len(world.remotes()) == 1, "what was asked there once is not asked again"
    right = replace(wrong, backend=None)
    assert became(right.recover([world.job_file])) == ["collected"]
    finish(world)
    assert sum(world.charges().values()) == 5
    assert (world.output("results.jsonl"), world.output("failures.jsonl")) == expected


def test_a_ledger_that_nobody_ever_had_is_refused_and_lifts_no_hold(new_world: NewWorld) -> None:
    world = new_world()
    world.write(items(5))
    untroubled(world)
    lose_database(world)
    with pytest.raises(UsageError, match="no batch of this service is of ledger zzz"):
        world.api().recover([world.job_file], RecoverOptions(ledgers=("zzz",)))
    world.tick()
    assert len(world.remotes()) == 1
    assert became(recover(world)) == ["collected"]
    assert sum(world.charges().values()) == 5
