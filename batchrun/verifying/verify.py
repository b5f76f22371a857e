"""All invariants, in the order in which a fault shows: the database, the books, the items, the spool, the outputs, the home."""

from dataclasses import dataclass
from typing import Final

from batchrun.ledger.connection import Ledger
from batchrun.outputs.rows import snapshot
from batchrun.verifying.attachments import attachments_unchanged, attachments_whole
from batchrun.verifying.batches import batches_have_remotes, batches_hold_their_items
from batchrun.verifying.bills import bills_follow_batches
from batchrun.verifying.books import counts_match_items, events_give_batches, events_give_counts
from batchrun.verifying.invariant import Invariant, Outcome, outcome_of
from batchrun.verifying.items import (
    final_with_reason,
    one_open_attempt,
    pending_will_be_sent,
    sendings_accounted,
    turns_follow_answers,
)
from batchrun.verifying.outputs import outputs_as_listed, outputs_rewrite_alike
from batchrun.verifying.places import leftovers, no_strays, private
from batchrun.verifying.requests import (
    batches_sent_as_recorded,
    pointers_hit,
    request_files_whole,
    requests_unchanged,
)
from batchrun.verifying.results import (
    answers_in_spool,
    result_files_whole,
    results_unchanged,
    usage_adds_up,
    usage_as_settled,
)
from batchrun.verifying.rows import database_sound, references_hold, states_known

_RESTORE: Final = (
    "Keep the home as it is, do not tick it any more, and restore batchrun.db from a backup. "
    "Every answer is in spool/results/."
)
_REPORT: Final = (
    "Keep a copy of the home, and report it with this text: no kill and no service may bring it about. "
    "Restore a backup, or `batchrun submit FILE --fresh --yes` starts the job anew (and pays for it again)."
)
_REQUESTS: Final = (
    "Restore the file from a backup. What was answered keeps its answer; what still has to be sent from it "
    "needs `batchrun submit FILE --fresh --yes`."
)
_ATTACHMENTS: Final = "Submit the job again while the attached files are where they were: that puts them back. Or restore them from a backup."
_RESULTS: Final = "Restore the file from a backup. The answers themselves stand in the ledger: only the proof of what came back is gone."
_OUTPUTS: Final = (
    "Where a backup of the ledger was put back, its outputs may be newer than it and hold answers that it lacks: `batchrun recover` first. "
    "Else, and after that, `batchrun results JOB --format files` writes the outputs again from the ledger."
)
_STRAYS: Final = (
    "Where a backup of the ledger was put back, they may hold answers that it lacks: `batchrun recover` first, which sets them aside. "
    "Else nothing needs them: look at them, and remove them."
)

