"""From the advice to the answers: a server without a Batch API, asked line by line as its error says."""

from collections import deque
from typing import Final

import pytest
from clikit import Desk
from misbehaving import Server, Step, answer

ANSWER: Final = answer(
    {
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "good"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        "model": "m",
    }
)
NOTHING: Final = answer({"error": {"message": "Invalid URL", "type": "invalid_request_error"}}, 404)


class Live(deque[Step]):
    """Chat completions, and nothing else."""

    def popleft(self) -> Step:
        return lambda handler: (ANSWER if handler.path == "/v1/chat/completions" else NOTHING)(
            handler
        )


@pytest.mark.parametrize(
    "nothing",
    [NOTHING, answer({"detail": "Method Not Allowed"}, 405), answer(b"404 page not found", 404)],
    ids=["typed", "405", "page"],
)
def test_a_run_ends_at_once_and_the_job_that_it_leaves_can_be_ended(
    desk: Desk, server: Server, nothing: Step
) -> None:
    server.then(*[nothing] * 9)
    (desk.folder / "batchrun.toml").write_text(
        f'[profile.gate]\nbase_url = "{server.base_url}"\nneeds_key = false\n'
    )
    started_at = desk.clock.now()
    ended = desk.call("run", desk.job(model="m"), "--backend", "gate")
    assert ended.code == 6
    assert "`batchrun cancel JOB@gate` ends the first" in ended.err
    assert desk.clock.now() - started_at < 300
    assert desk.call("cancel", "faq@gate").code == 0
    assert desk.call("wait", "faq@gate").code == 3


def test_the_advice_leads_to_the_answers(desk: Desk, server: Server) -> None:
    server.script = Live()
    (desk.folder / "batchrun.toml").write_text(
        f'[profile.gate]\nbase_url = "{server.base_url}"\nneeds_key = false\n'
    )
    job = desk.job(endpoint="/v1/chat/completions", model="m")
    refused = desk.call("submit", job, "--backend", "gate")
    assert refused.code == 6
    assert "--backend gate:live" in refused.err
    assert desk.call("run", job, "--backend", "gate:live").code == 0
    assert {seen.path for seen in server.seen} >= {"/v1/files", "/v1/chat/completions"}
    (status,) = [
        job for job in desk.call("status", "--json").json["jobs"] if job["profile"] == "gate:live"
    ]
    assert status["counts"]["failed"] == 0
    assert status["counts"]["succeeded"] > 0
