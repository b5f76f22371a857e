"""The doctor's look at a service: each thing that can be wrong with one, at a server that does it."""

import json

import pytest
from clikit import Desk
from doctorkit import checks, levels, submit
from misbehaving import Server, answer, batch, file, garbage, page, refusal, reset

KEY = "sk-canary-0123456789abcdef"
NO_FILE = refusal(404, "not_found", "No such File object")


def listing(*batches: dict[str, object]) -> dict[str, object]:
    return {"object": "list", "data": list(batches), "has_more": False}


def test_a_good_service_is_told_to_be_one(desk: Desk, server: Server) -> None:
    server.then(answer(listing(batch())), answer(file()))
    found = checks(desk, "--backend", "openai")
    names = ("base-url", "key", "batches", "clock", "files")
    assert {name: levels(found)[name] for name in names} == dict.fromkeys(names, "ok")
    assert found["key"]["what"] == "from OPENAI_API_KEY"
    assert {check["profile"] for check in found.values() if check["area"] == "service"} == {
        "openai"
    }


def test_the_service_is_asked_for_nothing_that_changes_it(desk: Desk, server: Server) -> None:
    server.then(answer(listing(batch())), answer(file()))
    checks(desk)
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("GET", "/v1/batches?limit=20"),
        ("GET", "/v1/files/file-in"),
    ]


@pytest.mark.fault(55)
def test_the_key_is_never_shown(desk: Desk, server: Server) -> None:
    server.then(refusal(401, "invalid_api_key", f"Incorrect API key provided: {KEY}."))
    called = desk.call("doctor")
    assert called.code == 6
    assert KEY not in called.out + called.err
    assert "fix: export OPENAI_API_KEY=…" in called.out


@pytest.mark.parametrize(
    ("step", "name"),
    [
        pytest.param(refusal(401, "invalid_api_key"), "authenticated", marks=pytest.mark.fault(1)),
        pytest.param(refusal(403, "forbidden"), "permissions", marks=pytest.mark.fault(2)),
        (refusal(404, "unknown_url"), "batch-support"),
        (page(404), "batch-support"),
        (refusal(405, "method_not_allowed"), "batch-support"),
        pytest.param(refusal(500, "oops"), "answers", marks=pytest.mark.fault(11)),
        pytest.param(page(502), "answers", marks=pytest.mark.fault(11)),
        pytest.param(answer(b"<html>hello</html>"), "reachable", marks=pytest.mark.fault(19)),
        (garbage, "reachable"),
        (reset, "reachable"),
        pytest.param(
            answer(b"", 307, location="https://elsewhere.invalid/"),
            "answers",
            marks=pytest.mark.fault(20),
        ),
    ],
)
def test_what_a_listing_is_refused_with_is_told_by_name(
    desk: Desk, server: Server, step: object, name: str
) -> None:
    server.then(step)  # type: ignore[arg-type]
    found = checks(desk, code=6)
    assert found[name]["level"] == "fail"
    assert found[name]["fix"]
    assert "files" not in found
    assert len(server.seen) == 1  # once: the doctor says what is, now


def test_a_direct_profile_is_asked_for_its_models_only_and_makes_no_folder(
    desk: Desk, server: Server
) -> None:
    server.then(answer({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}))
    found = checks(desk, "--backend", "direct")
    assert levels(found)["models"] == "ok"
    assert found["models"]["what"].endswith("lists: 2")
    assert [(seen.method, seen.path) for seen in server.seen] == [("GET", "/v1/models")]
    assert not list(desk.folder.rglob("service.db"))


@pytest.mark.parametrize(
    ("step", "name", "level"),
    [
        (page(404), "models", "ok"),
        pytest.param(
            refusal(401, "invalid_api_key"), "authenticated", "fail", marks=pytest.mark.fault(1)
        ),
        (refusal(500, "oops"), "answers", "fail"),
        (reset, "reachable", "fail"),
    ],
)
def test_what_the_server_of_a_direct_profile_answers_is_told(
    desk: Desk, server: Server, step: object, name: str, level: str
) -> None:
    server.then(step)  # type: ignore[arg-type]
    found = checks(desk, "--backend", "direct", code=0 if level == "ok" else 6)
    assert found[name]["level"] == level
    assert len(server.seen) == 1


