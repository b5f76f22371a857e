"""What every backend promises, as one suite: run on the embedded service in process, and on the same service over a socket.

A test module subclasses `BackendContract` and gives a fixture `rig`. The rig's service has no thread of its own: a test decides
when it works, so that every status can be seen.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batchrun.backends.base import Backend, RemoteBatch
from batchrun.errors import NotFound, Refused
from batchrun.model import JsonObject
from batchrun.service.prompts import prompt_of
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.service.service import BatchService
from batchrun.testing import ManualClock

DAY_S = 86_400
FAR_S = 1_000_000.0  # seconds of work: more than any test has


@dataclass(slots=True)
class Script:
    """A script that a test may change while the service runs; None answers plausibly."""

    rules: list[Rule] = field(default_factory=list)

    def __call__(self, url: str, body: JsonObject, custom_id: str | None) -> Rule | None:
        """The first rule that fits the custom_id."""
        prompt = prompt_of(url, body)
        fitting = (
            rule
            for rule in self.rules
            if rule.fits(url=url, body=body, custom_id=custom_id, prompt=prompt)
        )
        return next(fitting, None)


@dataclass(slots=True, kw_only=True)
class Rig:
    """A backend, the service behind it, the clock of both, and the script of its answers."""

    backend: Backend
    service: BatchService
    clock: ManualClock
    script: Script

    def finish(self) -> None:
        """Let the service end every batch that can end without the clock moving."""
        self.service.work(FAR_S)


def scripted(script: Script, clock: ManualClock) -> ScriptedResponder:
    """The responder of a rig."""
    return ScriptedResponder(script, clock=clock)


def request(custom_id: str, text: str = "hello", **changes: Any) -> JsonObject:
    """One request line; `changes` replace its keys."""
    body = {"model": "gpt-5-mini", "input": text}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}
    return {**line, **changes}


def write_lines(path: Path, lines: list[JsonObject]) -> Path:
    """An input file of these requests."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[JsonObject]:
    """The lines of a result file."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def answer_text(line: JsonObject) -> str:
    """The text that a line of an output file answers with."""
    text: str = line["response"]["body"]["output"][0]["content"][0]["text"]
    return text


Create = Callable[..., RemoteBatch]


class BackendContract:
    """Subclass it, and give it a fixture `rig: Rig`."""

    @pytest.fixture
    def create(self, rig: Rig, tmp_path: Path) -> Create:
        """Upload lines and create a batch of them."""

        def create(*lines: JsonObject, metadata: dict[str, str] | None = None) -> RemoteBatch:
            path = write_lines(tmp_path / "input.jsonl", list(lines))
            file = rig.backend.upload(path, name="br-0123.jsonl", expires_after_s=None)
            return rig.backend.create(
                input_file_id=file.id,
                endpoint="/v1/responses",
                window="24h",
                metadata=metadata or {},
            )

        return create

    def results(self, rig: Rig, file_id: str | None, tmp_path: Path) -> dict[str, JsonObject]:
        """The lines of a result file by custom_id."""
        if file_id is None:
            return {}
        rig.backend.download(file_id, tmp_path / "result.part")
        return {line["custom_id"]: line for line in read_lines(tmp_path / "result.part")}

    def test_an_uploaded_file_is_shown_with_its_bytes_and_the_services_time(
        self, rig: Rig, tmp_path: Path
    ) -> None:
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        uploaded = rig.backend.upload(path, name="br-0123.jsonl", expires_after_s=None)
        assert uploaded.bytes == path.stat().st_size
        assert uploaded.created_at == rig.clock.now()
        assert uploaded.filename == "br-0123.jsonl"
        assert rig.backend.get_file(uploaded.id) == uploaded

    def test_a_download_is_byte_for_byte_what_was_uploaded_and_private(
        self, rig: Rig, tmp_path: Path
    ) -> None:
        content = 'line\u2028separator é "\n'.encode() * 100_000
        (tmp_path / "input.jsonl").write_bytes(content)
        file = rig.backend.upload(tmp_path / "input.jsonl", name="a.jsonl", expires_after_s=None)
        target = tmp_path / "copy.part"
        assert rig.backend.download(file.id, target) == len(content)
        assert target.read_bytes() == content
        assert target.stat().st_mode & 0o777 == 0o600

    def test_a_deleted_file_is_not_found_any_more(self, rig: Rig, tmp_path: Path) -> None:
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        file = rig.backend.upload(path, name="a.jsonl", expires_after_s=None)
        assert rig.backend.delete_file(file.id) is True
        with pytest.raises(NotFound):
            rig.backend.get_file(file.id)
        with pytest.raises(NotFound):
            rig.backend.delete_file(file.id)
        with pytest.raises(NotFound):
            rig.backend.download(file.id, tmp_path / "copy.part")
        assert not (tmp_path / "copy.part").exists()

    def test_uploaded_files_are_listed_newest_first_page_by_page_without_results(
        self, rig: Rig, create: Create, tmp_path: Path
    ) -> None:
        create(request("a"))
        rig.finish()
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        for number in range(4):
            rig.clock.advance(1)
            rig.backend.upload(path, name=f"br-{number}.jsonl", expires_after_s=None)
        names: list[str] = []
        after, has_more = None, True
        while has_more:
            page = rig.backend.list_files(after=after, limit=2)
            names += [file.filename for file in page.files]
            after, has_more = page.files[-1].id, page.has_more
        assert names == ["br-3.jsonl", "br-2.jsonl", "br-1.jsonl", "br-0.jsonl", "br-0123.jsonl"]

    def test_a_file_lives_as_long_as_was_asked(self, rig: Rig, tmp_path: Path) -> None:
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        file = rig.backend.upload(path, name="a.jsonl", expires_after_s=DAY_S)
        rig.clock.advance(DAY_S - 1)
        assert rig.backend.get_file(file.id) == file
        rig.clock.advance(1)
        with pytest.raises(NotFound):
            rig.backend.get_file(file.id)

    def test_a_file_that_is_no_jsonl_is_refused(self, rig: Rig, tmp_path: Path) -> None:
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        with pytest.raises(Refused) as refused:
            rig.backend.upload(path, name="input.txt", expires_after_s=None)
        assert refused.value.status == 400

    def test_a_new_batch_is_validating_with_nothing_counted_and_echoes_what_it_was_given(
        self, rig: Rig, create: Create
    ) -> None:
        batch = create(request("a"), metadata={"batchrun": "br-1", "job": "faq"})
        assert batch.status == "validating"
        assert (batch.total_count, batch.completed_count, batch.failed_count) == (0, 0, 0)
        assert batch.metadata == {"batchrun": "br-1", "job": "faq"}
        assert batch.created_at == rig.clock.now()
        assert batch.expires_at == rig.clock.now() + DAY_S
        assert batch.input_file_id is not None
        assert rig.backend.retrieve(batch.id) == batch

    def test_a_batch_is_answered_line_by_line(
        self, rig: Rig, create: Create, tmp_path: Path
    ) -> None:
        batch = create(request("a", "first"), request("b", "second"))
        rig.finish()
        ended = rig.backend.retrieve(batch.id)
        assert ended.status == "completed"
        assert (ended.total_count, ended.completed_count, ended.failed_count) == (2, 2, 0)
        assert ended.error_file_id is None
        results = self.results(rig, ended.output_file_id, tmp_path)
        assert {key: answer_text(line) for key, line in results.items()} == {
            "a": "first",
            "b": "second",
        }
        usages = [line["response"]["body"]["usage"]["total_tokens"] for line in results.values()]
        assert ended.usage_total_tokens == sum(usages)

    def test_failed_lines_are_in_the_error_file_and_the_others_in_the_output_file(
        self, rig: Rig, create: Create, tmp_path: Path
    ) -> None:
        rig.script.rules = [Rule(prompt="^too long$", status=400, code="context_length_exceeded")]
        batch = create(request("a"), request("b", "too long"))
        rig.finish()
        ended = rig.backend.retrieve(batch.id)
        assert ended.status == "completed"
        assert (ended.total_count, ended.completed_count, ended.failed_count) == (2, 1, 1)
        assert set(self.results(rig, ended.output_file_id, tmp_path)) == {"a"}
        errors = self.results(rig, ended.error_file_id, tmp_path)
        assert set(errors) == {"b"}
        assert errors["b"]["response"]["status_code"] == 400
        assert errors["b"]["response"]["body"]["error"]["code"] == "context_length_exceeded"

    def test_a_batch_whose_lines_all_fail_completes_without_an_output_file(
        self, rig: Rig, create: Create
    ) -> None:
        rig.script.rules = [Rule(status=500)]
        batch = create(request("a"))
        rig.finish()
        ended = rig.backend.retrieve(batch.id)
        assert ended.status == "completed"
        assert ended.output_file_id is None
        assert ended.error_file_id is not None

    def test_an_unusable_input_fails_the_batch_with_the_line_and_nothing_is_executed(
        self, rig: Rig, create: Create
    ) -> None:
        batch = create(request("a"), request("a"))
        rig.finish()
        ended = rig.backend.retrieve(batch.id)
        assert ended.status == "failed"
        assert [(error["code"], error["line"]) for error in ended.errors] == [
            ("duplicate_custom_id", "2")
        ]
        assert ended.output_file_id is None
        assert ended.error_file_id is None
        assert dict(rig.service.charges()) == {}

    def test_a_create_with_a_deleted_file_is_refused(self, rig: Rig, tmp_path: Path) -> None:
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        file = rig.backend.upload(path, name="a.jsonl", expires_after_s=None)
        rig.backend.delete_file(file.id)
        with pytest.raises(Refused):
            rig.backend.create(
                input_file_id=file.id, endpoint="/v1/responses", window="24h", metadata={}
            )
        assert rig.backend.list_batches(after=None, limit=10).batches == ()

    @pytest.mark.parametrize(
        ("changes", "param"),
        [
            ({"endpoint": "/v1/nothing"}, "endpoint"),
            ({"window": "soon"}, "completion_window"),
            ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ],
    )
    def test_a_create_with_wrong_parameters_is_refused_and_makes_no_batch(
        self, rig: Rig, tmp_path: Path, changes: dict[str, Any], param: str
    ) -> None:
        path = write_lines(tmp_path / "input.jsonl", [request("a")])
        file = rig.backend.upload(path, name="a.jsonl", expires_after_s=None)
        arguments = {"endpoint": "/v1/responses", "window": "24h", "metadata": {}, **changes}
        with pytest.raises(Refused) as refused:
            rig.backend.create(input_file_id=file.id, **arguments)
        assert refused.value.status == 400
        assert refused.value.param == param
        assert rig.backend.list_batches(after=None, limit=10).batches == ()

    def test_an_unknown_batch_is_not_found(self, rig: Rig) -> None:
        for call in (rig.backend.retrieve, rig.backend.cancel):
            with pytest.raises(NotFound):
                call("batch_of_nobody")

    def test_cancelling_ends_the_batch_and_cancelling_again_is_no_error(
        self, rig: Rig, create: Create
    ) -> None:
        batch = create(request("a"))
        assert rig.backend.cancel(batch.id).status == "cancelling"
        assert rig.backend.cancel(batch.id).status == "cancelling"
        rig.finish()
        assert rig.backend.cancel(batch.id).status == "cancelled"
        assert dict(rig.service.charges()) == {}

    def test_cancelling_a_completed_batch_shows_it_as_it_is(self, rig: Rig, create: Create) -> None:
        batch = create(request("a"))
        rig.finish()
        assert rig.backend.cancel(batch.id).status == "completed"

    def test_a_listing_is_newest_first_and_can_be_read_page_by_page(
        self, rig: Rig, create: Create
    ) -> None:
        made = [create(request("a"), metadata={"n": str(number)}) for number in range(5)]
        pages = []
        after, has_more = None, True
        while has_more:
            page = rig.backend.list_batches(after=after, limit=2)
            pages.append(page)
            after, has_more = page.batches[-1].id, page.has_more
        assert [len(page.batches) for page in pages] == [2, 2, 1]
        listed = [batch for page in pages for batch in page.batches]
        assert listed == made[::-1]
        assert all(page.server_time == rig.clock.now() for page in pages)

    def test_an_unfinished_batch_expires_when_its_window_closes(
        self, rig: Rig, create: Create, tmp_path: Path
    ) -> None:
        rig.script.rules = [Rule(prompt="^in time$", delay_s=DAY_S)]
        batch = create(request("a", "in time"), request("b"))
        rig.finish()
        ended = rig.backend.retrieve(batch.id)
        assert ended.status == "expired"
        assert (ended.total_count, ended.completed_count, ended.failed_count) == (2, 1, 0)
        assert set(self.results(rig, ended.output_file_id, tmp_path)) == {"a"}
        errors = self.results(rig, ended.error_file_id, tmp_path)
        assert set(errors) == {"b"}
        assert errors["b"]["response"] is None
        assert errors["b"]["error"]["code"] == "batch_expired"

    def test_closing_twice_is_harmless(self, rig: Rig) -> None:
        rig.backend.close()
        rig.backend.close()
