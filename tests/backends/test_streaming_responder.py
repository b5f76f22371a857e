"""What a watched answer looks like on the wire, and what becomes of those that break off, over a real socket."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from callkit import KEY
from misbehaving import Server, answer, cut, refusal

from batchrun.backends.credentials import KeySource
from batchrun.backends.live.responder import LiveResponder
from batchrun.backends.opening import live_responder
from batchrun.model import JsonObject, Rates
from batchrun.profiles import Profile
from batchrun.service import streams
from batchrun.service.responders.base import Postponed, Reply, Unanswered
from batchrun.service.responders.script import Rule
from batchrun.service.responders.scripted import ScriptedResponder
from batchrun.testing import ManualClock

CHAT = "/v1/chat/completions"
BODY: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
Shown = list[tuple[str, str]]


@pytest.fixture
def shown() -> Shown:
    return []


@pytest.fixture
def live(
    server: Server, key: KeySource, clock: ManualClock, shown: Shown
) -> Iterator[LiveResponder]:
    profile = Profile(name="x", base_url=server.base_url, key=key).directly("x:live")
    profile = replace(profile, rates=Rates(concurrency=2))
    opened = live_responder(profile, clock, on_delta=lambda *delta: shown.append(delta))
    yield opened
    opened.close()


@pytest.fixture
def whole(clock: ManualClock) -> JsonObject:
    responder = ScriptedResponder([Rule(reply="Good day to you.")], clock=clock)
    return responder.respond(CHAT, BODY, custom_id=None).body


def events(wire: bytes) -> Any:
    return answer(wire, content_type="text/event-stream; charset=utf-8")


def wire_of(whole: JsonObject) -> bytes:
    asked = {"stream_options": {"include_usage": True}}
    return b"".join(streams.events_of(CHAT, asked, whole))


def ask(live: LiveResponder, url: str = CHAT) -> Reply:
    return live.respond(url, BODY, custom_id="7-1-a")


def test_an_answer_is_shown_while_it_comes_and_recorded_whole(
    live: LiveResponder, server: Server, whole: JsonObject, shown: Shown
) -> None:
    server.then(events(wire_of(whole)))
    assert ask(live) == Reply(status_code=200, body=whole)
    assert shown == [("7-1-a", word) for word in ("Good ", "day ", "to ", "you.")]
    sent = json.loads(server.seen[0].body)
    assert sent == {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    assert "text/event-stream" in server.seen[0].headers["accept"]


def test_a_server_that_answers_whole_is_taken_at_its_word(
    live: LiveResponder, server: Server, whole: JsonObject, shown: Shown
) -> None:
    server.then(answer(whole))
    assert ask(live).body == whole
    assert shown == []


def test_a_server_that_refuses_to_stream_is_asked_again_without_and_from_then_on(
    live: LiveResponder, server: Server, whole: JsonObject
) -> None:
    server.then(refusal(400, message="Streaming is not supported"), answer(whole), answer(whole))
    assert ask(live).body == whole
    assert ask(live).body == whole
    bodies = [json.loads(seen.body) for seen in server.seen]
    assert ["stream" in body for body in bodies] == [True, False, False]
    assert bodies[1] == BODY


def test_another_refusal_is_the_answer_of_the_line(live: LiveResponder, server: Server) -> None:
    server.then(refusal(400, message="No such model"))
    assert ask(live).status_code == 400
    server.then(refusal(429, message="Too many streams"))
    with pytest.raises(Postponed):
        ask(live)
    assert len(server.seen) == 2


def test_an_endpoint_that_does_not_stream_is_asked_plainly(
    live: LiveResponder, server: Server
) -> None:
    server.then(answer({"object": "list"}))
    ask(live, "/v1/embeddings")
    assert json.loads(server.seen[0].body) == BODY


@pytest.mark.parametrize("kind", ["cut", "closed", "error", "page"])
def test_what_breaks_off_is_no_answer_and_may_have_been_executed(
    live: LiveResponder, server: Server, whole: JsonObject, kind: str
) -> None:
    wire = wire_of(whole)
    steps = {
        "cut": events(wire[: len(wire) // 2]),
        "closed": cut(wire[:200], announced=len(wire)),
        "error": events(
            wire[:200] + b'\n\ndata: {"error": {"message": "no %b"}}\n\n' % KEY.encode()
        ),
        "page": events(b"data: <html>\n\n"),
    }
    server.then(steps[kind])
    with pytest.raises(Unanswered) as lost:
        ask(live)
    assert KEY not in str(lost.value)
    server.then(answer(whole))
    assert ask(live).body == whole  # the connection is of no use any more, the responder is


def test_whoever_watches_may_end_an_answer(
    server: Server, key: KeySource, clock: ManualClock, whole: JsonObject
) -> None:
    def stop(_custom_id: str, _text: str) -> None:
        raise Unanswered("stopped")

    profile = Profile(name="x", base_url=server.base_url, key=key).directly("x:live")
    live = live_responder(profile, clock, on_delta=stop)
    server.then(events(wire_of(whole)))
    with pytest.raises(Unanswered, match="stopped"):
        ask(live)
    live.close()
