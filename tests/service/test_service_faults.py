"""Faults of the service itself, met in process and over HTTP alike: what it shows, what it lists, and what takes effect late."""

import openai
import pytest
from faultkit import connected, fault
from servicekit import DAY_S, HOUR_S, RESPONSES, Desk, OpenDesk, jsonl, request

from batchrun.service.refusals import ServiceError


def wanted(file_id: str, **changes: object) -> dict[str, object]:
    """The parameters of a create."""
    return {
        "input_file_id": file_id,
        "endpoint": RESPONSES,
        "completion_window": "24h",
        **changes,
    }


def listing(desk: Desk, **parameters: object) -> list[str]:
    page = desk.service.list_batches(**parameters)  # type: ignore[arg-type]
    return [batch["id"] for batch in page["data"]]


def three(desk: Desk) -> list[str]:
    """Ids of three batches, an hour apart, oldest first."""
    made = []
    for name in "abc":
        made.append(desk.create(request(name), metadata={"name": name}))
        desk.clock.advance(HOUR_S)
    return made


@pytest.mark.fault(4, 11)
def test_a_late_create_is_given_up_and_lands_later(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("POST /batches", "late", seconds=600, calls=1)])
    file_id = desk.upload(jsonl(request("a")))
    with pytest.raises(ServiceError) as caught:
        desk.service.create_batch(wanted(file_id))
    assert caught.value.status == 504
    desk.clock.advance(599)
    assert listing(desk) == []
    desk.clock.advance(1)
    (batch_id,) = listing(desk)
    desk.work()
    assert desk.outputs(batch_id) == ["a"]
    assert dict(desk.service.charges()) == {"a": 1}


def test_a_late_create_whose_file_is_gone_by_then_makes_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("POST /batches", "late", seconds=600)])
    file_id = desk.upload(jsonl(request("a")))
    with pytest.raises(ServiceError):
        desk.service.create_batch(wanted(file_id))
    desk.service.delete_file(file_id)
    desk.clock.advance(600)
    assert listing(desk) == []


def test_a_late_deletion_is_confirmed_and_bites_later(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("DELETE /files/{id}", "late", seconds=600)])
    file_id = desk.upload(jsonl(request("a")))
    assert desk.service.delete_file(file_id)["deleted"]
    desk.clock.advance(599)
    assert desk.service.create_batch(wanted(file_id))["status"] == "validating"
    desk.clock.advance(1)
    with pytest.raises(ServiceError, match="No such File"):
        desk.service.get_file(file_id)


def test_a_late_cancel_is_confirmed_and_lines_run_on_until_it_lands(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[fault("POST /batches/{id}/cancel", "late", seconds=600)],
    )
    batch_id = desk.create(request("a"))
    assert desk.service.cancel_batch(batch_id)["status"] == "validating"
    desk.clock.advance(600)
    assert desk.status(batch_id) == "cancelling"


def test_late_effects_survive_the_process(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("POST /batches", "late", seconds=600)])
    with pytest.raises(ServiceError):
        desk.create(request("a"))
    desk.reopen()
    desk.clock.advance(600)
    assert len(listing(desk)) == 1


@pytest.mark.fault(3)
def test_what_is_new_is_shown_and_listed_late(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("any call", "lag", seconds=HOUR_S + 1)])
    old, _, _ = three(desk)
    file_id = desk.upload(jsonl(request("a")))
    for call in (desk.service.get_file, desk.service.open_content):
        with pytest.raises(ServiceError, match="No such File"):
            call(file_id)
    young = desk.create(request("d"))
    with pytest.raises(ServiceError, match="No such Batch"):
        desk.batch(young)
    assert old in listing(desk)
    assert young not in listing(desk)
    assert listing(desk, limit=1)[0] != young, "the lag is not an empty page"
    desk.clock.advance(HOUR_S + 1)
    assert listing(desk)[0] == young
    assert desk.batch(young)["id"] == young


