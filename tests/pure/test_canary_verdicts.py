"""What a canary says: a table, and what must hold for every one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.planning.actions import Form, Release
from batchrun.planning.canary import Canary, Verdict, failure, judge
from batchrun.planning.facts import JobFacts, Snapshot
from batchrun.planning.plan import plan

OPEN, PASSED, FAILED = Verdict


def canary(succeeded: int, undecided: int = 0, *, share: float = 0.1, **causes: int) -> Canary:
    return Canary(
        succeeded=succeeded,
        undecided=undecided,
        causes=tuple(causes.items()),
        max_failed=share,
        max_truncated=share,
    )


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (canary(50), PASSED),
        (canary(0, 50), OPEN),
        (canary(45, auth=5), PASSED),  # at most 10 % may
        (canary(44, auth=6), FAILED),
        (canary(44, auth=3, timeout=3), FAILED),
        (canary(40, auth=5, length=5), PASSED),  # each has a limit of its own
        (canary(44, length=6), FAILED),
        (canary(0, 44, auth=6), FAILED),  # nobody waits for what cannot mend it
        (canary(45, 5), PASSED),  # nor for what cannot break it
        (canary(44, 6), OPEN),
        (canary(44, 1, auth=5), OPEN),
        (canary(45, 1, auth=4), PASSED),
        (canary(0), FAILED),  # nothing is left of it
        (canary(50, share=0.0), PASSED),
        (canary(49, 1, share=0.0), OPEN),
        (canary(49, share=0.0, auth=1), FAILED),
        (canary(71, share=0.29, auth=29), PASSED),  # 0.29 * 100 is less than 29
        (canary(0, share=1.0, auth=50), PASSED),
    ],
)
def test_the_verdict_of(found: Canary, verdict: Verdict) -> None:
    assert judge(found) is verdict


counts = st.integers(0, 60)
found = st.builds(
    lambda ok, undecided, auth, length, share: canary(
        ok, undecided, share=share, auth=auth, length=length
    ),
    counts,
    counts,
    counts,
    counts,
    st.floats(0, 1),
)


@given(found, st.data())
def test_no_outcome_of_the_undecided_changes_a_verdict(before: Canary, data: st.DataObject) -> None:
    verdict = judge(before)
    good = data.draw(st.integers(0, before.undecided))
    cut = data.draw(st.integers(0, before.undecided - good))
    bad = before.undecided - good - cut
    after = before._replace(
        succeeded=before.succeeded + good,
        undecided=0,
        causes=(("auth", before.failed + bad), ("length", before.truncated + cut)),
    )
    assert judge(after) is not OPEN
    if verdict is not OPEN:
        assert judge(after) is verdict


@given(found)
def test_a_failure_has_a_reason_and_nothing_else_has(canary: Canary) -> None:
    assert (failure(canary) is not None) == (judge(canary) is FAILED)


def test_the_reason_counts_the_causes_and_says_what_to_do() -> None:
    assert failure(canary(30, schema=8, refusal=4, length=8)) == (
        "canary: 12 of 50 items failed (8 schema, 4 refusal; at most 10 % may) and 8 of 50 answers were cut (at most 10 % may be). "
        "The rest is not sent. `batchrun resume` sends it as it is; a corrected job file that is submitted begins with a new canary"
    )


@pytest.mark.parametrize(
    ("found", "is_paused", "expected"),
    [
        (canary(4), False, [Release(1), Form(1, 7)]),
        (canary(4), True, [Release(1)]),  # a held job may learn that its canary passed
        (canary(0, 4), False, [Form(1, 7)]),  # the canary itself
        (canary(0, auth=4), True, []),
    ],
)
def test_the_rest_is_let_go_by_a_canary_that_passed(
    found: Canary, is_paused: bool, expected: list[object]
) -> None:
    job = JobFacts(
        id=1,
        profile="openai",
        has_open_items=True,
        is_stale=True,
        is_paused=is_paused,
        fresh_files=((7, "m"),),
        canary=found,
    )
    assert list(plan(Snapshot(jobs=(job,)), 1_000_000)) == expected
