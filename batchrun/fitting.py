"""Whether a job suits the server that it is to be sent to: its completion window and its endpoint, against what the profile says of both."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from batchrun.backends.credentials import is_openai
from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.problems import shown
from batchrun.model import JobSettings
from batchrun.profiles import BackendKind, Profile
from batchrun.windows import DEFAULT_WINDOW, takes

_LOCAL_ENDPOINTS: Final = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
)


def fitted(settings: JobSettings, profile: Profile) -> tuple[JobSettings, tuple[Problem, ...]]:
    """The settings with the window that holds at this profile, and warnings of what its server may refuse.

    Raises JobFileError for a window that the profile excludes. What is asked line by line has no window to close, and any endpoint.
    """
    fit = replace(settings, window=settings.window or profile.window)
    problem = partial(Problem, path=shown(settings.path), line=settings.line)
    if profile.kind is BackendKind.LOCAL:
        return fit, tuple(problem(what=what, fix=fix) for what, fix in _local_doubts(settings))
    if profile.kind is not BackendKind.OPENAI:
        return fit, ()
    if not takes(profile.windows, fit.window or DEFAULT_WINDOW):
        what = f"{profile.label} takes the windows {', '.join(profile.windows)}, not {fit.window!r}"
        fix = f"Set 'window' in the job line, or 'windows' of [profile.{profile.name}] if the server takes more."
        raise JobFileError((problem(what=what, fix=fix),))
    return fit, tuple(problem(what=what, fix=fix) for what, fix in _doubts(fit, profile))


def _local_doubts(settings: JobSettings) -> Iterator[tuple[str, str]]:
    """What the embedded model cannot do."""
    if settings.endpoint not in _LOCAL_ENDPOINTS:
        yield (
            f"the local model serves {', '.join(_LOCAL_ENDPOINTS)}, not {settings.endpoint!r}: each item would fail",
            "Choose another backend, or rehearse with `batchrun serve --script`.",
        )
    elif settings.attach:
        yield (
            "of attachments, the local model reads text only: an item with another fails",
            "Choose another backend for images, PDFs and audio.",
        )


def _doubts(settings: JobSettings, profile: Profile) -> Iterator[tuple[str, str]]:
    if not profile.windows and settings.window != DEFAULT_WINDOW:
        knows = "OpenAI's Batch API knows only '24h'"
        others = "" if is_openai(profile.base_url) else "; other servers may know others"
        yield f"completion window {settings.window!r}", f"{knows}{others}."
    if profile.endpoints and settings.endpoint not in profile.endpoints:
        known = ", ".join(profile.endpoints)
        yield (
            f"{profile.label} is known to serve {known}, not {settings.endpoint!r}",
            f"Set 'endpoint' in the job line, or 'endpoints' of [profile.{profile.name}] if the server has it.",
        )