@pytest.mark.fault(3)
def test_batches_vanish_for_a_while_or_for_ever(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("GET /batches/{id}", "vanish", metadata={"name": "a"}),
            fault("GET /batches/{id}", "vanish", metadata={"name": "b"}, times=2),
            fault("POST /batches/{id}/cancel", "vanish", metadata={"name": "c"}),
            fault("GET /batches", "vanish", metadata={"name": "b"}),
        ]
    )
    a, b, c = three(desk)
    for batch_id in (a, a, b, a, b):
        with pytest.raises(ServiceError, match=batch_id):
            desk.batch(batch_id)
    assert desk.batch(b)["id"] == b
    with pytest.raises(ServiceError, match=c):
        desk.service.cancel_batch(c)
    assert listing(desk) == [c, a]
    assert listing(desk, after=c) == [a]
    assert [batch["id"] for batch in desk.service.truth()["batches"]] == [a, b, c]


@pytest.mark.fault(3)
def test_a_result_file_is_gone_when_it_should_be_fetched(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[fault("GET /files/{id}/content", "vanish", filename=r"_output\.jsonl$")]
    )
    batch_id = desk.create(request("a"))
    desk.work()
    with pytest.raises(ServiceError, match="No such File"):
        desk.outputs(batch_id)
    assert desk.service.get_file(desk.batch(batch_id)["output_file_id"])["bytes"] > 0


def test_a_listing_oldest_first_and_one_that_ignores_after(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("GET /batches", "oldest_first", until_s=4 * HOUR_S),
            fault("GET /batches", "ignore_after", from_s=4 * HOUR_S),
        ]
    )
    listing(desk)  # the script begins
    made = three(desk)
    assert listing(desk, limit=2) == made[:2]
    assert listing(desk, limit=2, after=made[1]) == made[2:]
    desk.clock.advance(HOUR_S)
    made.reverse()
    page = desk.service.list_batches(limit=2, after=made[1])
    assert [batch["id"] for batch in page["data"]] == made[:2]
    assert page["has_more"]


@pytest.mark.fault(21, 22, 24)
def test_a_batch_is_shown_with_other_values(open_desk: OpenDesk) -> None:
    counts = {"total": 1, "completed": 0, "failed": 0}
    desk = open_desk(
        faults=[
            fault("GET /batches/{id}", "show", set={"status": "paused"}, calls=1),
            fault("GET /batches/{id}", "show", nulls=["output_file_id"], calls=2),
            fault("GET /batches/{id}", "show", set={"output_file_id": ""}, calls=3),
            fault("GET /batches/{id}", "show", set={"request_counts": counts}, calls=4),
            fault("GET /batches/{id}", "show", set={"status": "failed"}, calls=5),
            fault("POST /batches", "show", set={"id": "batch_other"}, calls=1),
        ]
    )
    assert desk.create(request("a")) == "batch_other"
    (batch_id,) = listing(desk)
    desk.work()
    with connected(desk) as client:
        said = [client.batches.retrieve(batch_id) for _ in range(6)]
    assert str(said[0].status) == "paused"
    assert said[1].output_file_id is None
    assert not said[2].output_file_id
    assert said[3].request_counts is not None
    assert said[3].request_counts.completed == 0
    assert said[4].status == "failed"
    assert said[4].output_file_id
    assert said[5].status == "completed"
    (truly,) = desk.service.truth()["batches"]
    assert (truly["status"], truly["request_counts"]["completed"]) == ("completed", 1)


def test_the_listing_and_the_answer_to_a_cancel_lie_too(open_desk: OpenDesk) -> None:
    lie = fault(
        ["GET /batches", "POST /batches/{id}/cancel"],
        "show",
        set={"status": "odd"},
        metadata={"name": "a"},
    )
    desk = open_desk(faults=[lie])
    _, _, c = three(desk)
    page = desk.service.list_batches()
    assert [batch["status"] for batch in page["data"]] == ["validating", "validating", "odd"]
    assert desk.service.cancel_batch(page["last_id"])["status"] == "odd"
    assert desk.service.cancel_batch(c)["status"] == "cancelling"


