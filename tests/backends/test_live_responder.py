"""What each outcome of a single request means for its line, over a real socket; and what the server sees of us."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from callkit import KEY
from misbehaving import (
    Handler,
    Server,
    Step,
    answer,
    chunked,
    cut,
    garbage,
    hang_up,
    page,
    refusal,
    reset,
    silence,
)

from batchrun.backends import openai_http
from batchrun.backends.credentials import KeySource
from batchrun.backends.live.responder import (
    BLOCKED_MOST,
    REFUSALS_MOST,
    UNREACHED_MOST,
    LiveResponder,
)
from batchrun.backends.opening import live_responder
from batchrun.errors import Ambiguous, AuthError, BackendError, Transient
from batchrun.model import JsonObject, Rates
from batchrun.profiles import Profile
from batchrun.service.refusals import ServiceError
from batchrun.service.responders.base import Postponed, Reply, Unanswered
from batchrun.testing import ManualClock

URL = "/v1/chat/completions"
BODY: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
DONE: JsonObject = {
    "object": "chat.completion",
    "service_tier": "flex",
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}


@pytest.fixture
def profile(server: Server, key: KeySource) -> Profile:
    return Profile(name="x", base_url=server.base_url, key=key).directly("x:live")


@pytest.fixture
def live(profile: Profile, clock: ManualClock) -> Iterator[LiveResponder]:
    opened = live_responder(profile, clock)
    yield opened
    opened.close()


def ask(live: LiveResponder, **changes: Any) -> Reply:
    return live.respond(URL, {**BODY, **changes}, custom_id="a")


def test_an_answer_is_passed_on_as_it_came_and_the_body_goes_as_it_is(
    live: LiveResponder, server: Server
) -> None:
    server.then(answer(DONE))
    assert ask(live, service_tier="flex") == Reply(status_code=200, body=DONE)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert json.loads(seen.body) == {**BODY, "service_tier": "flex"}
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert "openai-organization" not in seen.headers
    assert live.is_billed


def test_organisation_and_project_go_along(
    profile: Profile, server: Server, clock: ManualClock
) -> None:
    live = live_responder(replace(profile, organization="org-1", project="proj-1"), clock)
    server.then(answer(DONE))
    ask(live)
    assert server.seen[0].headers["openai-organization"] == "org-1"
    assert server.seen[0].headers["openai-project"] == "proj-1"
    live.close()


@pytest.mark.parametrize(
    ("base", "path"),
    [("/v1", "/v1/embeddings"), ("/openai/v1/", "/openai/v1/embeddings"), ("/api", "/api/embeddings")],
)  # fmt: skip
def test_an_endpoint_is_taken_below_the_address_of_the_profile(
    profile: Profile, server: Server, clock: ManualClock, base: str, path: str
) -> None:
    address = server.base_url.removesuffix("/v1") + base
    live = live_responder(replace(profile, base_url=address), clock)
    server.then(answer(DONE))
    live.respond("/v1/embeddings", {"model": "m", "input": "a"}, custom_id=None)
    assert server.seen[0].path == path
    live.close()


def test_one_connection_serves_request_after_request(live: LiveResponder, server: Server) -> None:
    server.then(*[answer(DONE)] * 2, refusal(400), *[answer(DONE)] * 2)
    for _ in range(5):
        ask(live)
    assert len({seen.port for seen in server.seen}) == 1


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (refusal(400, "context_length_exceeded"), 400, "context_length_exceeded"),
        (refusal(404, "model_not_found", "The model 'm' does not exist."), 404, "model_not_found"),
        (refusal(404, None, "This is not a chat model."), 404, None),
        (refusal(409), 409, None),
        (refusal(422, "invalid"), 422, "invalid"),
        (refusal(500, "server_error"), 500, "server_error"),
        (refusal(502, "bad_gateway"), 502, "bad_gateway"),
        (
            refusal(429, "rate_limit_exceeded", "Request too large for m on tokens per min (TPM)"),
            429,
            "rate_limit_exceeded",
        ),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_a_typed_refusal_is_the_lines_answer(
    live: LiveResponder, server: Server, step: Step, status: int, code: str | None
) -> None:
    server.then(step)
    reply = ask(live)
    assert (reply.status_code, reply.body["error"]["code"]) == (status, code)
    assert live.wait_s() == 0.0


@pytest.mark.parametrize(
    "step",
    [page(404), refusal(404, None, "Not Found"), answer({"detail": "Not Found"}, 404), page(405)],
    ids=["page", "typed", "detail", "405"],
)
def test_a_server_without_the_endpoint_is_told_as_such(
    live: LiveResponder, server: Server, step: Step
) -> None:
    server.then(step)
    reply = live.respond("/v1/responses", {"model": "m", "input": "a"}, custom_id="a")
    assert reply.status_code in {404, 405}
    assert reply.body["error"]["code"] == "endpoint_not_found"
    assert f"127.0.0.1:{server.server_port} has no /v1/responses." in reply.body["error"]["message"]


def test_what_is_too_large_for_a_proxy_is_refused_for_good(
    live: LiveResponder, server: Server
) -> None:
    server.then(page(413))
    reply = ask(live)
    assert reply.status_code == 413
    assert "nginx" in reply.body["error"]["message"]


@pytest.mark.parametrize("status", [429, 503, 529, 425])
@pytest.mark.parametrize("is_typed", [True, False])
def test_not_now_postpones_the_line_and_all_others(
    live: LiveResponder, server: Server, clock: ManualClock, status: int, is_typed: bool
) -> None:
    step = refusal if is_typed else page
    server.then(step(status), answer(DONE))
    before = live.concurrency
    with pytest.raises(Postponed) as postponed:
        ask(live)
    assert (postponed.value.status, postponed.value.retry_after_s) == (status, 1.0)
    assert live.concurrency == before / 2
    assert live.wait_s() == 1.0
    clock.advance(1)
    assert live.wait_s() == 0.0
    assert ask(live).status_code == 200


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "20"}, 20.0),
        ({"retry_after": "Mon, 21 Sep 2026 14:14:20 GMT"}, 60.0),
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5),
    ],
)
def test_retry_after_is_honoured(
    live: LiveResponder, server: Server, clock: ManualClock, headers: dict[str, str], wait: float
) -> None:
    server.then(refusal(429, "rate_limit_exceeded", **headers))
    with pytest.raises(Postponed) as postponed:
        ask(live)
    assert postponed.value.retry_after_s == wait
    assert live.wait_s() == wait
    clock.advance(int(wait))
    assert live.wait_s() == wait - int(wait)


def test_an_exhausted_limit_is_waited_for_though_the_answer_is_good(
    live: LiveResponder, server: Server
) -> None:
    left = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "6m0s"}
    server.then(answer(DONE, 200, **left))
    assert ask(live).status_code == 200
    assert live.wait_s() == 360.0


def test_a_server_that_refuses_now_and_then_is_not_left_alone(
    live: LiveResponder, server: Server, clock: ManualClock
) -> None:
    for _ in range(REFUSALS_MOST):
        server.then(refusal(429, "rate_limit_exceeded"), refusal(400))
        with pytest.raises(Postponed):
            ask(live)
        clock.advance(1)
        assert ask(live).status_code == 400


def test_a_video_is_not_asked_for(live: LiveResponder, server: Server) -> None:
    with pytest.raises(ServiceError, match="before there is a video"):
        live.respond("/v1/videos", {"model": "sora-2", "prompt": "a cat"}, custom_id="a")
    assert server.seen == []


def test_a_server_that_goes_on_refusing_is_left_alone(
    live: LiveResponder, server: Server, clock: ManualClock
) -> None:
    server.then(*[refusal(429, "rate_limit_exceeded")] * REFUSALS_MOST)
    for _ in range(REFUSALS_MOST - 1):
        with pytest.raises(Postponed):
            ask(live)
        clock.advance(60)
    with pytest.raises(Transient, match="429 rate_limit_exceeded") as given_up:
        ask(live)
    assert not isinstance(given_up.value, Postponed)


@pytest.mark.parametrize(
    ("step", "kind", "said"),
    [
        (refusal(401, "invalid_api_key"), AuthError, "Check the key from OPENAI_API_KEY"),
        (refusal(403), AuthError, "may not do this"),
        (page(403), AuthError, "nginx"),
        (refusal(429, "insufficient_quota"), Transient, "Check the plan and the billing"),
        (answer(b"", 307, location="https://evil.example/"), Transient, "follows no redirect"),
        (page(400), Transient, "no error of the API"),
    ],
    ids=["401", "403", "403-page", "quota", "redirect", "proxy"],
)
def test_what_is_wrong_with_the_whole_profile_is_raised(
    live: LiveResponder, server: Server, step: Step, kind: type[BackendError], said: str
) -> None:
    server.then(step)
    with pytest.raises(kind, match=said) as raised:
        ask(live)
    assert not isinstance(raised.value, Postponed | Ambiguous)
    assert len(server.seen) == 1


@pytest.mark.parametrize("step", [refusal(403, "flagged"), page(403), page(406)])
def test_what_something_in_between_minds_costs_its_line_only_while_others_are_answered(
    live: LiveResponder, server: Server, step: Step
) -> None:
    server.then(answer(DONE), step, answer(DONE), *[step] * (BLOCKED_MOST + 1))
    statuses = [ask(live).status_code for _ in range(3 + BLOCKED_MOST)]
    assert statuses[0] == statuses[2] == 200
    assert {statuses[1], *statuses[3:]} <= {403, 406}
    with pytest.raises(BackendError):
        ask(live)


@pytest.mark.parametrize(
    "step",
    [
        *(hang_up, reset, garbage, cut(b'{"id": "chat', announced=400)),
        *(page(200), answer(b""), answer(b'{"id": "ch'), answer([1]), answer(b'{"a": "\xff"}')),
        *(page(500), page(502), page(504), page(408)),
        *(refusal(504, "gateway_timeout"), refusal(408, "timeout"), refusal(524)),
        answer(b"not gzip", content_encoding="gzip"),
    ],
    ids=[
        *("hang-up", "reset", "garbage", "cut", "html", "empty", "half", "list", "not-utf-8"),
        *("500-page", "502-page", "504-page", "408-page"),
        *("504", "408", "524", "bad-gzip"),
    ],
)
def test_without_a_whole_answer_nobody_knows_whether_it_was_executed(
    live: LiveResponder, server: Server, step: Step
) -> None:
    server.then(step, answer(DONE))
    with pytest.raises(Unanswered, match=rf"127\.0\.0\.1:{server.server_port}"):
        ask(live)
    assert len(server.seen) == 1
    assert ask(live).status_code == 200


def test_silence_is_bounded_by_the_profile_and_longer_for_flex(
    profile: Profile, server: Server, clock: ManualClock
) -> None:
    ended = threading.Event()
    live = live_responder(replace(profile, rates=Rates(timeout_s=0.05)), clock)

    def late(handler: Handler) -> None:
        ended.wait(0.1)
        answer(DONE)(handler)

    server.then(silence(ended), late)
    with pytest.raises(Unanswered, match="did not answer POST /v1/chat/completions"):
        ask(live)
    assert live.concurrency == 2
    assert ask(live, service_tier="flex").body["service_tier"] == "flex"
    ended.set()
    live.close()


def test_an_absurdly_large_answer_is_not_read_to_its_end(
    live: LiveResponder, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_http, "ANSWER_LIMIT_BYTES", 1_000)
    server.then(chunked(b'{"a": "', b"x" * 5_000))
    with pytest.raises(Unanswered, match="exceeds 1,000 bytes"):
        ask(live)


def test_a_server_that_is_not_there_postpones_a_few_times_and_is_then_unreachable(
    profile: Profile, clock: ManualClock
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        live = live_responder(replace(profile, base_url=address), clock)
        for _ in range(UNREACHED_MOST - 1):
            with pytest.raises(Postponed, match="cannot be reached"):
                ask(live)
            with pytest.raises(Postponed):  # at the same moment: no news
                ask(live)
            clock.sleep_until(clock.now() + round(live.wait_s()))
        with pytest.raises(Transient, match="cannot be reached") as unreachable:
            ask(live)
        assert not isinstance(unreachable.value, Postponed)
        live.close()


def test_without_a_key_nothing_is_sent(
    profile: Profile, server: Server, clock: ManualClock
) -> None:
    live = live_responder(replace(profile, key=KeySource(variable="GONE")), clock)
    with pytest.raises(AuthError, match="set GONE"):
        ask(live)
    assert server.seen == []
    live.close()


@pytest.mark.fault(57)
@pytest.mark.parametrize("is_typed", [True, False])
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500])
def test_no_message_holds_the_key_though_the_server_repeats_it(
    live: LiveResponder, server: Server, status: int, is_typed: bool
) -> None:
    body = answer(f"<html>{KEY}</html>".encode(), status, content_type="text/html")
    server.then(refusal(status, "x", f"The key {KEY} is bad.") if is_typed else body)
    said = ""
    try:
        said = json.dumps(ask(live).body)
    except BackendError as error:
        said = str(error)
    assert said
    assert KEY not in said


def test_a_key_that_is_hardly_one_does_not_tear_holes_into_a_refusal(
    profile: Profile, server: Server, clock: ManualClock
) -> None:
    short = KeySource(variable="K", environ={"K": "e"})
    live = live_responder(replace(profile, key=short), clock)
    server.then(refusal(400, "invalid_value", "Never seen."))
    assert ask(live).body["error"]["message"] == "Never seen."
    live.close()


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (answer({"data": [{"id": "b"}, {"id": "a"}, {}, 3]}), ["a", "b"]),
        (answer([{"id": "a"}]), ["a"]),
        (page(404), []),
        (refusal(405), []),
    ],
)
def test_models_are_those_that_the_server_lists(
    live: LiveResponder, server: Server, step: Step, names: list[str]
) -> None:
    server.then(step)
    assert live.models() == names
    assert server.seen[0].path == "/v1/models"


@pytest.mark.parametrize(
    ("step", "kind"),
    [(refusal(401), AuthError), (hang_up, Transient), (page(200), Transient), (page(500), Transient)],
)  # fmt: skip
def test_models_of_a_server_that_does_not_answer_are_an_error(
    live: LiveResponder, server: Server, step: Step, kind: type[BackendError]
) -> None:
    server.then(step)
    with pytest.raises(kind):
        live.models()
