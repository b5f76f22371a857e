"""The actions that planning may ask for, and nothing else that touches the world: `running/` has one function for each."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Sweep:
    """List everything recent of this profile: find batches whose creation is in doubt, audit for duplicates, note statuses."""

    profile: str


@dataclass(frozen=True, slots=True)
class Work:
    """Let an in-process service execute lines."""

    profile: str


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for the status of these batches of one profile."""

    profile: str
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Ask once more for a batch that was given up as lost."""

    batch: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the service to cancel."""

    batch: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Give up a batch that was cancelled before it was created: nothing of it exists anywhere."""

    batch: int


@dataclass(frozen=True, slots=True)
class Collect:
    """Download both files and settle every attempt."""

    batch: int


@dataclass(frozen=True, slots=True)
class Release:
    """The canary of a job has passed: the rest may go."""

    job: int


@dataclass(frozen=True, slots=True)
class RunCalls:
    """Run functions that answers of a job call, for a while."""

    job: int


@dataclass(frozen=True, slots=True)
class Tidy:
    """Delete files on the service that nothing needs."""

    profile: str


@dataclass(frozen=True, slots=True)
class GoLive:
    """A job's deadline is near: cancel its batches, and send all that is open to this profile from now on."""

    job: int
    profile: str


@dataclass(frozen=True, slots=True)
class Form:
    """Make a batch of one fresh request file."""

    job: int
    file: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Make batches of a job's queued items, by copying their requests."""

    job: int


@dataclass(frozen=True, slots=True)
class Count:
    """Count the input tokens of a batch whose queue has a limit."""

    batch: int


@dataclass(frozen=True, slots=True)
class Recut:
    """Give back the items of a batch that is too large for its queue, to be cut smaller."""

    batch: int


@dataclass(frozen=True, slots=True)
class Upload:
    """Send the input file."""

    batch: int


@dataclass(frozen=True, slots=True)
class Create:
    """Commit the intent, then create."""

    batch: int


@dataclass(frozen=True, slots=True)
class WriteOutputs:
    """The job has no open item: write its outputs."""

    job: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due before `until` (unix seconds)."""

    until: int


Action: TypeAlias = (
    Sweep
    | Work
    | Poll
    | Look
    | Cancel
    | Drop
    | Collect
    | Release
    | RunCalls
    | Tidy
    | GoLive
    | Form
    | Cut
    | Count
    | Recut
    | Upload
    | Create
    | WriteOutputs
    | Wait
)
