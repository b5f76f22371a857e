"""The error table is total, and every fault over a real socket ends in the one error that the contract names."""

import inspect
import threading
from collections.abc import Callable

import httpx2
import misbehaving
import openai
import pytest
from callkit import IDEMPOTENT, KEY, LOST, UNREADABLE, create, upload
from misbehaving import Server, Step, answer, page, refusal, silence

from batchrun.backends import openai_http
from batchrun.backends.credentials import KeySource
from batchrun.backends.openai import OpenAIBackend
from batchrun.backends.openai_errors import Call, Fate, fates, translate
from batchrun.backends.openai_errors import Server as Peer
from batchrun.errors import Ambiguous, AuthError, BackendError, NotFound, Refused, Transient
from batchrun.profiles import Profile
from batchrun.testing import ManualClock


def exceptions_of(module: object) -> set[type[Exception]]:
    return {
        thing
        for name in module.__all__  # type: ignore[attr-defined]
        if inspect.isclass(thing := getattr(module, name))
        and issubclass(thing, Exception)
        and not issubclass(thing, Warning)
    }


@pytest.mark.parametrize("kind", sorted(exceptions_of(httpx2) | exceptions_of(openai), key=str))
def test_every_exception_that_the_sdk_and_its_http_library_export_is_in_the_table(
    kind: type[Exception],
) -> None:
    assert kind in fates()


def test_every_subclass_of_theirs_has_a_fate_through_its_bases() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    for base in (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError):
        for kind in below(base):
            assert any(ancestor in fates() for ancestor in kind.__mro__), kind


def test_a_connection_error_of_the_sdk_is_judged_by_its_cause() -> None:
    request = httpx2.Request("POST", "https://api.example/v1/batches")
    peer = Peer(host="api.example", key_source="X", refusals_final=True, secrets=())
    call = Call(name="POST /batches", costs_money=True)

    def wrapped(cause: Exception | None) -> BackendError:
        error = openai.APIConnectionError(request=request)
        error.__cause__ = cause
        return translate(error, call, peer, now=0)

    unsent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
    assert {type(wrapped(kind("x"))) for kind in unsent} == {Transient}
    lost = (httpx2.ReadError, httpx2.WriteTimeout, httpx2.RemoteProtocolError)
    assert {type(wrapped(kind("x"))) for kind in lost} == {Ambiguous}
    assert type(wrapped(None)) is Ambiguous
    assert type(wrapped(EOFError("of a kind that nobody foresaw"))) is Ambiguous


def test_what_is_known_of_the_server_shows_no_key() -> None:
    peer = Peer(host="api.example", key_source="X", refusals_final=True, secrets=(KEY,))
    assert KEY not in repr(peer)


@pytest.mark.parametrize("call", list(IDEMPOTENT))
@pytest.mark.parametrize("fault", [*LOST, *UNREADABLE])
@pytest.mark.fault(4, 13, 19)
def test_any_other_call_without_a_readable_answer_is_transient(
    backend: OpenAIBackend, server: Server, call: str, fault: str
) -> None:
    server.then((LOST | UNREADABLE)[fault])
    with pytest.raises(Transient):
        IDEMPOTENT[call](backend)
    assert len(server.seen) == 1


@pytest.mark.parametrize("call", list(IDEMPOTENT))
@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (refusal(307, location="https://elsewhere.example/v1"), Transient),
        (refusal(400), Refused),
        (refusal(401), AuthError),
        (page(401), AuthError),
        (refusal(403), AuthError),
        (refusal(404), NotFound),
        (page(404), Transient),
        (page(400), Transient),
        (refusal(405), Refused),
        (refusal(408), Transient),
        (refusal(409), Transient),
        (refusal(413), Refused),
        (page(413), Refused),
        (refusal(422), Refused),
        (refusal(429), Transient),
        (page(429), Transient),
        (refusal(500), Transient),
        (page(502), Transient),
        (answer(b"", 503), Transient),
    ],
)
@pytest.mark.fault(5, 11)
def test_the_status_of_any_other_call_decides(
    backend: OpenAIBackend, server: Server, call: str, step: Step, kind: type[BackendError]
) -> None:
    server.then(step)
    with pytest.raises(BackendError) as caught:
        IDEMPOTENT[call](backend)
    assert type(caught.value) is kind


@pytest.mark.parametrize("call", [create, *IDEMPOTENT.values()])
@pytest.mark.fault(12)
def test_a_server_that_is_not_there_is_transient_for_every_call(
    clock: ManualClock, key: KeySource, call: Callable[[OpenAIBackend], object]
) -> None:
    with misbehaving.serving() as gone:
        base_url = gone.base_url
    backend = OpenAIBackend(Profile(name="x", base_url=base_url, key=key), clock=clock)
    with pytest.raises(Transient, match=r"127\.0\.0\.1:.* cannot be reached.*base_url"):
        call(backend)
    backend.close()


@pytest.mark.fault(12)
def test_a_name_that_does_not_resolve_is_transient_for_a_create(
    clock: ManualClock, key: KeySource
) -> None:
    profile = Profile(name="x", base_url="https://nowhere.invalid/v1", key=key)
    backend = OpenAIBackend(profile, clock=clock)
    with pytest.raises(Transient, match=r"nowhere\.invalid cannot be reached"):
        create(backend)
    backend.close()


