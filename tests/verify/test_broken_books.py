"""Each invariant of the ledger, broken by hand: verify names it."""

import pytest
from runnerkit import World
from verifykit import batch, broken, change, item

PENDING, IN_FLIGHT, SUCCEEDED, FAILED = range(4)
CREATED, COLLECTED = 3, 5


def test_a_damaged_index_is_seen(world: World) -> None:
    with world.ledger() as ledger:
        # An index that lacks a row: the schema says it has one for every row with the condition.
        ledger.connection.execute("pragma writable_schema = on")
        ledger.connection.execute(
            "update sqlite_schema set sql = 'create index queue_by_job on queue (job, not_before) where 0' where name = 'queue_by_job'"
        )
        ledger.connection.execute("pragma writable_schema = reset")
    assert set(broken(world)) == {"database-sound"}


def test_a_foreign_key_into_nothing_is_seen(world: World) -> None:
    change(world, "insert into holds values ('openai', '', 0, 0, 'fine')")
    change(world, "insert into incidents (at, batch, kind, message) values (0, 999, 'x', 'x')")
    assert set(broken(world)) == {"database-sound"}


@pytest.mark.parametrize(
    "sql",
    [
        "update item_rows set vanished = 7 where id = (select min(id) from item_rows where state = 2)",
        "update submissions set state = 9 where id = (select max(id) from submissions where job = 1)",
        "update jobs set submission = 2 where id = 1",
    ],
)
def test_a_state_that_there_is_not_is_seen(world: World, sql: str) -> None:
    change(world, sql)
    assert "states-known" in broken(world, is_quick=True)


@pytest.mark.parametrize("table", ["batch_rows", "request_files"])
def test_a_batch_or_file_in_no_state_is_seen(world: World, table: str) -> None:
    change(world, f"update {table} set state = 42 where id = 1")
    assert "states-known" in broken(world, is_quick=True)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("update item_rows set job = 99 where id = 1", "no job"),
        ("update item_rows set file = 99 where id = 1", "request file"),
        ("update item_rows set batch = 99 where id = 1", "batch"),
        ("update item_rows set key = null where id = 1", "neither an id nor a name"),
        ("delete from content_items", "found by what it asks"),
        ("update content_items set item = 9999", "which there is not"),
        ("update result_rows set item = 9999 where item = 1", "which there is not"),
        ("update result_rows set batch = 9999 where item = 1", "batch that there is not"),
        ("update history set item = 9999", "which there is not"),
        ("update history set batch = 9999", "batch that there is not"),
        ("update result_rows set model = 9999 where item = 1", "without a name"),
    ],
)
def test_a_reference_into_nothing_is_seen(world: World, sql: str, told: str) -> None:
    change(world, sql)
    found = broken(world, is_quick=True)
    assert any(told in finding for finding in found["references-hold"])


def test_a_wrong_count_is_seen(world: World) -> None:
    change(world, "update item_counts set n = n + 1 where job = 1 and state = 2")
    found = broken(world, is_quick=True)
    assert set(found) == {"counts-match-items", "events-give-counts"}
    assert found["counts-match-items"] == (
        "job 1: 5 items are counted as succeeded, 4 by their rows",
    )


def test_a_wrong_log_of_items_is_seen(world: World) -> None:
    change(world, "update events set n = n + 1 where event = 'succeeded' and job = 1")
    assert set(broken(world, is_quick=True)) == {"events-give-counts"}


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("delete from events where batch = 1 and event = 'uploaded'", "the one before led to"),
        ("update events set after = 4 where batch = 1 and event = 'created'", "cannot lead from"),
        ("delete from events where batch = 1 and event = 'collected'", "its events end in ended"),
        ("update batch_rows set creates = 2 where id = 1", "after 1 intents"),
        ("delete from events where batch = 1", "its events end in nothing"),
    ],
)
def test_a_wrong_log_of_a_batch_is_seen(world: World, sql: str, told: str) -> None:
    change(world, sql)
    found = broken(world, is_quick=True)
    assert any(told in finding for finding in found["events-give-batches"])


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("update item_rows set batch = 1 where id = ?", IN_FLIGHT),  # in flight in a final batch
        ("update item_rows set batch = (select max(id) from batch_rows) where id = ?", SUCCEEDED),
        ("update item_rows set batch = 1 where id = ?", PENDING),
        ("update item_rows set vanished = 1 where id = ?", PENDING),
    ],
)
def test_an_item_in_two_places_is_seen(world: World, sql: str, state: int) -> None:
    job = {IN_FLIGHT: "flying", SUCCEEDED: "reviews", PENDING: "later"}[state]
    change(world, sql, item(world, job, state))
    assert "one-open-attempt" in broken(world, is_quick=True)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("update item_rows set sends = 2 where id = 1", "1 of them are accounted for"),
        ("update history set send = 2", "was settled twice"),
        ("update result_rows set send = 7 where item = 1", "it was sent 1 times only"),
    ],
)  # fmt: skip
def test_a_sending_that_is_lost_or_doubled_is_seen(world: World, sql: str, told: str) -> None:
    change(world, sql)
    found = broken(world, is_quick=True)
    assert set(found) == {"sendings-accounted"}
    assert any(told in finding for finding in found["sendings-accounted"])


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("delete from history", "1 of them are accounted for"),
        ("update history set batch = (select batch from result_rows r where r.item = history.item) where item in (select item from result_rows)", "settled twice in batch"),
    ],
)  # fmt: skip
def test_an_attempt_that_is_lost_or_doubled_is_missed_in_its_batch_too(
    world: World, sql: str, told: str
) -> None:
    change(world, sql)
    found = broken(world, is_quick=True)
    assert set(found) == {"sendings-accounted", "usage-as-settled"}
    assert any(told in finding for finding in found["sendings-accounted"])
    assert any("its attempts add up to" in finding for finding in found["usage-as-settled"])


