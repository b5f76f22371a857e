"""Whether a job suits the server that it is to be sent to: its completion window and its endpoint, against what the profile says of both."""

from dataclasses import replace

from batchrun.errors import Problem
from batchrun.model import JobSettings
from batchrun.profiles import BackendKind, Profile
from batchrun.windows import DEFAULT_WINDOW


def fitted(settings: JobSettings, profile: Profile) -> tuple[JobSettings, tuple[Problem, ...]]:
    """The settings with the window that holds at this profile, and warnings of what its server may refuse."""
    window = settings.window or DEFAULT_WINDOW
    fit = replace(settings, window=window)
    if profile.kind is not BackendKind.OPENAI or window == DEFAULT_WINDOW:
        return fit, ()
    what = f"completion window {window!r}"
    fix = "OpenAI's Batch API knows only '24h'; other servers may know others."
    return fit, (Problem(path=settings.path, line=settings.line, what=what, fix=fix),)
