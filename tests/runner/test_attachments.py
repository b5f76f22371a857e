"""Attachments on their way: kept once, sent as data or uploaded once for all, and bought again only where their content is another."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from runnerkit import DAY_S, OPENAI, NewWorld, World

from batchrun.backends.base import AttachMode
from batchrun.errors import LedgerError, Refused, Transient
from batchrun.ledger.attachments import pixels_named
from batchrun.model import JsonObject, Limits
from batchrun.service.responders.script import Rule
from batchrun.testing_backend import Fault
from batchrun.windows import upload_life_s

PNG: Final = b"\x89PNG\r\n\x1a\n"
UPLOADING: Final = replace(OPENAI, attach=AttachMode.UPLOAD)
INLINE: Final = replace(OPENAI, attach=AttachMode.INLINE)
ITEMS: Final = [{"id": f"i{n}", "text": f"text {n}", "file": "a.png"} for n in range(3)]
DATA: Final = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


class Killed(BaseException):
    """The process died."""


def submitted(world: World, items: list[JsonObject] = ITEMS, **changes: Any) -> World:
    """A job with attachments in `a.png`, which is made where it is missing; its batches are cut."""
    path = world.folder / "a.png"
    if not path.exists():
        path.write_bytes(PNG)
    world.write(items, attach="{{ file }}", **changes)
    prepared = world.submit()
    assert prepared.error is None, prepared.error
    return world


def sent(world: World, number: int = -1) -> Iterator[JsonObject]:
    """The bodies in the request file of a batch, the last one where none is named."""
    batch = world.batches()[number]
    lines = world.home.request_file(batch["request_file"]).read_text().splitlines()
    return (json.loads(line)["body"] for line in lines)


def images(world: World, number: int = -1) -> list[JsonObject]:
    """The image parts that a batch sends, without what is the same in all."""
    parts = [body["input"][0]["content"][1] for body in sent(world, number)]
    return [{k: v for k, v in part.items() if k not in ("type", "detail")} for part in parts]


def uploads(world: World) -> list[str]:
    """Ids of the attachments that are at the far end."""
    files = world.service.list_files()["data"]
    return [file["id"] for file in files if file["purpose"] in ("user_data", "vision")]


def test_small_contents_are_sent_as_data_and_kept_once(world: World) -> None:
    submitted(world)
    assert images(world) == [{"image_url": DATA}] * 3
    (kept,) = world.home.attachments.iterdir()
    assert kept.read_bytes() == PNG
    assert kept.stat().st_mode & 0o777 == 0o600
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert uploads(world) == []


def test_one_content_of_many_items_is_uploaded_once(new_world: NewWorld) -> None:
    world = submitted(new_world(traits=UPLOADING))
    (file_id,) = uploads(world)
    assert images(world) == [{"file_id": file_id}] * 3
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert world.backend.calls.count("upload") == 2  # this one, and the input file


def test_the_size_of_an_image_is_known_by_its_hash_and_by_the_id_of_its_upload(
    new_world: NewWorld,
) -> None:
    image = PNG + b"\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0" + bytes(9)
    world = new_world(traits=UPLOADING)
    (world.folder / "a.png").write_bytes(image)
    (file_id,) = uploads(submitted(world))
    reference = f"batchrun-attachment-{hashlib.sha256(image).hexdigest()}"

    with world.ledger() as ledger:
        assert pixels_named(ledger, reference) == pixels_named(ledger, file_id) == (640, 480)
        assert pixels_named(ledger, "file-of-another") is None


def test_by_default_what_would_fill_input_files_is_uploaded(new_world: NewWorld) -> None:
    world = new_world(limits=Limits(input_bytes=100_000))
    # A thousandth of an input file is 100 bytes: 75 of content, or a share of that.
    for name, size in {"alone.png": 75, "larger.png": 76, "shared.png": 38}.items():
        (world.folder / name).write_bytes(PNG + bytes(size - len(PNG)))
    names = ["alone.png", "larger.png", "shared.png", "shared.png"]
    submitted(world, [{"id": n, "text": n, "file": f} for n, f in zip("abcd", names, strict=True)])
    assert [next(iter(image)) for image in images(world)] == [
        "image_url", "file_id", "file_id", "file_id",
    ]  # fmt: skip
    assert len(uploads(world)) == 2


def test_data_counts_towards_the_size_of_an_input_file(new_world: NewWorld) -> None:
    world = new_world(traits=INLINE, limits=Limits(input_bytes=3_000))
    (world.folder / "a.png").write_bytes(PNG + bytes(600))
    submitted(world)
    assert [batch["request_count"] for batch in world.batches()] == [2, 1]
    assert all(batch["input_bytes"] <= 3_000 for batch in world.batches())
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_data_that_no_input_file_has_room_for_is_refused_before_anything_is_sent(
    new_world: NewWorld,
) -> None:
    world = new_world(traits=INLINE, limits=Limits(input_bytes=3_000))
    (world.folder / "batchrun.toml").write_text('[profile.openai]\nattach = "inline"\n')
    (world.folder / "a.png").write_bytes(PNG + bytes(2_500))
    world.write(ITEMS[:1], attach="a.png")
    assert "an input file may hold 3,000" in str(world.submit().error)
    assert world.batches() == []


def test_a_reference_that_data_spell_is_sent_as_it_is(world: World) -> None:
    """Only what an item attaches itself is put into its request, whoever knows the hash of another's file."""
    (world.folder / "secret.png").write_bytes(PNG + b"secret")
    foreign = f"batchrun-attachment-{hashlib.sha256(PNG + b'secret').hexdigest()}"
    own: dict[str, Any] = {"metadata": {"url": foreign}}
    items: list[dict[str, Any]] = [
        {"id": "a", "text": "x", "file": "secret.png"},
        {**ITEMS[0], "body": own},
    ]
    submitted(world, items)
    (_, spelled) = sent(world)
    assert spelled["metadata"] == {"url": foreign}