@pytest.mark.parametrize(
    "sql",
    [
        "update batch_usage set output_tokens = output_tokens + 1 where batch = 1",
        "update result_rows set input_tokens = input_tokens + 20000 where item = 1",
        "delete from batch_usage where batch = 1",
    ],
)
def test_usage_that_is_not_that_of_the_attempts_is_seen(world: World, sql: str) -> None:
    change(world, sql)
    assert "usage-as-settled" in broken(world, is_quick=True)


def test_a_result_of_a_batch_that_is_not_final_is_seen(world: World) -> None:
    open_batch = batch(world, CREATED)
    change(world, "update history set batch = ?", open_batch)
    assert set(broken(world, is_quick=True)) == {"sendings-accounted", "usage-as-settled"}


@pytest.mark.parametrize(
    "sql",
    [
        "update result_rows set outcome = 1 where item = 1",
        "update result_rows set outcome = 2, cause = null where item = 3",
        "update result_rows set cause = null where item = 3",
        "delete from bad_items",
    ],
)
def test_an_end_without_a_reason_is_seen(world: World, sql: str) -> None:
    change(world, sql)
    assert set(broken(world, is_quick=True)) == {"final-with-reason"}


def test_a_batch_that_was_rejected_for_nothing_is_seen(world: World) -> None:
    change(world, "update batch_rows set state = 6, reason = null where id = 1")
    assert "final-with-reason" in broken(world, is_quick=True)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("delete from queue", "nothing will send it"),
        ("update request_files set state = 2 where state = 1", "nothing will send it"),
        ("insert into queue select 1, job, 0 from item_rows where id = 1", "not pending"),
        (
            "insert into canary_items select job, id from item_rows where id = 1",
            "go before the rest, which waits for none",
        ),
        (
            "insert into canaries select 1, hash, 0.1, 0.1, null, null from item_rows where id < 3",
            "canaries at once",
        ),
        (
            "insert into revisions select 1, min(s.id), i.hash, i.file, i.offset, 1 from submissions s, item_rows i where i.id = 1",
            "change waiting",
        ),
    ],
)
def test_an_item_that_nobody_would_send_is_seen(world: World, sql: str, told: str) -> None:
    change(world, sql)
    found = broken(world, is_quick=True)
    assert set(found) == {"pending-will-be-sent"}
    assert any(told in finding for finding in found["pending-will-be-sent"])


def test_a_batch_without_all_of_its_items_is_seen(world: World) -> None:
    change(world, "update batch_rows set request_count = 2 where id = ?", batch(world, CREATED))
    assert "batches-hold-their-items" in broken(world, is_quick=True)


def test_a_batch_that_would_be_judged_by_another_schema_is_seen(world: World) -> None:
    flying = batch(world, CREATED)
    change(world, "insert into criteria select 1, min(id), null, '{}' from jobs")
    change(
        world,
        "update request_files set criteria = 1 where id = (select min(id) from request_files)",
    )
    change(world, "update batch_rows set request_file = 1 where id = ?", flying)
    assert broken(world, is_quick=True)["batches-hold-their-items"] == (
        f"batch {flying} holds requests that ask for other labels or another schema than it would be judged by",
    )


@pytest.mark.parametrize(
    "change_of",
    [
        "remote_id = null",
        "base_url = null",
        "token = 'br-of-somebody-else'",
    ],
)
def test_a_batch_that_could_not_be_found_again_is_seen(world: World, change_of: str) -> None:
    change(world, f"update batch_rows set {change_of} where id = ?", batch(world, CREATED))
    assert set(broken(world, is_quick=True)) == {"batches-have-remotes"}


def test_an_upload_without_its_file_id_is_seen(world: World) -> None:
    change(world, "update batch_rows set state = 2, input_file_id = null where state = 3")
    assert "batches-have-remotes" in broken(world, is_quick=True)


def test_a_conversation_that_no_answer_calls_for_is_seen(world: World) -> None:
    change(
        world,
        "insert into turns values ((select min(item) from result_rows), 1, 'repair', '[]', '{}')",
    )
    found = broken(world, is_quick=True)
    assert any("was not answered so" in finding for finding in found["turns-follow-answers"])
