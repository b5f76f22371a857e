"""Any night of a job with a canary, which people hold and let go: it always ends, is paused with a reason, or waits for a moment."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from machinekit import live_through
from test_any_night import Night, Rows

NIGHTS = 5  # the same ones in every run
CANARIES = st.none() | st.fixed_dictionaries(
    {"items": st.integers(1, 2), "max_failed": st.sampled_from([0, 0.5])}
)


class TriedNight(Night):
    """Each submit may bring another canary, or none, and another cap, which makes it another asking."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[str, Any] = {"canary": {"items": 1}}
        write = self.world.write

        def write_tried(rows: Rows, **changes: Any) -> Any:
            return write(rows, **{**self.changes, **changes})

        self.world.write = write_tried  # type: ignore[method-assign,assignment]

    @rule(canary=CANARIES, cap=st.sampled_from([1_000, 2_000]))
    def think_again(self, canary: dict[str, Any] | None, cap: int) -> None:
        self.changes = {"canary": canary, "max_output_tokens": cap}

    @rule(is_whole=st.booleans())
    def hold(self, is_whole: bool) -> None:
        self.world.api().hold(None if is_whole else "reviews")

    @rule(is_whole=st.booleans())
    def resume(self, is_whole: bool) -> None:
        self.world.api().resume(None if is_whole else "reviews")

    def _run_out(self) -> None:
        """Whatever is left open at the end of time waits for a person, and says so; once let go it ends."""
        world = self.world
        run, releases = world.run, []

        def run_and_resume(*, most: int = 2_000) -> Any:
            for _ in range(4):
                result = run(most=most)
                (job,) = world.api().status(("reviews",))
                if not job.is_open:
                    return result
                assert job.paused or job.held_since is not None, "nobody is told why nothing moves"
                assert job.waiting
                releases.append(job.waiting)
                world.api().resume()
                world.api().resume("reviews")
            raise AssertionError(f"let go again and again: {releases}")

        world.run = run_and_resume  # type: ignore[method-assign]
        super()._run_out()


@pytest.mark.usefixtures("real_sleep")  # of two processes at once, one waits for the other
def test_a_job_with_a_canary_ends_or_says_what_it_waits_for() -> None:
    live_through(TriedNight, nights=NIGHTS, steps=25)
