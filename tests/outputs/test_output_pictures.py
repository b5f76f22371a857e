"""Pictures in answers become files, and the outputs name them."""

import base64
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from factory import AT, World

from batchrun.endpoints.pictures import picture_of
from batchrun.model import JsonObject, OutputSettings
from batchrun.outputs.pictures import has_pictures
from batchrun.outputs.results import stream_results
from batchrun.outputs.rows import job_view
from batchrun.outputs.writing import write_outputs
from batchrun.verifying.outputs import outputs_as_listed, outputs_rewrite_alike

GENERATIONS = "/v1/images/generations"
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n1", b"\xff\xd8\xff2", b"GIF89a3"


def packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Gallery:
    """A job of images in a ledger, with the result file that holds them."""

    def __init__(self, world: World, *, endpoint: str = GENERATIONS, csv: bool = False) -> None:
        self.world = world
        self.job = world.job(endpoint=endpoint, output=OutputSettings(csv=csv))
        self.batch = world.batch(self.job, endpoint=endpoint)
        self.spool = world.ledger.home.result_file(self.batch, 0)
        self.spool.touch()

    def drawn(self, key: str, *images: bytes, entries: list[JsonObject] | None = None) -> int:
        """An item whose answer is these images, or these entries of `data`."""
        data = entries or [{"b64_json": packed(image)} for image in images]
        told = [picture_of(entry["b64_json"]) if "b64_json" in entry else entry for entry in data]
        return self.answered(key, {"images": told}, {"data": data})

    def answered(
        self, key: str, output: object, body: JsonObject, extras: str | None = None
    ) -> int:
        """An item with an answer, and its result line."""
        line = json.dumps({"custom_id": key, "response": {"status_code": 200, "body": body}})
        offset = self.spool.stat().st_size
        with self.spool.open("a") as spool:
            spool.write(line + "\n")
        place = {"batch": self.batch, "kind": 0, "offset": offset, "length": len(line)}
        return self.world.answered(self.job, key, output, extras=extras, **place)

    def write(self) -> Path:
        return write_outputs(self.world.ledger, self.job, now=AT).folder

    def lines(self) -> dict[str, JsonObject]:
        text = (self.write() / "results.jsonl").read_text()
        return {line["id"]: line for line in map(json.loads, text.splitlines())}

    def outputs(self) -> dict[str, object]:
        return {key: line["output"] for key, line in self.lines().items()}

    def files(self) -> dict[str, bytes]:
        folder = self.write() / "images"
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def gallery(world: World) -> Gallery:
    return Gallery(world)


def test_each_image_is_a_file_that_is_named_by_its_content_and_in_the_line(
    gallery: Gallery,
) -> None:
    gallery.drawn("one", PNG)
    gallery.drawn("more", JPEG, GIF)
    assert gallery.files() == {"one.png": PNG, "more-1.jpeg": JPEG, "more-2.gif": GIF}
    assert gallery.outputs() == {
        "one": "images/one.png",
        "more": ["images/more-1.jpeg", "images/more-2.gif"],
    }


def test_the_index_and_the_manifest_list_them_and_they_are_private(gallery: Gallery) -> None:
    gallery.drawn("a", PNG)
    folder = gallery.write()
    (line,) = map(json.loads, (folder / "images.jsonl").read_text().splitlines())
    digest = hashlib.sha256(PNG).hexdigest()
    assert line == {"id": "a", "file": "images/a.png", "bytes": len(PNG), "sha256": digest}
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert "images.jsonl" in {entry["name"] for entry in listed}
    assert stat.S_IMODE((folder / "images" / "a.png").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "images").stat().st_mode) == 0o700