@pytest.mark.fault(12)
def test_a_server_that_is_not_there_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    found = checks(desk, code=6)
    assert found["reachable"]["level"] == "fail"
    assert "cannot be reached" in found["reachable"]["what"]


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("seconds", "level", "word"),
    [(60, "ok", "60 s apart"), (61, "warn", "61 s ahead of"), (-3600, "warn", "3,600 s behind")],
)
def test_a_clock_that_is_wrong_is_told(
    desk: Desk, server: Server, seconds: int, level: str, word: str
) -> None:
    desk.clock.advance(seconds)
    server.then(answer(listing()), NO_FILE)
    found = checks(desk)
    assert found["clock"]["level"] == level
    assert word in found["clock"]["what"]


def test_a_file_that_is_not_there_is_the_right_answer_to_a_made_up_id(
    desk: Desk, server: Server
) -> None:
    server.then(answer(listing()), NO_FILE)
    assert checks(desk)["files"]["level"] == "ok"
    assert server.seen[1].path == "/v1/files/file-batchrun-doctor"


@pytest.mark.parametrize(
    ("step", "level", "code"),
    [
        (refusal(403, "insufficient_permissions"), "fail", 6),
        (refusal(400, "invalid_id"), "ok", 0),
        (refusal(503, "busy"), "warn", 0),
    ],
)
def test_files_that_the_key_may_not_read_are_told(
    desk: Desk, server: Server, step: object, level: str, code: int
) -> None:
    server.then(answer(listing()), step)  # type: ignore[arg-type]
    assert checks(desk, code=code)["files"]["level"] == level


def test_a_listing_that_is_oldest_first_is_told(desk: Desk, server: Server) -> None:
    older = batch(id="batch_0", created_at=1_780_000_000)
    server.then(answer(listing(older, batch())), answer(file()))
    assert checks(desk)["listing"]["level"] == "warn"


@pytest.mark.parametrize(
    ("shown", "echoes", "level", "code"),
    [
        ({}, "", "ok", 0),
        ({"metadata": None}, "", "ok", 0),
        ({"input_file_id": None}, "", "ok", 0),
        ({"metadata": None, "input_file_id": None}, "", "fail", 6),
        ({"metadata": None, "input_file_id": None}, "listing_echoes = false\n", "ok", 0),
    ],
)
def test_whether_a_listing_shows_what_batches_are_found_by_is_told(
    desk: Desk, server: Server, shown: dict[str, object], echoes: str, level: str, code: int
) -> None:
    (desk.folder / "batchrun.toml").write_text(f"[profile.openai]\n{echoes}")
    submit(desk, server)
    server.then(answer(listing(batch(**shown))), answer(file()))
    assert checks(desk, code=code)["listing"]["level"] == level


def test_a_batch_of_somebody_else_says_nothing_of_the_listing(desk: Desk, server: Server) -> None:
    submit(desk, server)
    server.then(answer(listing(batch(id="batch_other", metadata=None))), answer(file()))
    assert checks(desk)["listing"]["level"] == "unknown"


def test_write_uploads_a_line_and_deletes_it(desk: Desk, server: Server) -> None:
    gone = answer({"id": "file-1", "object": "file", "deleted": True})
    server.then(answer(listing()), NO_FILE, answer(file(bytes=None)), gone)
    assert checks(desk, "--write")["write"]["level"] == "ok"
    assert [seen.method for seen in server.seen] == ["GET", "GET", "POST", "DELETE"]
    assert b'name="expires_after[seconds]"' in server.seen[2].body


@pytest.mark.parametrize(
    ("steps", "level", "code"),
    [
        ([refusal(403, "no_write")], "fail", 6),
        ([answer(file(bytes=None)), refusal(403, "no_delete")], "fail", 6),
        ([answer(file(bytes=None)), answer({"id": "file-1", "deleted": False})], "warn", 0),
    ],
)
def test_a_write_that_does_not_work_is_told(
    desk: Desk, server: Server, steps: list[object], level: str, code: int
) -> None:
    server.then(answer(listing()), NO_FILE, *steps)  # type: ignore[arg-type]
    assert checks(desk, "--write", code=code)["write"]["level"] == level


def test_offline_asks_nobody(desk: Desk, server: Server) -> None:
    found = checks(desk, "--offline", "--write")
    assert levels(found)["key"] == "ok"
    assert "batches" not in found
    assert server.seen == []


def test_no_key_is_told_with_the_variable_to_set(desk: Desk) -> None:
    found = checks(desk, code=6)
    assert found["key"]["level"] == "fail"
    assert found["key"]["fix"] == "export OPENAI_API_KEY=…"
    assert "batches" not in found  # nobody is asked without a key