INVARIANTS: Final = (
    Invariant(
        name="database-sound",
        rule="SQLite finds its pages, indexes and foreign keys in order.",
        fix=_RESTORE,
        check=database_sound,
    ),
    Invariant(
        name="states-known",
        rule="Every item, batch, request file and submission is in exactly one of its states.",
        fix=_RESTORE,
        check=states_known,
    ),
    Invariant(
        name="references-hold",
        rule="What items and results name is there: jobs, batches, request files, models.",
        fix=_RESTORE,
        check=references_hold,
    ),
    Invariant(
        name="counts-match-items",
        rule="The counts by which batchrun plans and reports are those of the rows.",
        fix=_REPORT,
        check=counts_match_items,
    ),
    Invariant(
        name="events-give-counts",
        rule="The log of events, added up, gives the counts.",
        fix=_REPORT,
        check=events_give_counts,
    ),
    Invariant(
        name="events-give-batches",
        rule="The events of each batch are one legal step after the other to its state, each creation after its committed intent.",
        fix=_REPORT,
        check=events_give_batches,
    ),
    Invariant(
        name="one-open-attempt",
        rule="An item is in flight exactly while its one batch is open.",
        fix=_REPORT,
        check=one_open_attempt,
    ),
    Invariant(
        name="sendings-accounted",
        rule="No request is in a second batch before the first one is final: each sending is open, or was settled once.",
        fix=_REPORT,
        check=sendings_accounted,
    ),
    Invariant(
        name="final-with-reason",
        rule="Nothing is final without an answer or a reason.",
        fix=_REPORT,
        check=final_with_reason,
    ),
    Invariant(
        name="turns-follow-answers",
        rule="A conversation goes on exactly where an answer was not the last.",
        fix=_REPORT,
        check=turns_follow_answers,
    ),
    Invariant(
        name="pending-will-be-sent",
        rule="Pending items, and no others, wait in the queue, in a fresh request file, or for the functions that their answers call.",
        fix=_REPORT,
        check=pending_will_be_sent,
    ),
    Invariant(
        name="batches-hold-their-items",
        rule="All requests of an open batch are in flight and judged by what they ask for, none of a final one is in flight.",
        fix=_REPORT,
        check=batches_hold_their_items,
    ),
    Invariant(
        name="batches-have-remotes",
        rule="A batch that may exist on the service can be found there: token, file, id and account are recorded.",
        fix=_REPORT,
        check=batches_have_remotes,
    ),
    Invariant(
        name="request-files-whole",
        rule="Request files are there with their recorded size, and each open batch names one as it was recorded.",
        fix=_REQUESTS,
        check=request_files_whole,
    ),
    Invariant(
        name="requests-unchanged",
        rule="Request files have the checksum with which they were written, and a line for each request.",
        fix=_REQUESTS,
        check=requests_unchanged,
        is_quick=False,
    ),
    Invariant(
        name="pointers-hit",
        rule="Each item points to its own request in a request file, and its hash is the stored one.",
        fix=_REQUESTS,
        check=pointers_hit,
        is_quick=False,
    ),
    Invariant(
        name="batches-sent-as-recorded",
        rule="The requests in the file of a batch are those that are in flight in it, or were settled by it.",
        fix=_REQUESTS,
        check=batches_sent_as_recorded,
        is_quick=False,
    ),
    Invariant(
        name="attachments-whole",
        rule="What requests attach is in the spool, with its recorded size.",
        fix=_ATTACHMENTS,
        check=attachments_whole,
    ),
    Invariant(
        name="attachments-unchanged",
        rule="What requests attach has the SHA-256 by which they name it.",
        fix=_ATTACHMENTS,
        check=attachments_unchanged,
        is_quick=False,
    ),
    Invariant(
        name="result-files-whole",
        rule="Result files are there with their recorded size.",
        fix=_RESULTS,
        check=result_files_whole,
    ),
    Invariant(
        name="results-unchanged",
        rule="Result files have the checksum that was recorded when they came.",
        fix=_RESULTS,
        check=results_unchanged,
        is_quick=False,
    ),
    Invariant(
        name="answers-in-spool",
        rule="Each result leads back to the line that the service sent, which bears its custom_id.",
        fix=_RESULTS,
        check=answers_in_spool,
        is_quick=False,
    ),
    Invariant(
        name="usage-adds-up",
        rule="Where a batch completed with an answer to every request, their tokens are the sum that the service gave.",
        fix="Compare with the bill. The lines are in spool/results/; the service's own sum is in its batch.",
        check=usage_adds_up,
    ),
    Invariant(
        name="usage-as-settled",
        rule="The usage that is kept of each batch is the sum of its attempts, but for what was forgotten.",
        fix=_REPORT,
        check=usage_as_settled,
    ),
    Invariant(
        name="bills-follow-batches",
        rule="What is reserved is of a batch that is open; what a settled one cost is booked, within what was reserved or with an incident.",
        fix=_REPORT,
        check=bills_follow_batches,
    ),
    Invariant(
        name="outputs-as-listed",
        rule="Finished outputs are there, with the bytes and hashes that their manifest lists.",
        fix=_OUTPUTS,
        check=outputs_as_listed,
        is_quick=False,
    ),
    Invariant(
        name="outputs-rewrite-alike",
        rule="A fresh writing of finished outputs gives the same bytes.",
        fix=_OUTPUTS,
        check=outputs_rewrite_alike,
        is_quick=False,
    ),
    Invariant(
        name="private",
        rule="Folders of the home are 0700 and its files 0600; nobody else may write into the outputs.",
        fix="`chmod -R go= HOME`, and `chmod go-w` for the outputs.",
        check=private,
    ),
    Invariant(
        name="no-strays",
        rule="The spool holds only files that the ledger names, finished outputs no temporary ones.",
        fix=_STRAYS,
        check=no_strays,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found. `leftovers` are no faults: what a process that was ended left for the next pass to clear away."""

    outcomes: tuple[Outcome, ...]
    leftovers: tuple[str, ...]
    items: int
    batches: int
    is_quick: bool

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """The invariants that do not hold."""
        return tuple(outcome for outcome in self.outcomes if not outcome.holds)


def verify(ledger: Ledger, *, is_quick: bool = False) -> Verification:
    """Check every invariant over one snapshot of the ledger; `is_quick`: those that need no file's content read.

    Writes nothing. Memory does not grow with the home. Call it under the home's lock: files come and go with passes, and a snapshot of the
    ledger does not hold them still.
    """
    with snapshot(ledger):
        return Verification(
            outcomes=tuple(
                outcome_of(invariant, ledger)
                for invariant in INVARIANTS
                if invariant.is_quick or not is_quick
            ),
            leftovers=leftovers(ledger),
            items=int(ledger.value("select count(*) from item_rows")),
            batches=int(ledger.value("select count(*) from batch_rows")),
            is_quick=is_quick,
        )