def test_the_table_names_the_files_too(world: World) -> None:
    gallery = Gallery(world, csv=True)
    gallery.drawn("a", PNG)
    header, row = (gallery.write() / "results.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["output"] == "images/a.png"


def test_lines_that_are_asked_for_before_anything_is_written_are_the_same(
    gallery: Gallery,
) -> None:
    gallery.drawn("a", PNG)
    asked = b"".join(stream_results(gallery.world.ledger, gallery.job, format="jsonl"))
    assert asked == (gallery.write() / "results.jsonl").read_bytes()


@pytest.mark.parametrize("hostile", ["../../escaped", "/etc/passwd", "nul", "a/b", ".hidden"])
def test_no_id_leaves_the_folder(gallery: Gallery, hostile: str) -> None:
    gallery.drawn(hostile, PNG)
    (name,) = gallery.files()
    assert name.endswith(".png")
    assert gallery.outputs() == {hostile: f"images/{name}"}


def test_items_that_would_share_a_name_are_told_apart(gallery: Gallery) -> None:
    gallery.drawn("a", PNG, JPEG)
    gallery.drawn("a-1", GIF)
    gallery.drawn("A-1", PNG)
    files = gallery.files()
    assert len({name.lower() for name in files}) == len(files) == 4
    outputs = gallery.outputs()
    assert [files[Path(str(outputs[key])).name] for key in ("a-1", "A-1")] == [GIF, PNG]
    assert all("~" in str(outputs[key]) for key in ("A-1",))


def test_an_image_that_an_answer_has_twice_is_one_file(gallery: Gallery) -> None:
    gallery.drawn("a", PNG, PNG)
    assert gallery.files() == {"a-1.png": PNG}
    assert gallery.outputs() == {"a": ["images/a-1.png", "images/a-1.png"]}


def test_a_file_that_holds_its_image_is_not_touched(gallery: Gallery) -> None:
    gallery.drawn("a", PNG)
    path = gallery.write() / "images" / "a.png"
    os.utime(path, ns=(1, 1))
    gallery.write()
    assert path.stat().st_mtime_ns == 1
    path.write_bytes(b"\x89PNG\r\n\x1a\nX")
    gallery.write()
    assert path.read_bytes() == PNG


def test_the_file_of_an_item_that_is_gone_is_removed_and_one_that_was_edited_stays(
    gallery: Gallery,
) -> None:
    for key in ("a", "b", "c"):
        gallery.drawn(key, PNG)
    folder = gallery.write() / "images"
    (folder / "b.png").write_bytes(b"mine")
    gallery.world.execute("update item_rows set vanished = 1 where key in ('a', 'b')")
    assert gallery.files() == {"b.png": b"mine", "c.png": PNG}


def test_a_job_that_has_no_images_any_more_has_no_folder_of_them(gallery: Gallery) -> None:
    gallery.drawn("a", PNG)
    folder = gallery.write()
    gallery.world.execute("update batch_rows set endpoint = '/v1/responses'")
    gallery.world.execute("update item_rows set vanished = 1")
    gallery.write()
    assert not (folder / "images").exists()
    assert not (folder / "images.jsonl").exists()


def test_a_pruned_spool_leaves_the_files_and_what_is_gone_is_told_as_missing(
    gallery: Gallery,
) -> None:
    for key in ("kept", "gone", "edited"):
        gallery.drawn(key, PNG)
    folder = gallery.write() / "images"
    gallery.spool.unlink()
    (folder / "gone.png").unlink()
    (folder / "edited.png").write_bytes(b"mine")
    told = "is gone, and so is the result line that held it"
    assert gallery.outputs() == {
        "kept": "images/kept.png",
        "gone": {"missing": f"images/gone.png {told}"},
        "edited": {"missing": f"images/edited.png {told}"},
    }
    assert gallery.files() == {"kept.png": PNG, "edited.png": b"mine"}
    assert list(outputs_rewrite_alike(gallery.world.ledger)) == []


def test_a_damaged_result_line_is_told_as_missing(gallery: Gallery) -> None:
    gallery.drawn("a", PNG)
    gallery.spool.write_bytes(
        gallery.spool.read_bytes().replace(packed(PNG)[:8].encode(), b"AAAAAAAA")
    )
    assert "missing" in str(gallery.outputs()["a"])
    assert gallery.files() == {}


def test_a_link_stays_a_link_and_a_broken_image_says_what_is_wrong(gallery: Gallery) -> None:
    entries = [{"url": "https://images.example/1"}, {"b64_json": "!"}, {"b64_json": packed(GIF)}]
    gallery.drawn("a", entries=entries)
    assert gallery.outputs()["a"] == [
        "https://images.example/1",
        {"missing": "the image is not there, or no base64"},
        "images/a-3.gif",
    ]


def drawing(*images: bytes) -> tuple[JsonObject, list[JsonObject]]:
    """A response body with pictures in it, and what came beside its text."""
    calls = [{"type": "image_generation_call", "result": packed(image)} for image in images]
    return {"output": calls}, [{"images": [picture_of(packed(image))]} for image in images]


def test_pictures_beside_a_text_are_files_that_their_calls_name(world: World) -> None:
    gallery = Gallery(world, endpoint="/v1/responses")
    body, calls = drawing(PNG, GIF)
    extras = json.dumps({"image_calls": calls}, separators=(",", ":"))
    gallery.answered("a", "Here they are.", body, extras)
    line = gallery.lines()["a"]
    assert line["output"] == "Here they are."
    files = [call["images"][0]["file"] for call in line["image_calls"]]
    assert files == ["images/a-1.png", "images/a-2.gif"]
    assert gallery.files() == {"a-1.png": PNG, "a-2.gif": GIF}


def test_pictures_without_a_text_are_the_answer(world: World) -> None:
    gallery = Gallery(world, endpoint="/v1/responses")
    body, calls = drawing(PNG)
    extras = json.dumps({"image_calls": calls}, separators=(",", ":"))
    gallery.answered("a", {"images": calls[0]["images"]}, body, extras)
    assert gallery.outputs()["a"] == "images/a.png"


def test_an_answer_of_json_that_only_looks_like_pictures_is_left_alone(world: World) -> None:
    gallery = Gallery(world, endpoint="/v1/responses")
    body, calls = drawing(PNG)
    extras = json.dumps({"image_calls": calls}, separators=(",", ":"))
    gallery.answered("a", {"images": [{"sha256": "x", "format": "png"}]}, body, extras)
    gallery.answered("b", {"images": ["x"]}, body, extras)
    gallery.answered("c", {"images": [{}]}, body)
    outputs = gallery.outputs()
    assert outputs["a"] == {"images": [{"sha256": "x", "format": "png"}]}
    assert outputs["b"] == {"images": ["x"]}
    assert outputs["c"] == {"images": [{}]}


def test_verify_knows_the_files(gallery: Gallery) -> None:
    gallery.drawn("a", PNG)
    gallery.drawn("b", GIF)
    ledger, folder = gallery.world.ledger, gallery.write() / "images"
    assert [*outputs_as_listed(ledger), *outputs_rewrite_alike(ledger)] == []
    (folder / "a.png").unlink()
    (folder / "b.gif").write_bytes(b"GIF89aX")
    assert list(outputs_as_listed(ledger)) == [
        f"{folder / 'a.png'} is not there",
        f"{folder / 'b.gif'} is not what was written: it was changed since",
    ]


def test_a_job_without_pictures_has_no_folder_of_them_beside_one_that_drew(world: World) -> None:
    text = world.job("texts")
    first = world.answered(text, "a", "fine")
    drew = Gallery(world, endpoint="/v1/responses")
    body, calls = drawing(PNG)
    extras = json.dumps({"image_calls": calls}, separators=(",", ":"))
    drew.answered("a", {"images": calls[0]["images"]}, body, extras)
    world.submit(text)
    world.answered(text, "b", "fine too")
    assert first == 1
    for job, is_there in ((text, False), (drew.job, True)):
        written = write_outputs(world.ledger, job, now=AT)
        assert (written.folder / "images").exists() is is_there
        assert ("images.jsonl" in {file.name for file in written.files}) is is_there


def test_a_job_of_images_that_all_failed_has_no_folder_of_them(gallery: Gallery) -> None:
    gallery.world.failed(gallery.job, "a", batch=gallery.batch)
    assert not (gallery.write() / "images").exists()
    assert not (gallery.write() / "images.jsonl").exists()


def test_whether_a_job_has_pictures_is_asked_by_index(gallery: Gallery) -> None:
    ledger = gallery.world.ledger
    asked: list[str] = []
    ledger.connection.set_trace_callback(asked.append)
    has_pictures(ledger, job_view(ledger, gallery.job))
    ledger.connection.set_trace_callback(None)
    steps = [step[3] for step in ledger.connection.execute(f"explain query plan {asked[-1]}")]
    assert any("result_rows_pictures" in step for step in steps)
    assert not [step for step in steps if step in {"SCAN r", "SCAN i"}]