def test_a_key_file_that_others_can_read_is_told(desk: Desk) -> None:
    (desk.folder / "key").write_text("sk-1234567890")
    (desk.folder / "key").chmod(0o644)
    (desk.folder / "batchrun.toml").write_text(
        '[profile.mine]\nbase_url = "https://api.example.com/v1"\napi_key_file = "key"\n'
    )
    found = checks(desk, "--backend", "mine", "--offline", code=6)
    assert found["key"]["fix"] == f"chmod 600 {desk.folder / 'key'}"


@pytest.mark.fault(57)
def test_an_address_in_the_clear_is_told_and_not_called(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://api.example.com/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = checks(desk, code=6)
    assert found["base-url"]["level"] == "fail"
    assert "in the clear" in found["base-url"]["what"]
    assert "batches" not in found


def test_open_batches_at_another_place_are_told(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(desk, server)
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_other")
    found = checks(desk, "--offline", code=6)
    assert found["account"]["level"] == "fail"
    assert "the profile means another place now" in found["account"]["what"]


def test_a_new_key_is_told_and_is_no_fault(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(desk, server)
    assert checks(desk, "--offline")["account"]["level"] == "ok"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-0123456789")
    assert checks(desk, "--offline")["account"]["level"] == "warn"


def test_a_local_model_that_is_not_there_is_told(desk: Desk) -> None:
    (desk.folder / "batchrun.toml").write_text('[profile.local]\nmodel_file = "none.gguf"\n')
    found = checks(desk, "--backend", "local", code=6)
    assert found["model"]["level"] == "fail"
    assert "batches" not in found


def test_a_profile_that_jobs_use_and_nobody_knows_any_more_is_told(
    desk: Desk, server: Server
) -> None:
    settings = desk.folder / "batchrun.toml"
    settings.write_text(f"[profile.mine]\nbase_url = {json.dumps(server.base_url)}\n")
    submit(desk, server, backend="mine")
    settings.unlink()
    found = checks(desk, "--offline", code=6)
    assert found["profile"]["level"] == "fail"
    assert found["profile"]["profile"] == "mine"


def test_a_profile_that_there_is_not_ends_with_2(desk: Desk) -> None:
    called = desk.call("doctor", "--backend", "opnai")
    assert called.code == 2
    assert "Did you mean 'openai'?" in called.err


def test_lines_are_plain_where_nobody_looks_and_a_table_where_somebody_does(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = desk.call("doctor", "--offline").out.splitlines()
    assert "ok      openai key: from OPENAI_API_KEY" in lines
    assert "        fix: batchrun submit FILE, or batchrun run FILE" in lines
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    table = desk.call("doctor", "--offline").out.splitlines()
    assert "\x1b[32mok      \x1b[0mopenai key             from OPENAI_API_KEY" in table
    assert server.seen == []


def test_a_server_that_wants_no_key_and_lists_no_models_is_told_to_be_one(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = f'[profile.oll]\npreset = "ollama"\nbase_url = "{server.base_url}"\n'
    (desk.folder / "batchrun.toml").write_text(table)
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    server.then(answer(b"404 page not found", 404))
    found = checks(desk, "--backend", "oll")
    assert found["key"]["what"] == "none, and this profile needs none (OLLAMA_API_KEY is not set)"
    assert found["models"]["what"] == "reached; it lists no models (check base_url if it should)"
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    server.then(answer({"data": [{"id": "m"}]}))
    found = checks(desk, "--backend", "oll")
    assert found["key"]["what"] == "from OLLAMA_API_KEY"
    assert found["models"]["what"] == "reached; models that it lists: 1"


def test_a_server_without_batches_is_told_with_its_preset_and_how_to_ask_it(
    desk: Desk, server: Server
) -> None:
    table = (
        f'[profile.gate]\npreset = "litellm"\nbase_url = "{server.base_url}"\nneeds_key = false\n'
    )
    (desk.folder / "batchrun.toml").write_text(table)
    server.then(answer({"detail": "Not Found"}, 404))
    found = checks(desk, "--backend", "gate", code=6)
    assert found["preset"]["what"].startswith("LiteLLM proxy, as read on 2026-")
    assert "`--backend gate:live`" in found["batch-support"]["fix"]
    assert "`--backend gate:live`" in found["batch-support"]["what"]
    server.then(answer({"data": []}))
    assert "batch-support" not in checks(desk, "--backend", "gate:live")
