"""A video is not in the result file: whoever made some is told how to fetch them, before they are paid for and when they are there."""

from clikit import Desk

from batchrun.service.service import BatchService


def test_a_job_of_videos_tells_before_and_after_how_they_are_fetched(
    desk: Desk, service: BatchService
) -> None:
    path = desk.job("clips", "a harbour", endpoint="/v1/videos", max_output_tokens=None)
    assert "fetch it in that time. GET /v1/videos/{id}/content" in desk.call("check", path).err
    told = desk.call("run", path).out.splitlines()
    assert "clips (openai): done" in told[0]
    assert told[1].startswith("  The service keeps the videos until 20")
    assert told[1].endswith("GET /v1/videos/{id}/content")
    assert "keeps the videos" not in desk.call("run", desk.job("faq", "one")).out


def test_doubts_about_parameters_are_told_and_stop_nothing(
    desk: Desk, service: BatchService
) -> None:
    """They are of the endpoint's own checks, which every command that reads a job file passes on."""
    path = desk.job("faq", "one", body={"service_tier": "flex"})
    for command in ("check", "run"):
        called = desk.call(command, path)
        assert called.code == 0
        assert "'service_tier' is 'flex'" in called.err
