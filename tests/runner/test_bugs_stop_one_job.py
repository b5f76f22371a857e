"""A bug that is met while one job is prepared is told as a bug, and hides no other job's fate."""

import pytest
from runnerkit import World, items

from batchrun.api import Prepared, worst_exit_code
from batchrun.cli.errors import show_error
from batchrun.cli.invocation import Invocation
from batchrun.errors import Unexpected
from batchrun.takingitems import SubmitOptions


def _confirm(prepared: Prepared) -> bool:
    if prepared.job == "buggy":
        raise ValueError("not enough values to unpack")
    return True


def test_the_jobs_before_and_after_one_with_a_bug_are_sent(world: World) -> None:
    names = ["first", "buggy", "last"]
    files = [world.write(items(2), world.folder / f"{name}.jsonl", job=name) for name in names]
    prepared, result = world.api().submit(files, SubmitOptions(), confirm=_confirm)
    assert [job.job for job in prepared if job.tally is not None] == ["first", "last"]
    assert isinstance(prepared[1].error, Unexpected)
    assert result is not None
    assert not result.problems
    world.run()
    assert {job.name for job in world.api().status()} == {"first", "last"}
    assert all(not job.is_open for job in world.api().status())


def test_a_bug_in_one_job_is_told_as_a_bug_with_the_name_of_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = show_error(Unexpected("buggy", ValueError("five")), Invocation(["run"]))
    told = capsys.readouterr().err
    assert code == 1
    assert "a bug in batchrun, in job 'buggy': ValueError: five." in told
    assert "Please report it" in told
    assert worst_exit_code([4, 0, code, 5]) == 1
