"""What an error means for its item, and what people are told about it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.planning import causes
from batchrun.planning.causes import CAUSES, cause_of
from batchrun.planning.classify import BY_BROAD_TYPE, BY_CODE, BY_STATUS, Outcome, classify

RETRY, RELEASED, FAILED = Outcome.RETRY, Outcome.RELEASED, Outcome.FAILED


@pytest.mark.parametrize(
    ("status", "code", "kind", "message", "outcome", "cause"),
    [
        # The code decides, whatever the status says.
        (None, "batch_expired", None, "This request could not be executed", RELEASED, "expired"),
        (None, "batch_cancelled", None, None, RELEASED, "cancelled"),
        (429, "insufficient_quota", "insufficient_quota", None, FAILED, "insufficient_quota"),
        (429, "rate_limit_exceeded", "requests", None, RETRY, "rate_limited"),
        (400, "context_length_exceeded", None, None, FAILED, "context_length_exceeded"),
        (400, "Content_Filter", None, None, FAILED, "content_filter"),
        (404, "DeploymentNotFound", None, None, FAILED, "model_not_found"),
        (None, "server_error", None, None, RETRY, "server_error"),
        (None, "vector_store_timeout", None, None, RETRY, "timeout"),
        # Then the type.
        (529, None, "overloaded_error", None, RETRY, "server_error"),
        (400, "400", "BadRequestError", "no", FAILED, "bad_request"),
        # Then a sentence that everybody writes alike.
        (
            400,
            None,
            None,
            "This model's maximum context length is 8 tokens",
            FAILED,
            "context_length_exceeded",
        ),
        (429, None, None, "You exceeded your current quota", FAILED, "insufficient_quota"),
        (
            400,
            None,
            None,
            "We could not parse the JSON body of your request.",
            RETRY,
            "bad_request",
        ),
        (400, None, None, "triggering Azure's content management policy", FAILED, "content_filter"),
        # Then the status.
        (0, None, None, None, RETRY, "server_error"),
        (401, None, None, None, FAILED, "auth"),
        (403, None, None, None, FAILED, "auth"),
        (404, None, None, "The model `x` does not exist", FAILED, "model_not_found"),
        (404, None, None, "Previous response not found", FAILED, "bad_request"),
        (408, None, None, None, RETRY, "timeout"),
        (413, None, None, None, FAILED, "too_large"),
        (422, "brand_new_code", "invalid_request_error", "no", FAILED, "bad_request"),
        (429, "brand_new_code", None, None, RETRY, "rate_limited"),
        (500, "brand_new_code", None, None, RETRY, "server_error"),
        (503, None, None, None, RETRY, "server_error"),
        (504, None, None, None, RETRY, "timeout"),
        (302, None, None, None, RETRY, "unknown"),
        # And where there is none, the broad types.
        (None, None, "invalid_request_error", None, FAILED, "bad_request"),
        (None, "brand_new_code", None, None, RETRY, "unknown"),
        (None, None, None, None, RETRY, "unknown"),
    ],
)
def test_the_most_telling_word_decides(
    status: int | None,
    code: str | None,
    kind: str | None,
    message: str | None,
    outcome: Outcome,
    cause: str,
) -> None:
    assert classify(status, code, kind, message) == (outcome, cause)


def test_every_verdict_of_the_tables_has_a_known_cause_and_is_no_success() -> None:
    for table in (BY_CODE, BY_STATUS, BY_BROAD_TYPE):
        for verdict in table.values():
            assert verdict.cause in CAUSES
            assert verdict.outcome is not Outcome.SUCCEEDED


def test_codes_and_types_are_listed_in_lower_case_because_they_are_looked_up_so() -> None:
    assert all(word == word.lower() for word in (*BY_CODE, *BY_BROAD_TYPE))


@given(
    st.none() | st.integers(0, 999),
    st.none() | st.text(),
    st.none() | st.text(),
    st.none() | st.text(),
)
def test_anything_gets_a_verdict_with_a_known_cause(
    status: int | None, code: str | None, kind: str | None, message: str | None
) -> None:
    outcome, cause = classify(status, code, kind, message)
    assert outcome is not Outcome.SUCCEEDED
    assert cause in CAUSES


def test_every_cause_says_what_happened_what_to_do_and_how() -> None:
    for code, cause in CAUSES.items():
        assert code == cause.code
        assert re.fullmatch("[a-z_]+", code)
        assert cause.title
        assert not cause.title.endswith(".")
        assert cause.fix.endswith(".")
        assert cause.command.startswith("batchrun ")
        # What asking again alone can mend is asked again; anything else needs an edit first.
        assert ("retry {job}" in cause.command) == cause.is_retryable


def test_the_codes_of_the_output_format_are_all_there() -> None:
    assert set(CAUSES) == {
        "rate_limited", "server_error", "timeout", "bad_request", "context_length_exceeded",
        "content_filter", "refusal", "length", "invalid_json", "schema_mismatch", "label_mismatch",
        "empty_output", "malformed_result", "missing_result", "lost_result", "expired", "cancelled",
        "insufficient_quota", "auth", "model_not_found", "bad_item", "template_error", "rejected",
        "attachment_gone", "too_large", "unknown", "video_expired", "tool_rounds", "lost_calls",
        "uncertain",
    }  # fmt: skip


def test_a_command_can_be_pasted_into_a_shell() -> None:
    assert (
        CAUSES["timeout"].command_for(job="reviews", path="jobs/r.jsonl")
        == "batchrun retry reviews --cause timeout"
    )
    assert (
        CAUSES["length"].command_for(job="reviews", path="my jobs/it's.jsonl")
        == "batchrun submit 'my jobs/it'\"'\"'s.jsonl' --new-only"
    )
    assert CAUSES["length"].command_for(job="x", path="") == "batchrun submit '' --new-only"


def test_a_fix_names_the_job_file() -> None:
    assert CAUSES["model_not_found"].fix_for(job="a", path="jobs/a.jsonl") == (
        'Correct "model" in jobs/a.jsonl and submit again.'
    )


@pytest.mark.parametrize(
    ("code", "also"),
    [
        ("rejected", "choose another server"),
        ("auth", "a moderation or a firewall may mind this one"),
        ("bad_request", "choose another endpoint or server"),
        ("label_mismatch", "name the labels in the prompt"),
        ("invalid_json", "ask for JSON in the prompt"),
    ],
)
def test_a_fix_names_every_reason_that_its_cause_may_have(code: str, also: str) -> None:
    fix = CAUSES[code].fix_for(job="a", path="jobs/a.jsonl")
    assert also in fix
    assert "supports structured output" not in fix


def test_a_cause_of_a_newer_version_is_shown_as_unknown() -> None:
    assert cause_of("length") is causes.CAUSES["length"]
    assert cause_of("from_the_future") is causes.CAUSES["unknown"]
