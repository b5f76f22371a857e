"""What the backend sends and how it reads what comes back, over a real socket."""

import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import misbehaving
import pytest
from misbehaving import DATE_AT, Server, answer, refusal

from batchrun.backends.base import Traits
from batchrun.backends.credentials import KeySource
from batchrun.backends.openai import OpenAIBackend
from batchrun.errors import AuthError, LedgerError, NotFound, Refused, Transient
from batchrun.model import Limits
from batchrun.profiles import Profile
from batchrun.testing import ManualClock

KEY = "sk-canary-0123456789abcdef"


def test_importing_the_backend_imports_neither_the_sdk_nor_its_http_library() -> None:
    program = (
        "import sys, batchrun.backends.openai, batchrun.backends.retrying, batchrun.config, "
        "batchrun.backends.opening, batchrun.testing_backend\n"
        "print(sorted({'openai', 'httpx2', 'pydantic', 'tenacity'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_upload_streams_the_file_under_the_given_name(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "other-name.tmp"
    path.write_bytes(b'{"a": 1}\n' * 3)
    server.then(answer(misbehaving.file(bytes=27)))
    file = backend.upload(path, name="br-1.jsonl", expires_after_s=86_400)
    assert (file.id, file.bytes, file.created_at) == ("file-1", 27, 1_790_000_000)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/files")
    assert b'filename="br-1.jsonl"\r\nContent-Type: application/jsonl' in seen.body
    assert path.read_bytes() in seen.body
    assert b'name="purpose"\r\n\r\nbatch\r\n' in seen.body
    assert b'name="expires_after[anchor]"\r\n\r\ncreated_at\r\n' in seen.body
    assert b'name="expires_after[seconds]"\r\n\r\n86400\r\n' in seen.body


def test_an_upload_without_expiry_leaves_it_to_the_service(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n")
    server.then(answer(misbehaving.file(bytes=3)))
    backend.upload(path, name="br-1.jsonl", expires_after_s=None)
    assert b"expires_after" not in server.seen[0].body


def test_an_upload_of_which_the_service_counts_other_bytes_is_transient(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n")
    for counted in (0, 2, "4"):
        server.then(answer(misbehaving.file(bytes=counted)))
        with pytest.raises(Transient, match="cut short"):
            backend.upload(path, name="br-1.jsonl", expires_after_s=None)


def test_an_upload_that_the_service_does_not_count_is_accepted(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n")
    server.then(answer(misbehaving.file(bytes=None)))
    assert backend.upload(path, name="br-1.jsonl", expires_after_s=None).bytes == 0


def test_an_upload_of_a_missing_file_names_the_file_and_calls_nobody(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(LedgerError, match=r"gone\.jsonl: cannot be read for upload: No such file"):
        backend.upload(tmp_path / "gone.jsonl", name="br-1.jsonl", expires_after_s=None)
    assert server.seen == []


def test_create_sends_the_four_fields_and_nothing_that_retries(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(answer(misbehaving.batch()))
    batch = backend.create(
        input_file_id="file-in",
        endpoint="/v1/rerank",
        window="7d",
        metadata={"batchrun": "br-1"},
    )
    assert (batch.id, batch.status, batch.input_file_id) == ("batch_1", "validating", "file-in")
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/batches")
    assert seen.body == (
        b'{"completion_window":"7d","endpoint":"/v1/rerank","input_file_id":"file-in",'
        b'"metadata":{"batchrun":"br-1"}}'
    )
    assert seen.headers["x-stainless-retry-count"] == "0"


def test_each_create_has_a_connection_of_its_own_while_other_calls_share_one(
    backend: OpenAIBackend, server: Server
) -> None:
    """A kept connection may be closed by the server at any moment, which would look like a lost answer to a create."""
    server.then(*[answer(misbehaving.batch())] * 5)
    for call in ("retrieve", "create", "retrieve", "create", "retrieve"):
        if call == "retrieve":
            backend.retrieve("batch_1")
        else:
            backend.create(input_file_id="file-in", endpoint="/v1/x", window="24h", metadata={})
    ports = [seen.port for seen in server.seen]
    assert ports[0] == ports[2] == ports[4]
    assert len(set(ports)) == 3


def test_all_calls_carry_the_key_and_ask_for_no_compression(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    server.then(
        answer(misbehaving.batch()),
        answer(misbehaving.file(bytes=3)),
        answer(misbehaving.file(bytes=3)),
        answer(b"{}\n"),
    )
    backend.retrieve("batch_1")
    backend.get_file("file-1")
    backend.download("file-1", tmp_path / "out")
    for seen in server.seen:
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["accept-encoding"] == "identity"
        assert "openai-organization" not in seen.headers


def test_organisation_and_project_are_those_of_the_profile_not_of_the_environment(
    server: Server, clock: ManualClock, key: KeySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-env")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.invalid")
    profile = Profile(name="x", base_url=server.base_url, key=key, organization="org-mine")
    backend = OpenAIBackend(profile, clock=clock)
    server.then(answer(misbehaving.batch()))
    backend.retrieve("batch_1")
    assert server.seen[0].headers["openai-organization"] == "org-mine"
    assert "openai-project" not in server.seen[0].headers
    backend.close()


def test_no_proxy_of_the_environment_gets_a_call_to_this_machine(
    backend: OpenAIBackend, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with misbehaving.serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        server.then(answer(misbehaving.batch()))
        backend.retrieve("batch_1")
        assert proxy.seen == []


def test_delete_is_true_only_if_the_service_says_deleted_true(
    backend: OpenAIBackend, server: Server
) -> None:
    for said, expected in ((True, True), (False, False), ("true", False), (None, False)):
        server.then(answer({"id": "file-1", "object": "file", "deleted": said}))
        assert backend.delete_file("file-1") is expected


def test_an_id_cannot_lead_to_another_path(backend: OpenAIBackend, server: Server) -> None:
    server.then(refusal(404))
    with pytest.raises(NotFound):
        backend.get_file("../batches?x=1#y")
    assert server.seen[0].path == "/v1/files/..%2Fbatches%3Fx=1%23y"


def test_files_are_listed_by_purpose_newest_first(backend: OpenAIBackend, server: Server) -> None:
    one = {"id": "file-1", "bytes": 3, "created_at": 5, "filename": "br-1.jsonl"}
    server.then(answer({"data": [one], "has_more": True}), answer({"data": None}))
    first = backend.list_files(after=None, limit=1000)
    assert [file.filename for file in first.files] == ["br-1.jsonl"]
    assert first.has_more
    assert not backend.list_files(after="file-1", limit=1000).has_more
    assert [seen.path for seen in server.seen] == [
        "/v1/files?limit=1000&order=desc&purpose=batch",
        "/v1/files?after=file-1&limit=1000&order=desc&purpose=batch",
    ]


def test_a_listing_has_pages_and_the_time_of_the_server(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(
        answer({"data": [misbehaving.batch()], "has_more": True}),
        answer({"data": [], "has_more": False}),
    )
    first = backend.list_batches(after=None, limit=100)
    assert [batch.id for batch in first.batches] == ["batch_1"]
    assert first.has_more
    assert first.server_time == DATE_AT
    assert not backend.list_batches(after="batch_1", limit=100).has_more
    assert [seen.path for seen in server.seen] == [
        "/v1/batches?limit=100",
        "/v1/batches?after=batch_1&limit=100",
    ]


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("state", ["completed", "failed", "expired", "cancelled", "cancelling"])
@pytest.mark.fault(5)
def test_cancelling_a_batch_that_has_ended_gives_the_batch(
    backend: OpenAIBackend, server: Server, status: int, state: str
) -> None:
    server.then(refusal(status), answer(misbehaving.batch(status=state)))
    assert backend.cancel("batch_1").status == state
    assert server.seen[0].path == "/v1/batches/batch_1/cancel"


def test_a_refused_cancel_of_a_running_batch_is_refused(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(refusal(400, "not_now"), answer(misbehaving.batch(status="in_progress")))
    with pytest.raises(Refused, match="not_now"):
        backend.cancel("batch_1")


def test_a_cancel_that_finds_the_server_down_asks_nothing_more(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(refusal(503))
    with pytest.raises(Transient):
        backend.cancel("batch_1")
    assert len(server.seen) == 1


def test_cancelling_an_unknown_batch_is_not_found_after_one_call(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(refusal(404))
    with pytest.raises(NotFound):
        backend.cancel("batch_1")


def test_the_account_is_offline_and_its_fingerprint_depends_on_key_and_salt(
    backend: OpenAIBackend, server: Server
) -> None:
    account = backend.account(b"salt")
    assert account.base_url == server.base_url
    digest = hashlib.blake2b(KEY.encode(), digest_size=8, key=b"salt")
    assert account.fingerprint == digest.hexdigest()
    assert backend.account(b"pepper").fingerprint != account.fingerprint
    assert KEY not in repr(account) + repr(backend)
    assert server.seen == []


def test_without_a_key_every_call_says_which_variable_to_set(
    server: Server, clock: ManualClock
) -> None:
    profile = Profile(
        name="openai", base_url=server.base_url, key=KeySource(variable="OPENAI_API_KEY")
    )
    backend = OpenAIBackend(profile, clock=clock)
    for call in (lambda: backend.account(b""), lambda: backend.retrieve("batch_1")):
        with pytest.raises(AuthError, match=r"set OPENAI_API_KEY .*--backend local"):
            call()
    assert server.seen == []


@pytest.mark.parametrize(
    "base_url", ["http://api.openai.com/v1", "http://10.0.0.7/v1", "ftp://x", "", "nonsense"]
)
@pytest.mark.fault(57)
def test_an_address_that_would_give_the_key_away_is_refused_before_any_call(
    clock: ManualClock, key: KeySource, base_url: str
) -> None:
    backend = OpenAIBackend(Profile(name="x", base_url=base_url, key=key), clock=clock)
    with pytest.raises(AuthError, match="cannot use the base_url"):
        backend.retrieve("batch_1")
    with pytest.raises(AuthError, match="cannot use the base_url"):
        backend.account(b"")


def test_traits_and_limits_are_those_of_the_profile(clock: ManualClock) -> None:
    traits, limits = Traits(settle_s=5), Limits(request_count=7)
    backend = OpenAIBackend(Profile(name="x", traits=traits, limits=limits), clock=clock)
    assert (backend.traits, backend.limits) == (traits, limits)
    assert backend.work(10.0) is None
    assert repr(backend) == "OpenAIBackend('https://api.openai.com/v1')"


def test_a_closed_backend_may_be_closed_again_and_opens_anew(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(*[answer(misbehaving.batch())] * 2)
    backend.retrieve("batch_1")
    backend.close()
    backend.close()
    assert backend.retrieve("batch_1").id == "batch_1"


def test_a_large_upload_is_read_in_pieces_while_it_is_sent(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes(b"x" * 20_000_000)
    server.then(*[answer(misbehaving.file(bytes=20_000_000))] * 2)
    backend.upload(path, name="warm-up.jsonl", expires_after_s=None)
    server.seen.clear()
    tracemalloc.start()
    backend.upload(path, name="br-1.jsonl", expires_after_s=None)
    received = len(server.seen[0].body)
    peak = tracemalloc.get_traced_memory()[1] - received  # the server of this test keeps the body
    tracemalloc.stop()
    assert received > 20_000_000
    assert peak < 10_000_000


def test_an_attachment_says_what_it_is_for_and_of_which_type(
    backend: OpenAIBackend, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "0123.png"
    path.write_bytes(b"PNG!")
    server.then(answer({"id": "file-1", "bytes": 4, "created_at": 5, "filename": "a.png"}))
    backend.upload(path, name="a.png", expires_after_s=3_600, purpose="vision")
    sent = server.seen[0].body
    assert b'name="purpose"\r\n\r\nvision\r\n' in sent
    assert b'filename="a.png"\r\nContent-Type: image/png\r\n' in sent
    assert b'name="expires_after[seconds]"\r\n\r\n3600\r\n' in sent


def test_files_of_another_purpose_are_listed_by_it(backend: OpenAIBackend, server: Server) -> None:
    server.then(answer({"data": []}))
    backend.list_files(after=None, limit=1000, purpose="user_data")
    assert server.seen[0].path == "/v1/files?limit=1000&order=desc&purpose=user_data"
