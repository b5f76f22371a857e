"""Events over a socket: what is signed wakes its batch, and nothing else changes anything."""

import pytest
from runnerkit import World, items
from webhookkit import Receiver, event, post, signed

from batchrun.backends.openai_webhooks import signature_check
from batchrun.errors import BatchrunError, HomeLocked, LedgerError, UsageError
from batchrun.ledger.lock import pass_lock
from batchrun.ledger.waking import Woken
from batchrun.model import Json
from batchrun.receiving.http import BODY_LIMIT_BYTES
from batchrun.receiving.inbox import Inbox
from batchrun.receiving.loop import passes
from batchrun.running.passresult import PassResult


def in_flight(world: World) -> str:
    """The id of the one batch, which was polled a moment ago."""
    world.write(items(2))
    world.submit()
    world.clock.advance(3_600)
    world.tick()
    (row,) = world.batches()
    assert row["next_at"] > world.clock.now()
    return str(row["remote_id"])


def is_due(world: World) -> bool:
    return bool(world.batches()[0]["next_at"] == 0)


def test_an_event_makes_its_batch_due_and_the_next_pass_collects_it(
    world: World, receiver: Receiver
) -> None:
    remote = in_flight(world)
    going = passes(world.api(), receiver.inbox)
    assert isinstance(next(going), PassResult)
    world.serve()
    assert receiver.send(event(remote)) == 204
    assert is_due(world)
    came_to = next(going)
    assert isinstance(came_to, PassResult)
    assert len(came_to.ended) == 1
    assert world.tally() == {"succeeded": 2}


def test_what_a_pass_has_put_off_meanwhile_is_due_all_the_same(
    world: World, receiver: Receiver
) -> None:
    """A pass may have asked just before the batch ended, and write its next poll after the event came."""
    remote = in_flight(world)
    world.serve()
    assert receiver.send(event(remote)) == 204
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("update batch_rows set next_at = ?", (world.clock.now() + 600,))
    next(passes(world.api(), receiver.inbox))
    assert world.tally() == {"succeeded": 2}


def test_a_process_that_dies_between_event_and_pass_leaves_the_batch_due(
    world: World, receiver: Receiver
) -> None:
    remote = in_flight(world)
    world.serve()
    assert receiver.send(event(remote)) == 204
    another = Inbox(signature_check("other"), lambda *_: Woken.UNKNOWN)
    next(passes(world.api(), another))
    assert world.tally() == {"succeeded": 2}


def test_many_events_are_one_pass(world: World, receiver: Receiver) -> None:
    for name in ("one", "two", "three"):
        path = world.write(items(1), world.folder / f"{name}.jsonl", job=name)
        world.submit(path)
    world.clock.advance(3_600)
    world.tick()
    world.serve()
    for n, row in enumerate(world.batches()):
        body = event(row["remote_id"])
        assert receiver.send(body, signed(body, f"wh_{n}")) == 204
    came_to = next(passes(world.api(), receiver.inbox))
    assert isinstance(came_to, PassResult)
    assert len(came_to.ended) == 3


def test_an_event_that_comes_again_does_nothing(world: World, receiver: Receiver) -> None:
    remote = in_flight(world)
    body = event(remote)
    assert receiver.send(body) == 204
    receiver.inbox.woken(0)
    world.tick()
    assert not is_due(world)
    assert receiver.send(body) == 204
    assert not is_due(world)
    assert receiver.inbox.woken(0) == frozenset()
    assert world.rows("select id from webhook_events") == [{"id": "wh_1"}]


def test_events_are_remembered_for_a_week(world: World) -> None:
    in_flight(world)
    api = world.api()
    assert api.wake("wh_1", "batch_none") is Woken.UNKNOWN
    assert api.wake("wh_1", "batch_none") is Woken.AGAIN
    world.clock.advance(8 * 86_400)
    api.wake("wh_2", "batch_none")
    assert world.rows("select id from webhook_events") == [{"id": "wh_2"}]


