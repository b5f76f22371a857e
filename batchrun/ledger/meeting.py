"""An item of an earlier submission comes again: what that means for its answer, its place in flight, and the request that it had.

Nothing of it holds before the submission is ready: it is noted in revisions, and in tables that `publishing.py` and `wanted.py` read.
"""

from batchrun.ledger.connection import Ledger
from batchrun.ledger.fingerprints import Fingerprints
from batchrun.ledger.known import KnownItem, KnownItems
from batchrun.ledger.openfiles import OpenFiles
from batchrun.ledger.requestfiles import FileKind
from batchrun.ledger.states import ItemState
from batchrun.ledger.tally import Tally
from batchrun.requests import Request


class Meeting:
    """Meets the known items of one submission, counting in `tally` and writing into `files` what they ask now."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        submission: int,
        known: KnownItems,
        files: OpenFiles,
        tally: Tally,
        hashes: Fingerprints | None = None,
    ) -> None:
        self._ledger, self._submission, self._hashes = ledger, submission, hashes
        self._known, self._files, self._tally = known, files, tally

    def meet(
        self, known: KnownItem, request: Request, name: str | None, *, former: bytes | None
    ) -> None:
        """A known item, with the same request as before or another. Inside the caller's transaction.

        `name`: of an item without id, its place in the data now; `former`: the hash that its data have under the job line before.
        """
        self._known.see(known.id)
        tally, hashed = self._tally, request.hash
        tally.known += 1
        tally.returned += known.vanished
        tally.answered += known.state == ItemState.SUCCEEDED
        tally.awaited += known.is_awaited
        if request.key is None:
            self._ledger.execute("insert into renamed values (?, ?)", (known.id, name))
        if hashed == (known.deferred or known.hash):
            tally.unchanged += 1
            tally.failed += known.state == ItemState.FAILED
            if known.state == ItemState.CANCELLED:
                tally.requeued += 1
                self._ledger.execute("insert or ignore into again values (?)", (known.id,))
                self._note(hashed)
            elif known.is_leaving and known.deferred is None:
                self._want_again(known)
            return
        in_flight = known.state == ItemState.IN_FLIGHT
        if in_flight and hashed == known.hash:
            # Changed back while the first revision is still on its way: its answer will do after all.
            tally.unchanged += 1
            if known.is_leaving:
                self._want_again(known)
            else:
                self._ledger.execute("insert or ignore into dropped values (?)", (known.id,))
            return
        if (
            former is not None
            and former == (known.deferred or known.hash)
            and (in_flight or known.state == ItemState.SUCCEEDED)
        ):
            self._keep_answer(known, request)
            return
        tally.changed += 1
        tally.reasked += known.state == ItemState.SUCCEEDED
        tally.superseded += known.is_awaited
        kind = FileKind.DEFERRED if in_flight else FileKind.RENDERED
        file, offset = self._files.append(request, kind, item=known.id, send=known.sends + 1)
        self._ledger.execute(
            "insert into revisions (item, submission, hash, file, offset, deferred) values (?, ?, ?, ?, ?, ?)",
            (known.id, self._submission, hashed, file, offset, int(in_flight)),
        )
        if not in_flight:
            self._note(hashed)

    def _note(self, hashed: bytes) -> None:
        """An item asks this: perhaps another does, too."""
        if self._hashes is not None:
            self._hashes.note((hashed,))

    def _keep_answer(self, known: KnownItem, request: Request) -> None:
        """Only the job line changed for this item, and the user wants that for new items only: its answer stands, also for later submits."""
        self._tally.kept += 1
        if known.state == ItemState.SUCCEEDED:
            file, offset = self._files.append(
                request, FileKind.DEFERRED, item=known.id, send=known.sends + 1
            )
            self._ledger.execute(
                "insert or ignore into kept values (?, ?, ?, ?)",
                (known.id, request.hash, file, offset),
            )

    def _want_again(self, known: KnownItem) -> None:
        """Its job was cancelled and is submitted again while its batch ends: what that leaves unanswered is asked again.

        The wish is a waiting revision with the request that is in flight already.
        """
        self._tally.requeued += 1
        self._ledger.execute(
            "insert into revisions (item, submission, hash, file, offset, deferred) select id, ?, hash, file, offset, 1 from item_rows "
            "where id = ?",
            (self._submission, known.id),
        )
