"""Each invariant of the spool, broken by hand: verify names it."""

import pytest
from runnerkit import World
from verifykit import batch, broken, change, edit, item

PENDING, IN_FLIGHT, SUCCEEDED, FAILED = range(4)


@pytest.mark.fault(15)
def test_a_request_file_that_is_gone_or_cut_is_seen(world: World) -> None:
    path = world.home.request_file(1)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    assert "request-files-whole" in broken(world, is_quick=True)
    path.unlink()
    assert broken(world) == {"request-files-whole": ("spool/requests/1.jsonl is not there",)}


@pytest.mark.parametrize("change_of", ["checksum = 'x'", "input_bytes = 1"])
def test_a_batch_of_another_request_file_is_seen(world: World, change_of: str) -> None:
    change(world, f"update batch_rows set {change_of} where state = 3")
    assert set(broken(world)) == {"request-files-whole"}


def test_an_open_batch_whose_request_file_was_given_up_is_seen(world: World) -> None:
    file = world.rows("select request_file as id from batch_rows where state = 3")[0]["id"]
    change(world, "update request_files set state = 3 where id = ?", file)
    assert {"request-files-whole", "pointers-hit"} <= set(broken(world))


def test_a_request_that_was_edited_is_seen(world: World) -> None:
    edit(world.home.request_file(1), b"text 3", b"text 9")
    found = broken(world)
    assert set(found) == {"requests-unchanged", "pointers-hit"}
    assert "another request stands" in found["pointers-hit"][0]
    assert broken(world, is_quick=True) == {}  # which needs the content


def test_a_request_of_a_line_without_item_id_that_was_edited_is_seen(world: World) -> None:
    notes = world.rows(
        "select request_file as id from batches b join batch_rows r on r.id = b.id where b.job = 'notes'"
    )
    edit(world.home.request_file(notes[0]["id"]), b"Review: one", b"Review: two")
    assert set(broken(world)) == {"requests-unchanged", "pointers-hit"}


def test_a_wrong_number_of_requests_in_a_file_is_seen(world: World) -> None:
    change(world, "update request_files set request_count = 4 where id = 1")
    found = broken(world)
    assert found == {
        "requests-unchanged": (
            "spool/requests/1.jsonl has 5 lines, and is recorded with 4 requests",
        )
    }


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("update item_rows set offset = offset + 1 where id = 1", "no request begins"),
        ("update item_rows set offset = 10000000 where id = 1", "no request begins"),
        ("update item_rows set offset = (select offset from item_rows where id = 2) where id = 1", "of item 2"),
        ("update item_rows set key = 'another' where id = 1", "of another id"),
        ("update item_rows set hash = x'00' where id = 1", "another request stands"),
    ],
)  # fmt: skip
def test_a_pointer_that_misses_is_seen(world: World, sql: str, told: str) -> None:
    change(world, sql)
    assert told in broken(world)["pointers-hit"][0]


def test_an_unanswered_item_whose_request_was_given_up_is_seen(world: World) -> None:
    failed = item(world, "reviews", FAILED)
    change(world, "update request_files set state = 3 where id = 1")
    found = broken(world)
    assert set(found) == {"pointers-hit"}
    assert all(f"item {failed} " in finding for finding in found["pointers-hit"])


def test_a_request_that_the_ledger_does_not_know_to_be_sent_is_seen(world: World) -> None:
    """Two batches hold the same request: what the second one was made of is not in flight in it."""
    first = batch(world, 3)
    change(world, "update item_rows set sends = 2 where batch = ? and state = 1", first)
    found = broken(world)
    assert set(found) == {"sendings-accounted", "batches-sent-as-recorded"}
    assert "(sending 1), of which the ledger knows nothing" in found["batches-sent-as-recorded"][0]


def test_a_batch_whose_file_holds_another_number_of_requests_is_seen(world: World) -> None:
    change(world, "update batch_rows set request_count = 4 where id = 1")
    assert "batches-sent-as-recorded" in broken(world)


def test_a_line_without_our_custom_id_is_seen(world: World) -> None:
    edit(world.home.request_file(1), b'{"custom_id":"1-', b'{"custom_ID":"1-')
    assert "bears no custom_id of ours" in broken(world)["batches-sent-as-recorded"][0]


@pytest.mark.fault(15)
def test_a_result_file_that_is_gone_or_cut_is_seen(world: World) -> None:
    path = world.home.result_file(1, 0)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    assert "result-files-whole" in broken(world, is_quick=True)
    path.unlink()
    assert broken(world) == {"result-files-whole": ("spool/results/1-output.jsonl is not there",)}


@pytest.mark.fault(15)
@pytest.mark.parametrize("kind", [0, 1])
def test_a_byte_that_changed_inside_an_answer_is_seen(world: World, kind: int) -> None:
    path = world.home.result_file(1, kind)
    edit(path, b"response", b"rEsponse")
    said = f"spool/results/{path.name} is not what came from the service: its content has changed"
    assert broken(world) == {"results-unchanged": (said,)}
    assert broken(world, is_quick=True) == {}, "which needs the content"


def test_a_result_file_that_forget_is_at_work_on_has_no_checksum_and_is_passed_over(
    world: World,
) -> None:
    change(world, "update result_files set checksum = null where batch = 1")
    edit(world.home.result_file(1, 0), b"response", b"rEsponse")
    assert broken(world) == {}


def test_a_result_file_that_was_pruned_is_not_missed(world: World) -> None:
    world.home.result_file(1, 0).unlink()
    change(world, "update result_files set removed_at = 1 where batch = 1 and kind = 0")
    assert broken(world) == {}


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("update result_rows set offset = offset + 1 where item = 1", "no line of"),
        ("update result_rows set length = length - 1 where item = 1", "no line of"),
        ("update result_rows set offset = 99999999 where item = 1", "no line of"),
        ("delete from result_files where batch = 1 and kind = 0", "never recorded"),
    ],
)
def test_an_answer_without_its_line_is_seen(world: World, sql: str, told: str) -> None:
    change(world, sql)
    found = broken(world)
    assert set(found) == {"answers-in-spool"}
    assert told in found["answers-in-spool"][0]


def test_an_answer_that_is_somebody_elses_is_seen(world: World) -> None:
    edit(world.home.result_file(1, 0), b'"custom_id":"1-1-', b'"custom_id":"9-1-')
    found = broken(world)
    assert set(found) == {"results-unchanged", "answers-in-spool"}
    assert "is not its own" in found["answers-in-spool"][0]


@pytest.mark.fault(24)
def test_tokens_that_do_not_add_up_are_seen(world: World) -> None:
    complete = world.rows(
        "select r.batch, min(r.item) as item from result_rows r join batch_rows b on b.id = r.batch "
        "where b.remote_status = 'completed' group by 1 having count(r.kind) = max(b.request_count)"
    )[0]
    for table, key in (("result_rows", "item"), ("batch_usage", "batch")):
        change(
            world,
            f"update {table} set output_tokens = output_tokens + 1 where {key} = ?",
            complete[key],
        )
    found = broken(world)
    assert "usage-adds-up" in found
    assert f"batch {complete['batch']}: the service counts" in found["usage-adds-up"][0]
