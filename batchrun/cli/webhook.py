"""`batchrun webhook`: a small server that is told by the service when a batch ended, and makes passes."""

import os
from typing import TYPE_CHECKING

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import running_tools, shared
from batchrun.cli.printing import put, put_json, tell
from batchrun.errors import BatchrunError, UsageError

if TYPE_CHECKING:
    from batchrun.api import Batchrun
    from batchrun.running.passresult import PassResult

VARIABLE = "OPENAI_WEBHOOK_SECRET"


@click.command(short_help="Receive a service's webhooks: what they speak of is collected at once.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8766,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--secret-env",
    metavar="NAME",
    default=VARIABLE,
    show_default=True,
    help="Environment variable that holds the signing secret of the webhook.",
)
@click.option(
    "--no-passes",
    "is_only_marking",
    is_flag=True,
    help="Only note which batches are due; a tick from cron does the rest.",
)
@running_tools
@shared("home", "backend", "json", "lock_wait")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    host: str,
    port: int,
    secret_env: str,
    is_only_marking: bool,
    tools: str | None,
    tool_timeout_s: float,
    home: str | None,
    backend: str | None,
    lock_wait_s: float,
) -> int:
    """Receive the batch events of OpenAI's webhooks and go on with the batches that they speak of, at once; until Ctrl-C.

    Between events it makes a pass when something is due, as `wait` does for all jobs: no cron is needed beside it. It speaks plain HTTP
    on this machine, behind a reverse proxy that speaks HTTPS to the world.
    """
    from batchrun.cli.opening import open_batchrun, with_tools
    from batchrun.cli.serve import require_packages
    from batchrun.cli.signals import Stopped, stoppable

    secret = os.environ.get(secret_env, "").strip()
    if not secret:
        raise UsageError(
            f"no secret: set {secret_env} to the signing secret that was shown when the webhook was made (whsec_…)."
        )
    batchrun = open_batchrun(invocation, home, backend=backend, lock_wait_s=lock_wait_s)
    batchrun = with_tools(batchrun, tools, tool_timeout_s)
    require_packages("webhook")
    from batchrun.backends.openai_webhooks import signature_check
    from batchrun.receiving.http import create_app
    from batchrun.receiving.inbox import Inbox
    from batchrun.receiving.loop import only_mark, passes
    from batchrun.service.serving import serving

    inbox = Inbox(signature_check(secret), batchrun.wake)
    teller = Teller(invocation, batchrun)
    try:
        with stoppable(), serving(create_app(inbox.take), host=host, port=port) as url:
            if invocation.is_json:
                put_json({"url": url, "home": str(batchrun.home.path)})
            else:
                put(url)
                tell(f"Receiving webhooks for {batchrun.home.path}; Ctrl-C ends it.")
            if is_only_marking:
                only_mark(inbox)
            for came_to in passes(batchrun, inbox):
                teller.tell(came_to)
    except Stopped:
        return 0  # as it is meant to end; what a pass had begun, the next one goes on with
    return 0


class Teller:
    """Says what `tick` would say: jobs that ended and what needs a person, each problem once until it has gone."""

    def __init__(self, invocation: Invocation, batchrun: "Batchrun") -> None:
        self._invocation, self._batchrun = invocation, batchrun
        self._told: frozenset[str] = frozenset()

    def tell(self, came_to: "PassResult | BatchrunError") -> None:
        """What a pass came to, or why it could not be made."""
        if isinstance(came_to, BatchrunError):
            if str(came_to) not in self._told:
                self._show([came_to])
            self._told |= {str(came_to)}
        else:
            self._tell_pass(came_to)

    def _tell_pass(self, result: "PassResult") -> None:
        from batchrun.cli.errors import show_warning
        from batchrun.cli.finishing import pass_json, show_jobs
        from batchrun.cli.needing import tell_notices, untold_needs
        from batchrun.cli.opening import home_option

        batchrun = self._batchrun
        if result.warning is not None:
            show_warning(result.warning, self._invocation)
        problems = {problem.placed: problem for problem in result.problems}
        news = [problem for said, problem in problems.items() if said not in self._told]
        self._told = frozenset(problems)
        untold = batchrun.untold_ends()
        jobs = batchrun.status()
        ended = [job for job in jobs if job.id in untold and not job.is_open]
        needs = untold_needs(batchrun, jobs)
        told = (*ended, *needs.jobs)
        notices = tell_notices(batchrun, is_json=self._invocation.is_json)
        if self._invocation.is_json and (told or news or notices):
            put_json(
                pass_json(
                    batchrun, jobs=told, problems=news, next_at=result.next_at, notices=notices
                )
            )
        elif told or news:
            show_jobs(batchrun, ended)
            self._show(news)
            for line in needs.lines(home_option(batchrun.home)):
                tell(line)
        batchrun.mark_told([job.id for job in ended])
        needs.mark_told(batchrun)

    def _show(self, problems: list[BatchrunError]) -> None:
        from batchrun.cli.errors import show_error

        for problem in problems:
            show_error(problem, self._invocation)
