"""What of a service's words may leave: not what it repeats of ours."""

import pytest

from batchrun.supporting.redacting import redacted, scrubbed, texts_in
from batchrun.supporting.resultline import Exchange, exchange_of, named

REQUEST = {
    "model": "gpt-5-mini",
    "instructions": "Say what Ann of Lime Street wants.",
    "input": [{"role": "user", "content": "Where is\n my  parcel?"}],
    "metadata": {"team": "blue", "n": 4},
}


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Unsupported parameter: 'max_tokens' with 'gpt-5-mini'.", None),
        ("Invalid value: 'Ann'.", "Invalid value: '[…]'."),
        ('Invalid value: "ann of" for “Lime Street”.', 'Invalid value: "[…]" for “[…]”.'),
        ("cannot read: where is my parcel? (400)", "cannot read: […] (400)"),
        ("it wants SAY WHAT ANN OF LIME STREET WANTS.", "it wants […]"),
        ("the team blue is over its limit, and bluer ones", "the team […] is over its limit, and bluer ones"),
        ("Incorrect API key provided: sk-abc*****xyz9, or key-0123456789", "Incorrect API key provided: ***, or ***"),
        ("Bearer abc.def is wrong", "*** is wrong"),
        ("line one\nline two\x1b[2J", "line one line two\\x1b[2J"),
    ],
)  # fmt: skip
def test_what_both_have_is_hidden_and_the_rest_is_left(said: str, left: str | None) -> None:
    ours = tuple(texts_in(REQUEST))
    assert redacted(said, secrets=("key-0123456789",), ours=ours) == (left or said)


def test_names_of_the_service_are_nobodys_own() -> None:
    assert sorted(texts_in(REQUEST)) == [
        "Say what Ann of Lime Street wants.",
        "Where is\n my  parcel?",
        "blue",
    ]


def test_of_a_result_line_only_names_are_taken() -> None:
    line = (
        b'{"id":"batch_req_1","custom_id":"x","response":{"status_code":500,"request_id":"req_9","body":'
        b'{"id":"a sentence is no name","model":"gpt-5-mini","output":"the answer it is",'
        b'"error":{"type":"server_error","code":null,"param":"sk-secret-key-0","message":"cut after the answer it is"}}}}'
    )
    assert exchange_of(line, REQUEST, ours=(), secrets=()) == Exchange(
        line_id="batch_req_1",
        request_id="req_9",
        status=500,
        model="gpt-5-mini",
        kind="server_error",
        param="***",
        message="cut after […]",
    )
    for broken in (None, b"", b"{", b"[1]", b'{"response":3}', b"\xff"):
        assert exchange_of(broken, REQUEST, ours=(), secrets=()) == Exchange()


def test_a_last_look_finds_secrets_wherever_they_stand() -> None:
    assert scrubbed({"a": ["x key y", {"b": "key"}], "n": 1}, ("key", "")) == {
        "a": ["x *** y", {"b": "***"}],
        "n": 1,
    }
    assert named("a b") is None
    assert named("metadata.blueberry-pie", (), ("blueberry-pie",)) == "metadata.[…]"
