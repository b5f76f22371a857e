"""plan(): total, deterministic, in a safe order, and it always says when there is something to do next."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ledger.states import FINAL_BATCH_STATES, BatchState
from batchrun.planning.actions import (
    Action,
    Cancel,
    Collect,
    Count,
    Create,
    Cut,
    Drop,
    Form,
    GoLive,
    Look,
    Poll,
    Recut,
    Release,
    RunCalls,
    Sweep,
    Tidy,
    Upload,
    Wait,
    Work,
    WriteOutputs,
)
from batchrun.planning.canary import Canary, Verdict, judge
from batchrun.planning.deadline import Pace
from batchrun.planning.facts import BatchFacts, JobFacts, Snapshot
from batchrun.planning.plan import RETRY_GATHER_COUNT, RETRY_GATHER_S, plan
from batchrun.planning.policy import FOREVER, UNREACHABLE_S
from batchrun.planning.queuefacts import Learned, QueueFacts, QueueKey

NOW = 1_000_000
times = st.integers(NOW - 5_000, NOW + 5_000)
profiles = st.sampled_from(["openai", "local", "other"])
QUEUE, OTHER_QUEUE = QueueKey("account", "m"), QueueKey("account", "other")
tokens = st.integers(0, 600_000)
learned = st.builds(
    Learned, tokens=tokens, at=times, stated=st.none() | tokens, until=st.just(0) | times
)
queues = st.builds(
    QueueFacts,
    key=st.sampled_from([QUEUE, OTHER_QUEUE]),
    configured=tokens,
    learned=st.none() | learned,
) | st.builds(QueueFacts, key=st.sampled_from([QUEUE, OTHER_QUEUE]), learned=learned)


canaries = st.builds(
    Canary,
    succeeded=st.integers(0, 3),
    undecided=st.integers(0, 3),
    causes=st.sampled_from([(), (("length", 1),), (("auth", 2), ("length", 1))]),
    max_failed=st.sampled_from([0.0, 0.3]),
    max_truncated=st.sampled_from([0.0, 0.3]),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    jobs = []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        has_open = draw(st.booleans())
        due = draw(st.sampled_from([0, 1, RETRY_GATHER_COUNT])) if has_open else 0
        is_held = draw(st.booleans())
        jobs.append(
            JobFacts(
                id=number,
                profile=draw(profiles),
                has_open_items=has_open,
                is_stale=draw(st.booleans()),
                is_paused=is_held or draw(st.booleans()),
                is_held=is_held,
                fresh_files=tuple((number * 10 + k, "m") for k in range(draw(st.integers(0, 2))))
                if has_open
                else (),
                queued_due=due,
                queued_next_at=draw(st.none() | st.integers(NOW + 1, NOW + 9_000))
                if has_open
                else None,
                queued_since=draw(st.integers(0, NOW)) if due else None,
                has_calls=has_open and draw(st.booleans()),
                canary=draw(st.none() | canaries),
                deadline_at=draw(st.none() | times) if has_open else None,
                open_count=1,
                pace=draw(st.sampled_from([None, Pace(profile="twin", concurrency=1)])),
                is_live=draw(st.booleans()),
            )
        )
    # A batch that is not final has items in flight, so its job has open items.
    with_items = [j for j in jobs if j.has_open_items]
    batches = []
    for number in range(1, draw(st.integers(0, 4)) + 1):
        state = draw(st.sampled_from(list(BatchState)))
        owner = draw(st.sampled_from(with_items)) if with_items else None
        if owner is None and state not in FINAL_BATCH_STATES:
            continue
        audit = draw(st.none() | times)
        sought = draw(st.none() | times)
        batches.append(
            BatchFacts(
                id=number,
                job=owner.id if owner else 99,
                profile=owner.profile if owner else draw(profiles),
                model="m",
                state=state,
                next_at=draw(times),
                audit_until=audit,
                sought_until=sought,
                cancel_requested=draw(st.booleans()),
                cancel_sent=draw(st.booleans()),
                queue=draw(st.sampled_from([None, QUEUE, OTHER_QUEUE])),
                tokens=draw(st.none() | st.integers(1, 300_000)),
                requests=draw(st.integers(1, 3)),
                is_admitted=draw(st.booleans()),
            )
        )
    holds = draw(st.lists(st.tuples(profiles, st.sampled_from(["", "m"]), times), max_size=2))
    exhausted = draw(st.sampled_from([frozenset(), frozenset({"local"})]))
    return Snapshot(
        jobs=tuple(jobs),
        batches=tuple(batches),
        holds=tuple(holds),
        queues=tuple(draw(st.lists(queues, max_size=2, unique_by=lambda queue: queue.key))),
        in_process=frozenset({"local"}),
        exhausted=exhausted,
        untidy=tuple(
            draw(st.lists(st.tuples(profiles, times), max_size=2, unique_by=lambda u: u[0]))
        ),
        quiet=draw(st.sampled_from([(), (("local", NOW + 600),)])),
        unreachable=draw(
            st.sampled_from([frozenset(), frozenset({"openai"}), frozenset({"twin"})])
        ),
        has_tools=draw(st.booleans()),
        is_tired=draw(st.booleans()),
    )


def batch_ids(action: Action) -> tuple[int, ...]:
    match action:
        case Poll(_, ids):
            return ids
        case Cancel(batch) | Drop(batch) | Collect(batch) | Upload(batch) | Create(batch):
            return (batch,)
        case Recut(batch):
            return (batch,)
        case Look(batch):
            return (batch,)
        case _:
            return ()


@given(snapshots())
def test_it_answers_every_snapshot_and_the_same_way_each_time(snapshot: Snapshot) -> None:
    assert plan(snapshot, NOW) == plan(snapshot, NOW)


@given(snapshots())
def test_a_wait_stands_alone_and_lies_in_the_future(snapshot: Snapshot) -> None:
    actions = plan(snapshot, NOW)
    waits = [a for a in actions if isinstance(a, Wait)]
    if waits:
        assert len(actions) == 1
        assert waits[0].until > NOW


def leaves(job: JobFacts, snapshot: Snapshot) -> bool:
    """Whether a job whose deadline comes, or has come, has still to leave its batches."""
    return not job.is_live or any(
        b.job == job.id and b.state <= BatchState.CREATED and not b.cancel_requested
        for b in snapshot.batches
    )


def is_all_final(snapshot: Snapshot) -> bool:
    """Nothing is open (or it is paused, or waits for functions that nobody named), no outputs are old, nothing is under audit or untidy, nothing lost is looked for."""
    paused = {j.id for j in snapshot.jobs if j.is_paused}
    held = {j.id for j in snapshot.jobs if j.is_held}

    def rests(batch: BatchFacts) -> bool:
        """It runs in our own process, and a person holds its job."""
        is_ours = batch.state == BatchState.CREATED and batch.profile in snapshot.in_process
        return is_ours and batch.job in held

    on_the_way = {BatchState.PLANNED, BatchState.UPLOADED, BatchState.CREATING}
    for profile, _ in snapshot.untidy:
        if profile in snapshot.unreachable:
            return False
        if not any(b.state in on_the_way for b in snapshot.batches if b.profile == profile):
            return False
    for job in snapshot.jobs:
        if job.is_stale and not job.has_open_items:
            return False
        if job.canary is not None and judge(job.canary) is Verdict.PASSED:
            return False
        waits = job.fresh_files or job.queued_due or job.queued_next_at is not None
        waits = waits or (job.has_calls and snapshot.has_tools)
        if job.deadline_at is not None and job.pace is not None:
            waits = waits or leaves(job, snapshot)
        if waits and not job.is_paused:
            return False
    for batch in snapshot.batches:
        if batch.state in FINAL_BATCH_STATES:
            if batch.audit_until is not None and batch.audit_until > NOW:
                return False
            sought = batch.sought_until if batch.state == BatchState.LOST else None
            if sought is not None and sought > max(NOW, batch.next_at):
                return False
        elif (
            batch.job not in paused
            or batch.cancel_requested
            or not (batch.state in {BatchState.PLANNED, BatchState.UPLOADED} or rests(batch))
            or (batch.audit_until is not None and batch.audit_until > NOW)
        ):
            return False
    return True


@given(snapshots())
def test_nothing_is_left_to_do_exactly_when_all_is_final(snapshot: Snapshot) -> None:
    assert (plan(snapshot, NOW) == ()) == is_all_final(snapshot)


@given(snapshots())
def test_no_batch_is_sent_and_given_up_in_one_plan(snapshot: Snapshot) -> None:
    actions = plan(snapshot, NOW)
    steps = Counter(
        i
        for a in actions
        if isinstance(a, Drop | Upload | Create | Collect | Recut)
        for i in batch_ids(a)
    )
    assert all(n == 1 for n in steps.values())
    states = {b.id: b.state for b in snapshot.batches}
    allowed = {
        Drop: {BatchState.PLANNED, BatchState.UPLOADED},
        Upload: {BatchState.PLANNED},
        Create: {BatchState.UPLOADED},
        Recut: {BatchState.PLANNED, BatchState.UPLOADED},
        Poll: {BatchState.CREATED},
        Cancel: {BatchState.CREATED},
        Look: {BatchState.LOST},
        Collect: {BatchState.ENDED},
    }
    for action in actions:
        for batch in batch_ids(action):
            assert states[batch] in allowed[type(action)]


@given(snapshots())
def test_looking_comes_before_collecting_and_collecting_before_sending(snapshot: Snapshot) -> None:
    rank = {Drop: 0, Sweep: 1, Cancel: 2, Work: 2, Poll: 2, Look: 2, Collect: 3, GoLive: 4}
    rank |= {
        Release: 4,
        Form: 4,
        Cut: 4,
        Count: 4,
        Recut: 4,
        Upload: 4,
        Create: 4,
        WriteOutputs: 5,
        RunCalls: 6,
        Tidy: 7,
        Wait: 8,
    }
    ranks = [rank[type(a)] for a in plan(snapshot, NOW)]
    assert ranks == sorted(ranks)


@given(snapshots())
def test_nothing_is_tried_with_an_unreachable_profile(snapshot: Snapshot) -> None:
    profile_of_batch = {b.id: b.profile for b in snapshot.batches}
    profile_of_job = {j.id: j.profile for j in snapshot.jobs}
    for action in plan(snapshot, NOW):
        touched = {profile_of_batch[b] for b in batch_ids(action)}
        match action:
            case (
                Sweep(profile)
                | Work(profile)
                | Poll(profile, _)
                | Tidy(profile)
                | GoLive(_, profile)
            ):
                touched.add(profile)
            case Form(job, _) | Cut(job):
                touched.add(profile_of_job[job])
            case _:
                pass
        if not isinstance(action, Drop):
            assert not touched & snapshot.unreachable


@given(snapshots())
def test_nothing_is_sent_while_it_is_held_or_its_job_is_paused(snapshot: Snapshot) -> None:
    held = {(p, m) for p, m, until in snapshot.holds if until > NOW}
    by_id = {b.id: b for b in snapshot.batches}
    jobs = {j.id: j for j in snapshot.jobs}
    for action in plan(snapshot, NOW):
        match action:
            case Upload(batch) | Create(batch):
                facts = by_id[batch]
                assert not {(facts.profile, ""), (facts.profile, facts.model)} & held
                assert facts.job not in jobs or not jobs[facts.job].is_paused
            case Form(job, _):
                assert not {(jobs[job].profile, ""), (jobs[job].profile, "m")} & held
                assert not jobs[job].is_paused
            case Cut(job):
                assert (jobs[job].profile, "") not in held
                assert not jobs[job].is_paused
            case RunCalls(job):
                assert not jobs[job].is_paused
            case _:
                pass


@given(snapshots())
def test_the_order_in_which_facts_are_given_does_not_matter_but_for_order(
    snapshot: Snapshot,
) -> None:
    turned = Snapshot(
        jobs=snapshot.jobs[::-1],
        batches=snapshot.batches[::-1],
        holds=snapshot.holds[::-1],
        queues=snapshot.queues[::-1],
        in_process=snapshot.in_process,
        exhausted=snapshot.exhausted,
        unreachable=snapshot.unreachable,
        untidy=snapshot.untidy,
        has_tools=snapshot.has_tools,
        is_tired=snapshot.is_tired,
    )

    def normal(actions: tuple[Action, ...]) -> set[str]:
        return {
            repr(Poll(a.profile, tuple(sorted(a.batches))) if isinstance(a, Poll) else a)
            for a in actions
        }

    assert normal(plan(turned, NOW)) == normal(plan(snapshot, NOW))


def batch(state: BatchState, **changes: object) -> BatchFacts:
    facts = {"id": 1, "job": 1, "profile": "openai", "model": "m", "state": state, **changes}
    return BatchFacts(**facts)  # type: ignore[arg-type]


def job(**changes: object) -> JobFacts:
    facts = {"id": 1, "profile": "openai", "has_open_items": True, "is_stale": True, **changes}
    return JobFacts(**facts)  # type: ignore[arg-type]


def test_a_batch_in_doubt_is_only_ever_looked_for() -> None:
    snapshot = Snapshot(jobs=(job(),), batches=(batch(BatchState.CREATING),))
    assert plan(snapshot, NOW) == (Sweep("openai"),)


def test_retries_wait_for_each_other_while_a_batch_of_their_job_runs() -> None:
    running = batch(BatchState.CREATED, next_at=NOW + 50)
    waiting = job(queued_due=2, queued_since=NOW - 10)
    assert plan(Snapshot(jobs=(waiting,), batches=(running,)), NOW) == (Wait(NOW + 50),)
    assert plan(Snapshot(jobs=(waiting,)), NOW) == (Cut(1),)
    long = job(queued_due=2, queued_since=NOW - RETRY_GATHER_S)
    assert plan(Snapshot(jobs=(long,), batches=(running,)), NOW) == (Cut(1),)
    many = job(queued_due=RETRY_GATHER_COUNT, queued_since=NOW)
    assert plan(Snapshot(jobs=(many,), batches=(running,)), NOW) == (Cut(1),)


def test_what_is_answered_live_waits_for_no_other_retries() -> None:
    running = batch(BatchState.CREATED, next_at=NOW + 50)
    waiting = job(queued_due=2, queued_since=NOW - 10, diverted_to="openai:live")
    assert plan(Snapshot(jobs=(waiting,), batches=(running,)), NOW) == (Cut(1),)
    local = job(profile="local", queued_due=2, queued_since=NOW - 10)
    here = batch(BatchState.CREATED, profile="local", next_at=NOW + 50)
    snapshot = Snapshot(jobs=(local,), batches=(here,), in_process=frozenset({"local"}))
    assert Cut(1) in plan(snapshot, NOW)


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ((("openai", "", NOW + 60),), Form(1, 7)),  # its own profile rests for a while
        ((("openai", "m", NOW + 60),), Form(1, 7)),  # the queue of its batches is full
        ((("openai:live", "", NOW + 60),), Wait(NOW + 60)),
        ((("openai", "", FOREVER),), None),  # an older ledger: nothing of the job may be sent
    ],
)
def test_a_diverted_job_is_held_by_where_it_goes_and_by_what_only_a_person_ends(
    holds: tuple[tuple[str, str, int], ...], expected: Action | None
) -> None:
    diverted = job(is_stale=False, fresh_files=((7, "m"),), diverted_to="openai:live")
    found = plan(Snapshot(jobs=(diverted,), holds=holds), NOW)
    assert found == (() if expected is None else (expected,))


def test_a_diverted_job_stops_only_where_its_other_profile_is_away() -> None:
    diverted = job(is_stale=False, fresh_files=((7, "m"),), diverted_to="openai:live")
    away = Snapshot(jobs=(diverted,), unreachable=frozenset({"openai"}))
    assert plan(away, NOW) == (Form(1, 7),)
    there = Snapshot(jobs=(diverted,), unreachable=frozenset({"openai:live"}))
    assert plan(there, NOW) == (Wait(NOW + UNREACHABLE_S),)


def test_calls_are_run_before_what_they_have_made_ready_is_sent_together() -> None:
    waiting = job(is_stale=False, queued_due=3, queued_since=NOW - 50, has_calls=True)
    assert plan(Snapshot(jobs=(waiting,), has_tools=True), NOW) == (RunCalls(1),)
    tired = Snapshot(jobs=(waiting,), has_tools=True, is_tired=True)
    assert plan(tired, NOW) == (Wait(NOW + 1),)
    assert plan(Snapshot(jobs=(waiting,)), NOW) == (Cut(1),)
    for enough in (
        replace(waiting, queued_since=NOW - RETRY_GATHER_S),
        replace(waiting, queued_due=RETRY_GATHER_COUNT),
    ):
        both = (Cut(1), RunCalls(1))
        assert plan(Snapshot(jobs=(enough,), has_tools=True), NOW) == both


def test_without_functions_no_time_ends_the_wait_for_a_call() -> None:
    assert plan(Snapshot(jobs=(job(is_stale=False, has_calls=True),)), NOW) == ()


def test_a_hold_on_a_profile_is_waited_out_not_polled_each_second() -> None:
    held = (("openai", "", NOW + 3_600),)
    running = batch(BatchState.CREATED, next_at=NOW + 50_000)
    waiting = job(queued_due=2, queued_since=NOW - 9_000)
    assert plan(Snapshot(jobs=(waiting,), batches=(running,), holds=held), NOW) == (
        Wait(NOW + 3_600),
    )


def test_a_server_that_wants_nothing_for_a_while_is_waited_for_not_asked_each_second() -> None:
    running = batch(BatchState.CREATED, profile="local")
    snapshot = Snapshot(
        jobs=(job(profile="local"),),
        batches=(running,),
        in_process=frozenset({"local"}),
        exhausted=frozenset({"local"}),
        quiet=(("local", NOW + 600),),
    )
    assert plan(snapshot, NOW) == (Wait(NOW + 600),)


def test_an_unreachable_profile_is_left_alone_for_a_while() -> None:
    snapshot = Snapshot(
        jobs=(job(),), batches=(batch(BatchState.CREATED),), unreachable=frozenset({"openai"})
    )
    assert plan(snapshot, NOW) == (Wait(NOW + 10),)


def test_a_batch_whose_next_try_is_later_than_its_hold_is_waited_for() -> None:
    planned = batch(BatchState.PLANNED, next_at=NOW + 90)
    snapshot = Snapshot(jobs=(job(is_stale=False),), batches=(planned,))
    assert plan(snapshot, NOW) == (Wait(NOW + 90),)
    held = Snapshot(
        jobs=(job(is_stale=False),), batches=(planned,), holds=(("openai", "", NOW + 200),)
    )
    assert plan(held, NOW) == (Wait(NOW + 200),)


@pytest.mark.parametrize("state", [BatchState.PLANNED, BatchState.UPLOADED])
def test_nothing_behind_a_hold_without_end_is_ever_waited_for(state: BatchState) -> None:
    held = (("openai", "", FOREVER),)
    waiting = job(is_stale=False, fresh_files=((1, "m"),), queued_due=1, queued_since=NOW)
    snapshot = Snapshot(jobs=(waiting,), batches=(batch(state, next_at=NOW),), holds=held)
    assert plan(snapshot, NOW) == ()
    running = batch(BatchState.CREATED, next_at=NOW + 90)
    both = replace(snapshot, batches=(*snapshot.batches, replace(running, id=2)))
    assert plan(both, NOW) == (Wait(NOW + 90),)


def test_a_lost_batch_is_looked_for_and_waited_for_until_its_time_is_over() -> None:
    lost = batch(BatchState.LOST, next_at=NOW, sought_until=NOW + 90)
    assert plan(Snapshot(batches=(lost,)), NOW) == (Look(1),)
    assert plan(Snapshot(batches=(lost,)), NOW - 50) == (Wait(NOW),)
    assert plan(Snapshot(batches=(lost,)), NOW + 90) == ()
    looked_at = batch(BatchState.LOST, next_at=NOW + 90, sought_until=NOW + 90)
    assert plan(Snapshot(batches=(looked_at,)), NOW) == ()


def test_files_are_tidied_when_nothing_is_open_or_once_a_day() -> None:
    untidy = (("openai", NOW),)
    assert plan(Snapshot(untidy=untidy), NOW) == (Tidy("openai"),)
    running = batch(BatchState.CREATED, next_at=NOW + 90_000)
    assert plan(Snapshot(batches=(running,), untidy=untidy), NOW) == (Wait(NOW + 86_400),)
    assert Tidy("openai") in plan(Snapshot(batches=(running,), untidy=untidy), NOW + 86_400)
    for state in (BatchState.PLANNED, BatchState.UPLOADED, BatchState.CREATING):
        on_its_way = batch(state, next_at=NOW + 90_000)
        snapshot = Snapshot(batches=(on_its_way,), untidy=untidy)
        assert plan(snapshot, NOW + 86_400) == (Wait(NOW + 90_000),)


def test_files_that_wait_to_be_tidied_wake_nobody_while_their_service_is_away() -> None:
    """An empty pass in between looked like a service that is back, and `wait` never gave up."""
    untidy = (("openai", NOW),)
    away = Snapshot(untidy=untidy, unreachable=frozenset({"openai"}))
    on_its_way = batch(BatchState.PLANNED, next_at=NOW + 300)
    assert plan(replace(away, batches=(on_its_way,)), NOW) == (Wait(NOW + 300),)
    assert plan(away, NOW) == (Wait(NOW + UNREACHABLE_S),)
