"""What to do about each cause in one job: the fix in words and the exact command."""

import shlex

from batchrun.outputs.rows import JobView
from batchrun.planning.causes import Cause, cause_of


class Remedies:
    """Fixes and commands for one job, each cause's made once."""

    def __init__(self, job: JobView) -> None:
        self._name, self._path = job.name, job.source
        # The same name may stand for a trial under another profile: the command must reach this one.
        self._option = (
            "" if job.profile == job.settings.profile else f" --backend {shlex.quote(job.profile)}"
        )
        limit = job.settings.repair and job.settings.repair.max_output_tokens
        self._cap = "max_output_tokens"
        if limit:
            self._cap += (
                f' beyond the {limit:,} that "repair" lets it grow to, and that of "repair" too,'
            )
        self._sentences: dict[str, str] = {}

    def cause(self, code: str) -> Cause:
        """The cause; a code of a newer batchrun is shown as `unknown`."""
        return cause_of(code)

    def fix(self, code: str) -> str:
        """What to do, for people."""
        return cause_of(code).fix_for(job=self._name, path=self._path, cap=self._cap)

    def command(self, code: str) -> str:
        """The command that does it, ready to paste."""
        command = cause_of(code).command_for(job=self._name, path=self._path, code=code)
        return command + self._option

    def sentence(self, code: str) -> str:
        """Both in one text, for a line of failures.jsonl."""
        text = self._sentences.get(code)
        if text is None:
            text = self._sentences[code] = f"{self.fix(code)} Run: {self.command(code)}"
        return text
