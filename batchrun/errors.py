"""Every error that batchrun raises on purpose, as one tree; each class owns its exit code.

    BatchrunError
     ├─ UsageError            2   the command line asks for what is not there
     ├─ NotFinished           4   an answer was asked for that needs a finished job
     ├─ JobFileError          5   the user's job file or data
     ├─ BackendError          6   the service
     │   ├─ Transient             nothing happened; the same call may be made again
     │   ├─ Ambiguous             the effect may have happened: look before anything is sent again
     │   ├─ Refused               the service said no for good
     │   │   └─ NotFound          404
     │   ├─ AuthError             401/403, or no key
     │   └─ WrongAccount          rows of another account, project or server
     ├─ LedgerError           7   our database or the disk
     │   └─ HomeLocked        75  another process holds the home
     ├─ GuardError            8   a guard on asking again, or a budget
     │   ├─ UnknownPrice          what it costs is in no table; never taken for nothing
     │   └─ Unbounded             nothing bounds what it costs, and a limit is to hold
     ├─ Unexpected            1   a bug in batchrun, met while one job was prepared
     └─ IllegalTransition     1   a bug in batchrun

The type says whose fault it is. Classes hold the facts as fields; the message is built from them: what happened, where, what to do.
None is a dataclass: every command loads this file, and `status` would spend more on generating methods than on its query.
"""

from typing import Any, ClassVar, NamedTuple


class BatchrunError(Exception):
    """The common base; never raised itself. `message`: what happened, where, what to do.

    A pass that notes it says of whom it is: of one `job` (its number in the ledger), of all with a `profile`, or, with neither, of the home.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.profile: str | None = None
        self.job: int | None = None

    def __str__(self) -> str:
        return self.message

    @property
    def placed(self) -> str:
        """The message, with the profile that it is of."""
        return placed(self.message, self.profile)


def placed(message: str, profile: str | None) -> str:
    """A message with the profile that it is of, where it does not name it already."""
    if profile is None or f"profile {profile!r}" in message:
        return message
    return f"profile {profile!r}: {message}"


class UsageError(BatchrunError):
    """The command line names something that does not exist or does not fit."""

    exit_code: ClassVar[int] = 2


class NotFinished(BatchrunError):
    """The job still has open items."""

    exit_code: ClassVar[int] = 4


class Problem(NamedTuple):
    """One thing wrong in a job file or its data: `jobs/faq.jsonl:17: duplicate id 'q-9' (first on line 4). Give each …`.

    `is_item` where it takes one item and nothing else with it: only such a problem can be forgiven by a job's `bad_items`. `key` is
    the id of that item, where it has one that can be told; `fields` are those that its reader could read, where it has no item to give.
    """

    path: str
    what: str
    line: int | None = None
    fix: str = ""
    is_item: bool = False
    key: str | None = None
    fields: dict[str, Any] | None = None

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        end = "" if self.what.endswith((".", "?", "!")) else "."
        return f"{where}: {self.what}{end}" + (f" {self.fix}" if self.fix else "")


class JobFileError(BatchrunError):
    """All that is wrong with a job file and its data, in the order of the lines."""

    exit_code: ClassVar[int] = 5

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class BackendError(BatchrunError):
    """What the service did or said; `status` is HTTP's, `code` the service's own word, where there are any.

    `is_lasting`, set by who knows more than the call: waiting does not mend it, although the same call may be made again.
    """

    exit_code: ClassVar[int] = 6

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.is_lasting = False


class Transient(BackendError):
    """Nothing took effect (or the call is idempotent): the same call may be made again."""


class Ambiguous(BackendError):
    """The effect may have happened. Never send again before looking."""


class Refused(BackendError):
    """A typed refusal: there is no effect, and the same call would be refused again."""


class NotFound(Refused):
    """The service does not know this id (for this account)."""


class AuthError(BackendError):
    """No key, a wrong key, or a key without this permission."""


class WrongAccount(BackendError):
    """The rows in question belong to another base_url, organisation, project or key."""


class LedgerError(BatchrunError):
    """The home, its database or the disk under it."""

    exit_code: ClassVar[int] = 7


class HomeLocked(LedgerError):
    """Another process held the home for longer than we were told to wait."""

    exit_code: ClassVar[int] = 75


class GuardError(BatchrunError):
    """A guard against asking (and paying) again stopped the submission; nothing was sent."""

    exit_code: ClassVar[int] = 8


class Unexpected(BatchrunError):
    """What nobody expected, while one job was prepared: it is told as any bug is, and the other jobs go on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, job: str, found: Exception) -> None:
        what = f"{type(found).__name__}: {found}" if str(found) else type(found).__name__
        super().__init__(f"a bug in batchrun, in job {job!r}: {what}. Please report it.")
        self.job_name = job
        self.found = found


class UnknownPrice(GuardError):
    """No table has the price of `model` asked in this `mode`; the message says how to give one."""

    def __init__(self, message: str, *, model: str, mode: str) -> None:
        super().__init__(message)
        self.model = model
        self.mode = mode


class Unbounded(GuardError):
    """Nothing bounds what requests to `model` cost, and `reason` says why; the message says what to write where."""

    def __init__(self, message: str, *, model: str, reason: str) -> None:
        super().__init__(message)
        self.model = model
        self.reason = reason


class IllegalTransition(BatchrunError):
    """A transition that the tables in `ledger/states.py` do not have: ours to fix."""

    def __init__(self, *, state: str, event: str) -> None:
        super().__init__(
            f"illegal transition: event {event!r} in state {state!r}. "
            "This is a bug in batchrun: please report it with this message."
        )
        self.state = state
        self.event = event