def test_a_bad_create_is_refused_as_ever(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("any call", "late", seconds=5)])
    with connected(desk) as client, pytest.raises(openai.BadRequestError, match="metadata"):
        client.batches.create(**wanted("file-1", metadata={"a": "b" * 1_000}))  # type: ignore[arg-type]


@pytest.mark.fault(10)
def test_validation_refuses_batches_by_number(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("validation", "fail", code="token_limit_exceeded", calls=[1, 2], message="Full."),
            fault("validation", "fail", calls=3),
        ]
    )
    made = [desk.create(request(name)) for name in "abcd"]
    desk.work()
    assert [desk.status(batch_id) for batch_id in made] == [*["failed"] * 3, "completed"]
    (error,) = desk.batch(made[0])["errors"]["data"]
    assert (error["code"], error["message"]) == ("token_limit_exceeded", "Full.")
    assert desk.batch(made[2])["errors"] is None
    assert dict(desk.service.charges()) == {"d": 1}


def test_a_status_lasts_longer_than_it_should(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("validation", "stall", seconds=100),
            fault("finalizing", "stall", seconds=50),
            fault("cancelling", "stall", seconds=70, calls=2),
        ]
    )
    one, other = desk.create(request("a")), desk.create(request("b"))
    desk.work()
    assert desk.status(one) == "validating"
    desk.service.cancel_batch(other)
    desk.clock.advance(69)
    desk.work()
    assert desk.status(other) == "cancelling"
    desk.clock.advance(31)
    desk.work()
    assert (desk.status(one), desk.status(other)) == ("finalizing", "cancelled")
    desk.clock.advance(50)
    desk.work()
    assert desk.status(one) == "completed"


def test_a_late_expiry_lets_lines_run_after_the_window(open_desk: OpenDesk) -> None:
    desk = open_desk(faults=[fault("expiry", "stall", seconds=HOUR_S, calls=1)])
    late, punctual = desk.create(request("a")), desk.create(request("b"))
    desk.service.cancel_batch(desk.create(request("c")))
    desk.clock.advance(DAY_S + HOUR_S // 2)
    desk.work()
    assert desk.outputs(late) == ["a"], "its window was over, and it ran all the same"
    assert desk.status(punctual) == "expired"
    desk.faults = [fault("expiry", "stall", seconds=HOUR_S)]
    desk.reopen()
    stuck = desk.create(request("d"), request("e"))
    desk.clock.advance(DAY_S + HOUR_S)
    desk.work()
    assert desk.status(stuck) == "expired"


@pytest.mark.fault(28)
def test_lines_are_refused_delayed_and_charged_by_the_script(open_desk: OpenDesk) -> None:
    desk = open_desk(
        faults=[
            fault("execution", "status", status=429, code="slow_down", custom_id="^b$", times=1),
            fault("execution", "status", status=500, calls=3, moment="after"),
            fault("execution", "delay", seconds=30, custom_id="^a$"),
        ]
    )
    began = desk.clock.now()
    batch_id = desk.create(request("a"), request("b"), request("c"))
    desk.work()
    assert desk.clock.now() == began + 30
    assert desk.outputs(batch_id) == ["a"]
    refused, lost = desk.errors(batch_id)
    assert refused["response"]["status_code"] == 429
    assert refused["response"]["body"]["error"]["code"] == "slow_down"
    assert (lost["custom_id"], lost["response"]["status_code"]) == ("c", 500)
    assert dict(desk.service.charges()) == {"a": 1, "b": 1, "c": 1}
    again = desk.create(request("b"))
    desk.work()
    assert desk.outputs(again) == ["b"]
