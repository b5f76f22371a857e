"""What of a job a server is known not to take, before anything is sent."""

from dataclasses import replace
from typing import Any

import pytest

from batchrun.errors import JobFileError
from batchrun.fitting import fitted
from batchrun.model import JobSettings
from batchrun.profiles import BackendKind, Profile

CHAT = "/v1/chat/completions"
JOB = JobSettings(name="j", path="/j.jsonl", line=3, endpoint=CHAT)
GROQ = Profile(
    name="fast", preset="groq", base_url="https://api.groq.com/openai/v1",
    windows=("24h..7d",), window="48h", endpoints=(CHAT,),
)  # fmt: skip


@pytest.mark.parametrize(("written", "used"), [(None, "48h"), ("24h", "24h"), ("7d", "7d")])
def test_the_profiles_window_counts_where_the_job_has_none(written: str | None, used: str) -> None:
    fit, doubts = fitted(replace(JOB, window=written), GROQ)
    assert (fit.window, doubts) == (used, ())


def test_a_window_that_the_profile_excludes_is_an_error_with_those_it_takes() -> None:
    with pytest.raises(JobFileError) as caught:
        fitted(replace(JOB, window="30d"), GROQ)
    (problem,) = caught.value.problems
    assert problem.what == "profile 'fast' (preset 'groq') takes the windows 24h..7d, not '30d'"
    assert problem.fix == (
        "Set 'window' in the job line, or 'windows' of [profile.fast] if the server takes more."
    )
    assert (problem.path, problem.line) == ("/j.jsonl", 3)


def test_an_endpoint_that_is_not_known_of_the_server_is_doubted() -> None:
    fit, (doubt,) = fitted(replace(JOB, endpoint="/v1/responses"), GROQ)
    assert fit.endpoint == "/v1/responses"
    assert doubt.what == (
        "profile 'fast' (preset 'groq') is known to serve /v1/chat/completions, not '/v1/responses'"
    )


@pytest.mark.parametrize(
    ("base_url", "advice"),
    [
        ("https://api.openai.com/v1", "OpenAI's Batch API knows only '24h'."),
        ("https://x.example/v1", "OpenAI's Batch API knows only '24h'; other servers may know others."),
    ],
)  # fmt: skip
def test_where_nothing_is_known_another_window_is_doubted(base_url: str, advice: str) -> None:
    _, (doubt,) = fitted(replace(JOB, window="7d"), Profile(name="p", base_url=base_url))
    assert (doubt.what, doubt.fix) == ("completion window '7d'", advice)


@pytest.mark.parametrize("kind", [BackendKind.DIRECT, BackendKind.LOCAL])
def test_what_is_asked_line_by_line_takes_any(kind: BackendKind) -> None:
    job = replace(JOB, window="30d", endpoint="/v1/responses")
    fit, doubts = fitted(job, replace(GROQ, kind=kind))
    assert (fit.window, doubts) == ("30d", ())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"endpoint": "/v1/moderations"}, "not '/v1/moderations': each item would fail"),
        ({"endpoint": "/v1/images/generations"}, "not '/v1/images/generations'"),
        ({"attach": ("a.png",)}, "reads text only"),
    ],
)
def test_what_the_local_model_cannot_do_is_a_warning(
    changes: dict[str, Any], told: str | None
) -> None:
    _, doubts = fitted(replace(JOB, **changes), Profile(name="local", kind=BackendKind.LOCAL))
    assert [told in doubt.what for doubt in doubts if told] == ([] if told is None else [True])
