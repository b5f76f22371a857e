"""What planning looks at: the ledger's rows of jobs and open batches as plain values, and what the current pass knows of its profiles."""

from dataclasses import dataclass

from batchrun.ledger.states import BatchState
from batchrun.planning.canary import Canary
from batchrun.planning.deadline import Pace
from batchrun.planning.means import Means
from batchrun.planning.queuefacts import QueueFacts, QueueKey


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """A batch that is not final, still under audit, or lost and looked for.

    `sought_until`: of a lost one, until when it is looked for. `queue`: which queue of tokens it goes into; None where there is none. `tokens` and
    `requests` are what it has; the former is None while nobody has counted.
    """

    id: int
    job: int
    profile: str
    model: str
    state: BatchState
    next_at: int = 0
    audit_until: int | None = None
    sought_until: int | None = None
    is_admitted: bool = False  # the service took it into its queue: it runs, or has run
    cancel_requested: bool = False
    cancel_sent: bool = False
    queue: QueueKey | None = None
    tokens: int | None = None
    requests: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job with open items, or with outputs older than its ledger.

    `fresh_files`: request files whose items wait for a batch, as (file id, model). `queued`: items that wait outside of such files,
    `queued_due` those whose time has come, `queued_next_at` when the next one's comes, `queued_since` since when the oldest due waits.
    `has_calls`: items wait for functions that their answers call. `diverted_to`: the profile that its new batches go to in place of its own.
    `is_paused`: nothing more of it is sent, for whatever reason; `is_held`: because a person holds it, so that what runs in our own process
    rests too. `canary`: what became of the items that go first, while the rest of the job waits for that; the files and the queue are its own then.
    `deadline_at`: when its `open_count` items should be answered, `pace` how fast the profile is that could answer them live (None: there is
    no other), `is_live`: its deadline has made it go there. `means`: what it may spend; None: nothing binds it.
    """

    id: int
    profile: str
    has_open_items: bool
    is_stale: bool
    is_paused: bool = False
    is_held: bool = False
    fresh_files: tuple[tuple[int, str], ...] = ()
    queued_due: int = 0
    queued_next_at: int | None = None
    queued_since: int | None = None
    has_calls: bool = False
    diverted_to: str | None = None
    canary: Canary | None = None
    deadline_at: int | None = None
    open_count: int = 0
    pace: Pace | None = None
    is_live: bool = False
    means: Means | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether limits let nothing of it be sent, not even what was prepared and paid for in advance."""
        return self.means is not None and self.means.is_stopped

    @property
    def is_short(self) -> bool:
        """Whether what waits of it waits for money."""
        return self.means is not None and self.means.is_short

    @property
    def sends_to(self) -> str:
        """The profile that its new batches go to."""
        return self.diverted_to or self.profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that planning looks at. `holds`: (profile, model) -> do not send before; model "" stands for all of the profile.
    `queues` are those of which a limit is known.

    `in_process`: profiles whose batches run inside our own pass; `exhausted`: those of them that have had their share of this pass;
    `quiet`: (profile, until when) of those whose server wants nothing before.
    `unreachable`: profiles that failed in this pass; nothing more is tried with them until the next. `untidy`: profiles on whose service
    there may be files to delete, with the moment from which on that is looked after. `has_tools`: the current pass can run functions, though not those of
    the jobs in `not_lent`, and
    `is_tired`: it has done so for as long as it may. `unpaid`: jobs that cannot leave their batches, since live answers would cost more than limits leave.
    """

    jobs: tuple[JobFacts, ...] = ()
    batches: tuple[BatchFacts, ...] = ()
    holds: tuple[tuple[str, str, int], ...] = ()
    queues: tuple[QueueFacts, ...] = ()
    in_process: frozenset[str] = frozenset()
    exhausted: frozenset[str] = frozenset()
    quiet: tuple[tuple[str, int], ...] = ()
    unreachable: frozenset[str] = frozenset()
    untidy: tuple[tuple[str, int], ...] = ()
    has_tools: bool = False
    not_lent: frozenset[int] = frozenset()
    is_tired: bool = False
    unpaid: frozenset[int] = frozenset()