def test_images_for_chat_are_always_data(new_world: NewWorld) -> None:
    world = submitted(new_world(traits=UPLOADING), endpoint="/v1/chat/completions")
    parts = [body["messages"][0]["content"][1] for body in sent(world)]
    assert parts == [{"type": "image_url", "image_url": {"url": DATA}}] * 3
    assert uploads(world) == []


def test_text_and_links_need_no_cut(world: World) -> None:
    (world.folder / "a.txt").write_text("a letter")
    link = "https://example.org/a.png"
    submitted(world, [{"id": n, "text": "x", "file": f} for n, f in (("a", "a.txt"), ("b", link))])
    assert len(list(world.home.requests.iterdir())) == 1
    world.run()
    assert world.answers()["a"] == "Review: x\na letter"


def test_the_files_may_move_once_they_are_submitted(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="upload", error=Transient("away"), number=None)])
    submitted(world)
    (world.folder / "a.png").unlink()
    world.backend._script.clear()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_neither_the_way_nor_the_file_id_makes_a_request_another_one(new_world: NewWorld) -> None:
    world = submitted(new_world(traits=UPLOADING))
    world.run()
    world.wire._traits = INLINE
    with world.ledger() as ledger, ledger.transaction():
        ledger.execute("delete from attachment_uploads")
    (world.folder / "b.png").write_bytes(PNG)
    tally = world.submit().tally
    assert tally is not None
    assert tally.unchanged == 3
    world.write([{**item, "file": "b.png"} for item in ITEMS], attach="{{ file }}")
    tally = world.submit().tally
    assert tally is not None
    assert tally.unchanged == 3


def test_another_content_is_a_changed_item(world: World) -> None:
    submitted(world).run()
    (world.folder / "a.png").write_bytes(PNG + b"!")
    tally = world.submit(reask=True).tally
    assert tally is not None
    assert (tally.changed, tally.unchanged) == (3, 0)
    world.run()
    assert set(world.executions().values()) == {2}