@pytest.mark.parametrize(
    ("remote_id", "kind"),
    [
        ("batch_of_another", "batch.completed"),
        (None, "response.completed"),
        (None, None),
        (7, "batch.failed"),
        ("", "batch.failed"),
    ],
)
def test_what_concerns_nothing_here_is_taken_and_ignored(
    world: World, receiver: Receiver, remote_id: Json, kind: Json
) -> None:
    in_flight(world)
    assert receiver.send(event(remote_id, kind)) == 204
    assert not is_due(world)
    assert receiver.inbox.woken(0) == frozenset()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"no json", b'{"type": "batch.completed"}', b"\xff\xfe"]
)
def test_a_body_that_says_nothing_changes_nothing(
    world: World, receiver: Receiver, body: bytes
) -> None:
    in_flight(world)
    assert receiver.send(body) in {204, 400}  # bytes that are no text cannot be signed
    assert not is_due(world)
    assert world.rows("select 1 from webhook_events") == []


def test_a_wrong_signature_changes_nothing(world: World, receiver: Receiver) -> None:
    body = event(in_flight(world))
    good = signed(body)
    for headers in (
        {},
        signed(body, key=b"another key"),
        signed(body, age_s=301),
        signed(body, age_s=-310),
        signed(body + b" "),
        good | {"webhook-id": "wh_2"},
        good | {"webhook-timestamp": "soon"},
        good | {"webhook-signature": "v1,\xe9"},
        {name: value for name, value in good.items() if name != "webhook-signature"},
    ):
        assert receiver.send(body, headers) == 400
    assert not is_due(world)
    assert world.rows("select 1 from webhook_events") == []
    assert receiver.send(body, good) == 204


def test_only_small_posts_are_read(world: World, receiver: Receiver) -> None:
    in_flight(world)
    large = b" " * (BODY_LIMIT_BYTES + 1)
    assert receiver.send(large, signed(large)) == 413
    assert post(receiver.url, b"", {}, method="GET") == 405


def test_a_secret_that_can_be_none_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError) as caught:
        signature_check("whsec_not base64!")
    assert "not base64!" not in str(caught.value)


def test_where_the_ledger_cannot_be_written_the_service_is_to_send_again() -> None:
    def wake(_event_id: str, _remote_id: str) -> Woken:
        raise LedgerError("the disk is full")

    inbox = Inbox(lambda _body, _headers: True, wake)
    assert inbox.take(event("batch_1"), {}) == 503
    assert inbox.woken(0) == frozenset()


def test_what_could_not_be_passed_for_is_kept_for_the_next_pass(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = in_flight(world)
    world.serve()
    receiver.send(event(remote))
    monkeypatch.setattr("batchrun.receiving.loop.BUSY_S", 0.0)
    monkeypatch.setattr("batchrun.receiving.loop.LOOK_S", 0.0)
    api, asked = world.api(lock_wait_s=0), list[frozenset[str]]()
    ours = type(api).pass_for

    def pass_for(_: object, remote_ids: frozenset[str], *, work_s: float) -> PassResult:
        asked.append(remote_ids)
        if len(asked) == 1:
            raise HomeLocked("another batchrun is at work")
        if len(asked) == 2:
            raise LedgerError("the disk is full")
        return ours(api, remote_ids, work_s=work_s)

    monkeypatch.setattr(type(api), "pass_for", pass_for)
    going = passes(api, receiver.inbox)
    assert isinstance(next(going), BatchrunError)
    assert isinstance(next(going), PassResult)
    assert asked == [frozenset({remote})] * 3
    assert world.tally() == {"succeeded": 2}


def test_a_pass_waits_for_the_lock_and_events_do_not(world: World, receiver: Receiver) -> None:
    remote = in_flight(world)
    with pass_lock(world.home, wait_s=0):
        assert receiver.send(event(remote)) == 204
    assert is_due(world)