@pytest.mark.fault(12)
def test_a_server_without_tls_is_transient_for_a_create(
    server: Server, clock: ManualClock, key: KeySource
) -> None:
    profile = Profile(name="x", base_url=server.base_url.replace("http", "https", 1), key=key)
    backend = OpenAIBackend(profile, clock=clock)
    with pytest.raises(Transient, match="cannot be reached"):
        create(backend)
    assert server.seen == []
    backend.close()


@pytest.mark.parametrize(
    ("call", "kind"), [(create, Ambiguous), (IDEMPOTENT["retrieve"], Transient)]
)
def test_a_server_that_never_answers_runs_into_the_read_timeout(
    backend: OpenAIBackend,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[OpenAIBackend], object],
    kind: type[BackendError],
) -> None:
    monkeypatch.setattr(openai_http, "TIMEOUT", httpx2.Timeout(5.0, read=0.05))
    over = threading.Event()
    server.then(silence(over))
    with pytest.raises(kind, match="timed out"):
        call(backend)
    over.set()


@pytest.mark.fault(17)
def test_an_answer_that_drips_is_cut_off_though_no_single_read_times_out(
    crawling: OpenAIBackend, server: Server
) -> None:
    server.then(*[misbehaving.chunked(*[b" "] * 200)] * 2)
    with pytest.raises(Transient, match=r"only .* bytes in"):
        crawling.retrieve("batch_1")
    with pytest.raises(Ambiguous, match=r"only .* bytes in"):
        create(crawling)


def test_an_endless_answer_is_cut_off(
    backend: OpenAIBackend, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_http, "ANSWER_LIMIT_BYTES", 100_000)
    server.then(misbehaving.chunked(*[b" " * 10_000] * 20))
    with pytest.raises(Transient, match="exceeds 100,000 bytes"):
        backend.retrieve("batch_1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.fault(20)
def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else(
    backend: OpenAIBackend, server: Server, status: int
) -> None:
    with misbehaving.serving() as thief:
        thief.then(*[answer(misbehaving.batch())] * 3)
        server.then(*[answer(b"", status, location=f"{thief.base_url}/batches")] * 3)
        with pytest.raises(Ambiguous, match="follows no redirect"):
            create(backend)
        with pytest.raises(Transient, match="follows no redirect"):
            backend.retrieve("batch_1")
        with pytest.raises(Transient):
            upload(backend)
        assert thief.seen == []


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "86400"}, 86400.0),
        ({"retry_after": "Mon, 21 Sep 2026 14:18:20 GMT"}, 300.0),
        ({"retry_after": "Mon, 21 Sep 2026 14:00:00 GMT"}, 0.0),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.fault(7)
def test_a_429_carries_the_wait_that_the_service_asks_for(
    backend: OpenAIBackend, server: Server, headers: dict[str, str], wait_s: float | None
) -> None:
    server.then(refusal(429, "rate_limit_exceeded", **headers))
    with pytest.raises(Transient) as caught:
        create(backend)
    assert caught.value.retry_after_s == wait_s


@pytest.mark.fault(9)
def test_a_used_up_quota_is_told_apart_by_its_code(backend: OpenAIBackend, server: Server) -> None:
    server.then(refusal(429, "insufficient_quota"))
    with pytest.raises(Transient, match="billing") as caught:
        create(backend)
    assert caught.value.code == "insufficient_quota"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, "c", "m"),
        ({"error": {"message": "m", "type": "t", "code": None}}, "t", "m"),
        ({"error": "plain words"}, None, "plain words"),
        ({"error": "plain words", "code": 400}, "400", "plain words"),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "400", "m"),
        ({"detail": "Not Found"}, None, "Not Found"),
        ({"detail": [{"msg": "field required"}]}, None, "field required"),
    ],
)
def test_the_shapes_of_typed_errors_are_known(
    backend: OpenAIBackend, server: Server, body: object, code: str | None, words: str
) -> None:
    server.then(answer(body, 400))
    with pytest.raises(Refused, match=words) as caught:
        create(backend)
    assert caught.value.code == code


@pytest.mark.fault(54, 55)
def test_no_message_holds_the_key_or_a_control_character_and_none_is_endless(
    backend: OpenAIBackend, server: Server
) -> None:
    evil = f"key {KEY} or sk-other-99999999 \x1b]52;c;AAAA\x07 \u202e \r\n" + "x" * 5000
    for step in (
        refusal(401, message=evil, code=evil),
        answer(evil.encode(), 400),
        answer(evil.encode(), 200),
        refusal(400, message=evil, x_request_id=KEY),
        refusal(301, location=f"https://{KEY}@elsewhere.example"),
    ):
        server.then(step)
        with pytest.raises(BackendError) as caught:
            create(backend)
        error = caught.value
        assert error.__cause__ is None
        assert error.__suppress_context__
        for text in (str(error), repr(error), error.code or ""):
            assert KEY not in text
            assert "sk-other" not in text
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert len(text) < 2500


@pytest.mark.parametrize(
    ("step", "advice"),
    [
        (refusal(401), "Check the key from OPENAI_API_KEY"),
        (refusal(403), "permissions"),
        (refusal(404), "If this server has no Batch API, ask it line by line"),
        (refusal(413), "limits"),
    ],
)
def test_a_refusal_says_which_server_and_what_to_do(
    backend: OpenAIBackend, server: Server, step: Step, advice: str
) -> None:
    server.then(step)
    with pytest.raises(BackendError, match=advice) as caught:
        backend.list_batches(after=None, limit=1)
    assert str(caught.value).startswith(f"127.0.0.1:{server.server_port} answered GET /batches")


def test_every_fate_is_used() -> None:
    assert set(fates().values()) == set(Fate)
