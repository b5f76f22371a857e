"""Requests: their bytes and hashes are pinned, since a drift between releases would ask (and pay) for every job again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun import requests
from batchrun.errors import JobFileError
from batchrun.jobfile import load
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JobSettings, Json, JsonObject
from batchrun.requests import BadItem, Request, RequestBuilder


def settings(**changes: Any) -> JobSettings:
    line = {
        "name": "reviews",
        "path": "/jobs/reviews.jsonl",
        "line": 1,
        "model": "gpt-4.1-mini",
        "prompt": "Review of {{ product }}: {{ text }}",
        **changes,
    }
    return JobSettings(**line)


ITEM = {"id": "a1", "product": "Lamp", "text": 'Bright ☀ and "cheap"\n'}

GOLDEN: dict[str, tuple[JobSettings, JsonObject, bytes | None, str]] = {
    "responses": (
        settings(),
        ITEM,
        b'"method":"POST","url":"/v1/responses","body":{"model":"gpt-4.1-mini","input":"Review of Lamp: Bright \xe2\x98\x80 and \\"cheap\\"\\n"}}',
        "0b875e10796e674f5bf6a4674cf65e4b",
    ),
    "chat": (
        settings(endpoint="/v1/chat/completions", instructions="Be brief.", max_output_tokens=50),
        ITEM,
        None,
        "13ff767522d63650d00b91d6b5d595f5",
    ),
    "labels": (
        settings(labels=("good", "bad"), instructions="You judge {{ product }}."),
        ITEM,
        None,
        "aae4286eac3ad21de16a7ea5eacd6d75",
    ),
    "own body": (
        settings(body={"temperature": 0.5}),
        {**ITEM, "body": {"temperature": 0}},
        None,
        "f0f228c5f5e243a404ca6a1dd88fdb9f",
    ),
    "embeddings": (
        settings(endpoint="/v1/embeddings", model="text-embedding-3-small", prompt=None),
        {"id": "e", "input": ["one", "two"]},
        None,
        "20b8d62238b7428146330e5e30b94bb3",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bytes_and_the_hash_of_a_request_never_change(name: str) -> None:
    job, fields, tail, hashed = GOLDEN[name]
    request = RequestBuilder(job).build(fields)
    if tail is not None:
        assert request.tail == tail
    assert request.hash.hex() == hashed


def all_ways(job: JobSettings, fields: JsonObject) -> list[Request]:
    """The same request by every path through the builder."""
    builder = RequestBuilder(job)
    ways = [builder.build(fields)]
    ways += [request for _, request in builder.build_all([fields], lambda *_: None)]
    # Beside an item of another kind, a block is built item by item.
    odd = {**fields, "body": {"temperature": 0}}
    ways += [
        request for index, request in builder.build_all([fields, odd], lambda *_: None) if not index
    ]
    plain = builder.build_plain([fields])
    if plain is not None:
        tail = plain.before + plain.prompts[0] + plain.after
        ways.append(Request(plain.keys[0], tail, plain.model, 1, plain.hashes[0]))
    return ways


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_every_path_through_the_builder_makes_the_same_request(text: str) -> None:
    fields = {"id": "a", "product": "p", "text": text}
    ways = all_ways(settings(), fields)
    assert len(ways) == 4, "the fast path takes part"
    assert len(set(ways)) == 1
    line = json.loads(b"{" + ways[0].tail)
    assert line["body"]["input"] == f"Review of p: {text}"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_instructions_that_vary_make_the_same_request_on_every_path(text: str) -> None:
    job = settings(instructions="About {{ text }}")
    ways = all_ways(job, {"id": "a", "product": "p", "text": text})
    assert len(set(ways)) == 1


@pytest.mark.parametrize("text", ["\x00prompt0\x00", "prompt0", "\x00instructions0\x00"])
def test_instructions_may_be_what_a_place_is_marked_with_inside(text: str) -> None:
    ways = all_ways(settings(instructions=text), {"id": "a", "product": "p", "text": "t"})
    assert len(set(ways)) == 1
    assert json.loads(b"{" + ways[0].tail)["body"]["instructions"] == text


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_different_prompts_have_different_hashes(one: str, other: str) -> None:
    builder = RequestBuilder(settings(prompt="{{ text }}"))
    hashes = {builder.build({"id": "a", "text": text}).hash for text in (one, other)}
    assert len(hashes) == len({one, other})


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "gpt-4.1"},
        {"prompt": "Review of {{ product }}: {{ text }} "},
        {"instructions": "Be kind."},
        {"max_output_tokens": 5},
        {"body": {"temperature": 0}},
        {"labels": ("a", "b")},
        {"endpoint": "/v1/chat/completions"},
    ],
)
def test_whatever_changes_the_request_changes_its_hash(changes: JsonObject) -> None:
    before = RequestBuilder(settings()).build(ITEM).hash
    assert RequestBuilder(settings(**changes)).build(ITEM).hash != before


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"path": "/elsewhere/reviews.jsonl", "line": 7},
        {"attempts": 9},
        {"note": "for people"},
        {"window": "24h"},
        {"metadata": {"team": "a"}},
        {"items": "/data/x.csv"},
        {"bad_items": 3},
        {"profile": "local"},
    ],
)
def test_what_does_not_change_the_request_leaves_its_hash(changes: JsonObject) -> None:
    before = RequestBuilder(settings()).build(ITEM).hash
    assert RequestBuilder(settings(**changes)).build(ITEM).hash == before


def test_the_id_is_not_part_of_the_request() -> None:
    builder = RequestBuilder(settings())
    assert builder.build(ITEM).hash == builder.build({**ITEM, "id": "another"}).hash


def test_a_request_over_sixteen_megabytes_is_refused() -> None:
    builder = RequestBuilder(settings(prompt="{{ text }}"))
    with pytest.raises(BadItem) as caught:
        builder.build({"id": "a", "text": "é" * 8_000_000})
    assert caught.value.cause in {"too_large", "template_error"}
    bad: list[int] = []
    assert (
        list(builder.build_all([{"id": "a", "text": "é" * 8_000_000}], lambda i, _: bad.append(i)))
        == []
    )
    assert bad == [0]


@pytest.mark.parametrize("extra", [{"body": {}}, {"body": None}, {"model": "gpt-4.1-mini"}])
def test_an_item_that_says_nothing_of_its_own_asks_the_same_as_one_that_is_silent(
    extra: dict[str, object],
) -> None:
    builder = RequestBuilder(settings())
    silent, spoken = builder.build(ITEM), builder.build({**ITEM, **extra})
    assert (spoken.tail, spoken.hash) == (silent.tail, silent.hash)


def refused(builder: RequestBuilder, fields: JsonObject) -> BadItem:
    """Why this item cannot become a request; alone and in a block it is the same."""
    with pytest.raises(BadItem) as caught:
        builder.build(fields)
    bad: list[tuple[int, str]] = []
    good = list(builder.build_all([fields], lambda index, exc: bad.append((index, str(exc)))))
    assert (good, bad) == ([], [(0, str(caught.value))])
    return caught.value


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"is_raw": True, "prompt": None, "model": None}, None),
        ({"body": {"temprature": 0}}, "temprature"),
        ({"body": {"temprature": 0}, "body_unchecked": True}, None),
    ],
    ids=["good", "raw", "a parameter that is none", "unchecked"],
)
def test_the_job_line_is_checked_before_any_item(changes: JsonObject, told: str | None) -> None:
    problems = RequestBuilder(settings(**changes)).check()
    assert bool(problems) == (told is not None)
    assert told is None or told in "".join(problems)


@pytest.mark.parametrize(
    ("job", "fields"),
    [
        (settings(), {"id": "a", "product": "p"}),
        (settings(), {"id": "x" * 600, "product": "p", "text": "t"}),
        (settings(instructions="{{ gone }}"), {**ITEM}),
    ],
    ids=["a field that is missing", "an id that is too long", "a field of the instructions"],
)
def test_an_item_that_cannot_be_asked_is_told_in_the_same_words_alone_and_in_a_block(
    job: JobSettings, fields: JsonObject
) -> None:
    assert refused(RequestBuilder(job), fields).cause in {"template_error", "bad_item"}


def test_a_block_goes_on_behind_a_bad_item() -> None:
    builder = RequestBuilder(settings())
    rows = [ITEM, {"id": "a2", "text": "no product"}, {**ITEM, "id": "a3"}]
    bad: list[int] = []
    good = [(i, r.key) for i, r in builder.build_all(rows, lambda i, _: bad.append(i))]
    assert (good, bad) == ([(0, "a1"), (2, "a3")], [1])


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"prompt": None}, {"id": "a", "input": "x"}),
        ({"instructions": "About {{ text }}"}, ITEM),
        ({"id": "{{ product }}"}, ITEM),
        ({"model": None}, {**ITEM, "model": "gpt-5"}),
        ({}, {**ITEM, "body": {"temperature": 0}}),
        ({}, {**ITEM, "model": "gpt-5"}),
        ({}, {**ITEM, "id": 7}),
        ({}, {**ITEM, "id": "日本"}),
        ({}, {**ITEM, "id": ""}),
        ({}, {"product": "p", "text": "no id"}),
        ({}, {"id": "a", "product": "p"}),
        ({"prompt": "{{ text }}"}, {"id": "a", "text": "x" * ITEM_LINE_LIMIT_BYTES}),
        ({"prompt": "{{ text }}"}, {"id": "a", "text": "\x01" * (ITEM_LINE_LIMIT_BYTES // 4)}),
    ],
    ids=[
        "no prompt", "instructions vary", "an id template", "no model", "own body", "own model", "a number for an id",
        "no ASCII", "an empty id", "no id", "a missing field", "too large", "too large once it is JSON",
    ],
)  # fmt: skip
def test_a_block_that_is_not_plain_is_left_to_the_careful_path(
    changes: JsonObject, fields: JsonObject
) -> None:
    assert RequestBuilder(settings(**changes)).build_plain([ITEM, fields]) is None


@pytest.mark.parametrize(
    ("endpoint", "key", "value"),
    [
        ("/v1/responses", "input", "x"),
        ("/v1/responses", "input", None),
        ("/v1/chat/completions", "messages", [{"role": "user", "content": "x"}]),
        ("/v1/completions", "prompt", "x"),
        ("/v1/embeddings", "input", "x"),
        ("/v1/moderations", "input", "x"),
        ("/v1/images/generations", "prompt", "x"),
        ("/v1/images/edits", "prompt", "x"),
        ("/v1/videos", "prompt", "x"),
    ],
)
def test_a_prompt_and_a_body_that_asks_too_contradict_each_other(
    endpoint: str, key: str, value: Json
) -> None:
    job = settings(endpoint=endpoint, body={key: value})
    assert any(f"both 'prompt' and 'body.{key}'" in told for told in RequestBuilder(job).check())
    assert RequestBuilder(settings(endpoint=endpoint)).check() == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"instructions": "a", "body": {"instructions": "b"}}, "both 'instructions'"),
        ({"max_output_tokens": 5, "body": {"max_output_tokens": 6}}, "both 'max_output_tokens'"),
    ],
)
def test_what_has_a_key_of_its_own_is_not_said_again_in_the_body(
    changes: JsonObject, told: str
) -> None:
    assert any(told in problem for problem in RequestBuilder(settings(**changes)).check())


def test_the_body_of_an_item_may_replace_what_the_job_asks() -> None:
    request = RequestBuilder(settings()).build({**ITEM, "body": {"input": "mine"}})
    assert b'"input":"mine"' in request.tail


@pytest.mark.parametrize(
    ("endpoint", "body", "sent"),
    [
        ("/v1/responses", {"input": "z"}, b'{"model":"gpt-4.1-mini","input":"z"}'),
        (
            "/v1/responses",
            {"prompt": {"id": "pmpt_1"}},
            b'{"model":"gpt-4.1-mini","prompt":{"id":"pmpt_1"}}',
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "z"}]},
            b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"z"}]}',
        ),
        ("/v1/embeddings", {"input": "z"}, b'{"model":"gpt-4.1-mini","input":"z"}'),
    ],
)
def test_a_body_may_hold_all_that_is_asked(endpoint: str, body: JsonObject, sent: bytes) -> None:
    job = settings(endpoint=endpoint, prompt=None)
    assert RequestBuilder(job).build({"id": "c", "body": body}).tail.endswith(sent + b"}")
    ours = settings(endpoint=endpoint, prompt=None, body=body)
    assert RequestBuilder(ours).build({"id": "c"}).tail.endswith(sent + b"}")
    told = refused(RequestBuilder(ours), {"id": "c", "input": "mine"}).message
    assert "the job line's 'body' asks already" in told


def test_an_item_without_prompt_and_input_has_nothing_to_ask() -> None:
    job = settings(prompt=None)
    assert "nothing to ask" in refused(RequestBuilder(job), {"id": "a", "body": {}}).message


def test_an_item_with_a_key_that_means_nothing_is_refused() -> None:
    told = refused(RequestBuilder(settings()), {**ITEM, "body": 7})
    assert (told.cause, "body" in told.message) == ("bad_item", True)


def test_the_body_of_an_item_is_checked_unless_the_job_says_otherwise() -> None:
    fields = {**ITEM, "body": {"temprature": 0}}
    assert "temprature" in refused(RequestBuilder(settings()), fields).message
    unchecked = RequestBuilder(settings(body_unchecked=True)).build(fields)
    assert json.loads(b"{" + unchecked.tail)["body"]["temprature"] == 0


def test_bodies_beyond_those_that_are_remembered_are_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "_CHECKED_BODIES_MAX", 1)
    builder = RequestBuilder(settings())
    for temperature in (0, 1, 0, 1):
        fields = {**ITEM, "body": {"temperature": temperature}}
        body = json.loads(b"{" + builder.build(fields).tail)["body"]
        assert body["temperature"] == temperature
    refused(builder, {**ITEM, "body": {"temprature": 0}})


def test_a_whole_request_over_sixteen_megabytes_is_refused() -> None:
    builder = RequestBuilder(settings(prompt=None))
    told = refused(builder, {"id": "a", "input": "x" * ITEM_LINE_LIMIT_BYTES})
    assert told.cause == "too_large"


RAW = {
    "custom_id": "r1",
    "method": "POST",
    "url": "/v1/responses",
    "body": {"model": "gpt-5-mini", "input": "Hello"},
}


def raw_builder() -> RequestBuilder:
    return RequestBuilder(settings(is_raw=True, prompt=None, model=None))


def test_a_raw_line_is_sent_as_it_is_but_for_its_custom_id() -> None:
    request = raw_builder().build(RAW)
    assert (request.key, request.model, request.inputs) == ("r1", "gpt-5-mini", 1)
    assert json.loads(b"{" + request.tail) == {k: RAW[k] for k in ("method", "url", "body")}
    assert raw_builder().build_plain([RAW]) is None
    assert [r for _, r in raw_builder().build_all([RAW], lambda *_: None)] == [request]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "/v1/elsewhere"}, "url"),
        ({"body": {"model": "m", "input": "x", "temprature": 0}}, "temprature"),
        ({"body": {"model": "m", "input": "x", "stream": 1}}, "stream"),
    ],
    ids=["another endpoint", "a parameter that is none", "a body that no batch may have"],
)
def test_a_raw_line_that_cannot_be_sent_is_refused(changes: JsonObject, told: str) -> None:
    assert told in refused(raw_builder(), {**RAW, **changes}).message


def test_the_whole_path_and_the_raw_path_hash_the_same_bytes_the_same() -> None:
    whole = RequestBuilder(settings(prompt=None, model="gpt-5-mini")).build(
        {"id": "a", "input": [{"role": "user", "content": "Hello"}]}
    )
    raw = raw_builder().build({**RAW, "body": json.loads(b"{" + whole.tail)["body"]})
    assert (raw.tail, raw.hash) == (whole.tail, whole.hash)


@pytest.mark.parametrize("instructions", ["{{ ''.x }}", "{{ [1][3] }}", "{{ 1 // 0 }}"])
def test_instructions_that_cannot_be_rendered_are_a_problem_of_the_job_line(
    instructions: str,
) -> None:
    with pytest.raises(JobFileError, match=r"reviews\.jsonl:1: 'instructions': "):
        RequestBuilder(settings(instructions=instructions))


def test_labels_that_mean_nothing_are_not_told_as_a_schema_too(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    line = {"job": "j", "endpoint": "/v1/moderations", "model": "m", "labels": ["a", "b"]}
    path.write_text(json.dumps(line) + "\n")
    (entry,) = load(path).jobs
    assert entry.settings is not None
    (told,) = RequestBuilder(entry.settings).check()
    assert told.startswith("'labels' means nothing")


def test_a_ready_batch_file_is_not_told_of_keys_of_a_job_line() -> None:
    raw = settings(is_raw=True, prompt=None, model=None)
    body = {"model": "m", "input": "x", "max_tokens": 5}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
    told = refused(RequestBuilder(raw), line).message
    assert "unknown parameter 'max_tokens'" in told
    assert "body_unchecked" not in told