def test_a_later_job_uses_the_upload_again_while_it_lives_long_enough(
    new_world: NewWorld,
) -> None:
    world = submitted(new_world(traits=UPLOADING))
    world.run()
    (first,) = uploads(world)
    world.clock.advance(upload_life_s("24h") - 4 * DAY_S)
    world.api().retry("reviews", redo=True)
    world.run()
    assert images(world) == [{"file_id": first}] * 3
    world.clock.advance(2 * DAY_S)
    world.api().retry("reviews", redo=True)
    world.run()
    ((second,),) = {tuple(image.values()) for image in images(world)}
    assert second != first
    assert set(world.executions().values()) == {3}


def test_an_upload_that_is_gone_when_its_requests_run_is_made_anew(new_world: NewWorld) -> None:
    world = submitted(new_world(traits=UPLOADING))
    (first,) = uploads(world)
    world.service.delete_file(first)
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert images(world, 0) == [{"file_id": first}] * 3
    (second,) = uploads(world)
    assert images(world) == [{"file_id": second}] * 3
    causes = world.rows("select distinct cause from history")
    assert causes == [{"cause": "attachment_gone"}]


def test_a_wrong_request_that_is_not_about_the_file_is_not_asked_again(
    new_world: NewWorld,
) -> None:
    script = [Rule(status=400, message="The model was not found to hear.")]
    world = submitted(new_world(traits=UPLOADING, script=script))
    world.run()
    assert set(world.failures().values()) == {"bad_request"}
    assert len(world.rows("select 1 from attachment_uploads")) == 1


def test_a_service_that_takes_no_such_uploads_gets_data(new_world: NewWorld) -> None:
    refused = Refused("Invalid value for purpose.", status=400)
    world = submitted(new_world(traits=UPLOADING, faults=[Fault(call="upload", error=refused)]))
    assert images(world) == [{"image_url": DATA}] * 3
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_an_upload_that_did_not_work_is_tried_by_the_next_pass(new_world: NewWorld) -> None:
    fault = Fault(call="upload", error=Transient("502"))
    world = submitted(new_world(traits=UPLOADING, faults=[fault]))
    assert world.batches() == []
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert len(uploads(world)) == 1


def test_a_process_that_dies_after_an_upload_leaves_an_orphan_that_is_found_by_its_name(
    new_world: NewWorld,
) -> None:
    world = new_world(traits=UPLOADING, faults=[Fault(call="upload", error=Killed(), when="after")])
    with pytest.raises(Killed):
        submitted(world)
    (orphan,) = uploads(world)
    stranger = world.embedded.upload(
        world.folder / "a.png", name="batchrun-x-0.png", expires_after_s=None, purpose="vision"
    )
    world.run()
    assert world.tally() == {"succeeded": 3}
    assert set(world.executions().values()) == {1}
    assert orphan not in uploads(world)
    assert stranger.id in uploads(world)
    assert len(uploads(world)) == 2


def test_what_changed_in_the_spool_is_not_sent_and_a_submit_mends_it(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="upload", error=Transient("502"))], traits=UPLOADING)
    submitted(world)
    (kept,) = world.home.attachments.iterdir()
    kept.write_bytes(PNG + b"?")
    with pytest.raises(LedgerError, match="has changed since"):
        world.tick()
    assert [o.name for o in world.api().verify().broken] == [
        "attachments-whole",
        "attachments-unchanged",
    ]
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 3}


def test_bad_attachments_are_bad_items_within_their_number(world: World) -> None:
    items = [*ITEMS, {"id": "bad", "text": "x", "file": "../a.png"}]
    submitted(world, items, bad_items=1)
    world.run()
    assert world.tally() == {"succeeded": 3, "failed": 1}
    (failure,) = world.rows("select message from failures")
    assert "leads out of the job's folder. Put the file there, or" in failure["message"]
    world.write(items, attach="{{ file }}")
    assert "leads out" in str(world.submit().error)


