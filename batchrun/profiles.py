"""Profiles: a backend with an address, a key, limits and what may be assumed of it. `profiletables.py` reads them from `batchrun.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from batchrun.backends.base import DIRECT_TRAITS, Traits
from batchrun.backends.credentials import KeySource
from batchrun.model import Limits, Rates
from batchrun.windows import DEFAULT_WINDOW

OPENAI_BASE_URL: Final = "https://api.openai.com/v1"
DEFAULT_ACCOUNT: Final = "default"
LIVE_SUFFIX: Final = ":live"  # no profile of a file can have a colon in its name


class BackendKind(StrEnum):
    """What stands behind a profile."""

    OPENAI = "openai"  # a server that speaks OpenAI's Batch API
    LOCAL = "local"  # the embedded service with the local model
    DIRECT = "direct"  # the embedded service, which asks any server line by line


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One backend, ready to be opened. `base_url`, `key`, `organization` and `project` mean nothing to a local one.

    `preset`: the name of what is known of such a server. `windows` are the completion windows that its server takes (see `windows.py`), and
    `endpoints` those that it serves; none: not known. `window` is for jobs that name none; `file_purpose` that of input files.
    `account`: whose money it spends, a name that profiles may share. `queue_tokens`: input tokens that its server lets wait and run at once,
    by model; "*": of any other.
    `rates`: how a server may be asked line by line; `live`: the profile that answers single items of this one's jobs, where its own
    server is not to do that ("": it is).
    """

    name: str
    kind: BackendKind = BackendKind.OPENAI
    base_url: str = OPENAI_BASE_URL
    key: KeySource = field(default_factory=KeySource)
    organization: str = ""
    project: str = ""
    account: str = DEFAULT_ACCOUNT
    queue_tokens: Mapping[str, int] = field(default_factory=dict)
    model_file: Path | None = None
    limits: Limits = field(default_factory=Limits)
    rates: Rates = field(default_factory=Rates)
    traits: Traits = field(default_factory=Traits)
    live: str = ""
    preset: str = ""
    windows: tuple[str, ...] = ()
    window: str = DEFAULT_WINDOW
    endpoints: tuple[str, ...] = ()
    file_purpose: str = "batch"
    delete_remote: bool = False  # files on the service go once their batch is settled

    @property
    def label(self) -> str:
        """What a message calls it."""
        of = f" (preset {self.preset!r})" if self.preset else ""
        return f"profile {self.name!r}{of}"

    def directly(self, name: str) -> "Profile":
        """The same server and account, asked line by line, under another name."""
        return replace(
            self,
            name=name,
            kind=BackendKind.DIRECT,
            traits=DIRECT_TRAITS,
            live="",
            delete_remote=False,
        )


def without_batches(profile: Profile) -> str:
    """What to do with a profile whose server turns out to have no Batch API."""
    return (
        f"If this server has no Batch API, ask it line by line: `--backend {profile.name}{LIVE_SUFFIX}`, "
        f'or backend = "direct" in [profile.{profile.name}] of batchrun.toml. With {LIVE_SUFFIX} the job is another one: '
        f"`batchrun cancel JOB@{profile.name}` ends the first."
    )
