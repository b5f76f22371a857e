"""A live request says in which tier it is to be asked wherever that decides about its price, and nothing is said to a server that may not know the word."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from misbehaving import Server, answer, refusal

from batchrun.backends.credentials import KeySource
from batchrun.backends.live.responder import TIERED, LiveResponder
from batchrun.backends.live.streaming import StreamingResponder
from batchrun.backends.openai_live import LiveClient
from batchrun.backends.opening import live_responder
from batchrun.endpoints.tables import parameters_of
from batchrun.model import JsonObject
from batchrun.profiles import Profile
from batchrun.testing import ManualClock

CHAT = "/v1/chat/completions"
BODY: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
DONE: JsonObject = {"object": "chat.completion", "service_tier": "default", "choices": []}

NewLive = Callable[..., LiveResponder]


@pytest.fixture
def profile(server: Server, key: KeySource) -> Profile:
    return Profile(name="x", base_url=server.base_url, key=key).directly("x:live")


@pytest.fixture
def new_live(profile: Profile, clock: ManualClock) -> Iterator[NewLive]:
    """Responders that take the server on this machine for one with tiers, as they would OpenAI's own."""
    opened: list[LiveResponder] = []

    def new(*, streams: bool = False) -> LiveResponder:
        def open_client() -> LiveClient:
            return LiveClient(profile, clock=clock)

        if streams:
            live: LiveResponder = StreamingResponder(
                open_client, profile.rates, clock, on_delta=lambda *_: None, has_tiers=True
            )
        else:
            live = LiveResponder(open_client, profile.rates, clock, has_tiers=True)
        opened.append(live)
        return live

    yield new
    for live in opened:
        live.close()


def bodies(server: Server) -> list[Any]:
    return [json.loads(seen.body) for seen in server.seen]


@pytest.mark.parametrize("streams", [False, True])
def test_what_says_nothing_of_its_tier_is_asked_in_the_default_one(
    new_live: NewLive, server: Server, streams: bool
) -> None:
    live = new_live(streams=streams)
    body = dict(BODY)
    for said in ({}, {"service_tier": None}):
        server.then(answer(DONE))
        assert live.respond(CHAT, {**body, **said}, custom_id="a").body == DONE

    for sent in bodies(server):
        rest = {key: sent[key] for key in sent if key not in {"stream", "stream_options"}}
        assert rest == {**BODY, "service_tier": "default"}
    assert body == BODY, "the caller's own is as it was"


@pytest.mark.parametrize("tier", ["flex", "priority", "auto", "default"])
def test_what_is_said_is_sent(new_live: NewLive, server: Server, tier: str) -> None:
    server.then(answer(DONE))
    new_live().respond(CHAT, {**BODY, "service_tier": tier}, custom_id="a")

    assert bodies(server) == [{**BODY, "service_tier": tier}]


def test_endpoints_without_tiers_are_not_told(new_live: NewLive, server: Server) -> None:
    server.then(answer({"data": []}))
    new_live().respond("/v1/embeddings", {"model": "m", "input": "a"}, custom_id="a")

    assert bodies(server) == [{"model": "m", "input": "a"}]


def test_the_endpoints_with_tiers_are_those_of_the_reference() -> None:
    urls = ("/v1/responses", CHAT, "/v1/completions", "/v1/embeddings", "/v1/moderations")
    assert {url for url in urls if "service_tier" in parameters_of(url)} == TIERED


def test_a_server_that_does_not_know_the_word_is_asked_without_it_from_then_on(
    new_live: NewLive, server: Server
) -> None:
    live = new_live()
    unknown = refusal(400, "unknown_parameter", "Unknown parameter: 'service_tier'.")
    server.then(unknown, answer(DONE), answer(DONE))
    for _ in range(2):
        assert live.respond(CHAT, BODY, custom_id="a").status_code == 200

    assert bodies(server) == [{**BODY, "service_tier": "default"}, BODY, BODY]


def test_another_refusal_is_no_reason_to_ask_in_a_tier_that_nobody_chose(
    new_live: NewLive, server: Server
) -> None:
    server.then(refusal(400, "invalid_value", "Unknown value for service_tier."))

    assert new_live().respond(CHAT, BODY, custom_id="a").status_code == 400
    assert len(server.seen) == 1


@pytest.mark.parametrize("on_delta", [None, lambda *_: None])
def test_which_servers_have_tiers_their_hosts_tell(
    profile: Profile, clock: ManualClock, on_delta: Any
) -> None:
    theirs = replace(profile, base_url="https://api.openai.com/v1")

    assert live_responder(theirs, clock, on_delta=on_delta).has_tiers
    assert not live_responder(profile, clock, on_delta=on_delta).has_tiers