def test_an_answered_item_whose_file_is_gone_is_a_bad_item_of_the_next_submit(
    world: World,
) -> None:
    items = [{**item, "file": f"{n}.png"} for n, item in enumerate(ITEMS)]
    for item in items:
        (world.folder / str(item["file"])).write_bytes(PNG)
    submitted(world, items).run()
    assert world.tally() == {"succeeded": 3}
    (world.folder / "1.png").unlink()
    refused = world.submit().error
    assert "'1.png': there is no such file. It is relative to the job file; a submit reads" in str(
        refused
    )
    assert world.tally() == {"succeeded": 3}
    world.write(items, attach="{{ file }}", bad_items=1)
    assert world.submit(allow_missing=True).error is None
    world.run()
    assert world.failures() == {"i1": "bad_item"}
    assert sum(world.executions().values()) == 3


@pytest.mark.parametrize(
    ("changes", "count"),
    [({}, 1), ({"attach": "{{ attach }}"}, 0), ({"prompt": "{{ attach }}"}, 0)],
)
def test_a_field_attach_that_nothing_asks_for_is_warned_of_once(
    world: World, changes: dict[str, Any], count: int
) -> None:
    (world.folder / "a.png").write_bytes(PNG)
    world.write([{**item, "attach": "a.png"} for item in ITEMS], **changes)
    warnings = [warning.what for warning in world.submit(is_dry_run=True).warnings]
    assert sum("a field 'attach', which attaches nothing" in what for what in warnings) == count


@pytest.mark.parametrize("files", [["a.png", "b.png"], {"first": "a.png"}])
def test_a_template_that_gives_several_files_is_told_so(world: World, files: Any) -> None:
    world.write([{"id": "a", "text": "x", "files": files}], attach="{{ files }}")
    assert "a template gave a list or an object, and each gives one file. Give each" in str(
        world.submit().error
    )


def test_folders_of_the_settings_are_open_to_the_job(world: World) -> None:
    others = world.folder.parent / "others"
    others.mkdir()
    (others / "a.png").write_bytes(PNG)
    (world.folder / "batchrun.toml").write_text('attach_from = ["../others"]\n')
    submitted(world, [{"id": "a", "text": "x", "file": "../others/a.png"}])
    world.run()
    assert world.tally() == {"succeeded": 1}


def test_a_submission_that_fails_or_is_only_tried_keeps_nothing(world: World) -> None:
    (world.folder / "a.png").write_bytes(PNG)
    world.write([*ITEMS, {"id": "bad", "text": "x", "file": "none.png"}], attach="{{ file }}")
    assert world.submit().error is not None
    world.write(ITEMS, attach="{{ file }}")
    assert world.submit(is_dry_run=True).error is None
    assert list(world.home.attachments.iterdir()) == []
    assert (
        world.rows("select * from attached union all select form, bytes, digest from attachments")
        == []
    )


def test_only_the_job_line_changed_means_the_answers_stand_with_their_attachments(
    world: World,
) -> None:
    submitted(world).run()
    world.write(ITEMS, attach="{{ file }}", prompt="Otherwise: {{ text }}")
    tally = world.submit(new_only=True).tally
    assert tally is not None
    assert tally.kept == 3


def test_a_repaired_answer_keeps_its_attachment(new_world: NewWorld) -> None:
    script = [
        Rule(prompt="corrected", label="good"),
        Rule(reply="none of them"),
    ]
    world = new_world(script=script)
    submitted(world, ITEMS[:1], labels=["good", "bad"], repair={"attempts": 1})
    world.run()
    assert world.answers() == {"i0": "good"}
    (body,) = sent(world)
    assert body["input"][0]["content"][1]["image_url"] == DATA
    assert [message["role"] for message in body["input"]] == ["user", "assistant", "user"]


def test_texts_are_held_only_a_few_at_a_time(new_world: NewWorld) -> None:
    world = new_world(script=[Rule(reply="read")])
    for n in range(30):
        (world.folder / f"{n}.txt").write_text(f"{n} " * 100_000)
    submitted(world, [{"id": f"{n}", "text": "x", "file": f"{n}.txt"} for n in range(30)])
    world.run()
    assert world.tally() == {"succeeded": 30}
