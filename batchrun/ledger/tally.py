"""What a submission found, counted while it is prepared: what `submit` prints, what guards ask about, and what the ledger keeps of it."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a submission found, in items. `reasked` are changed ones that already had an answer, `superseded` those whose answer is on
    its way, to be paid and not used; `answered` and `awaited` are all of which that could have been said. `kept` are those whose answer
    stands although the job line changed (--new-only). `files` and `bytes` are those of the requests that it wrote: so many batches, where
    they go as they are. `canary`: so many go first, and the rest waits for what becomes of them. `shared`: so many are not asked, since another item asks
    the same; `reused`: nor so many, since an earlier job did; `saved_tokens`: what the answers took that all these get at once, and that is not paid again.
    """

    items: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: int = 0
    returned: int = 0
    requeued: int = 0
    vanished: int = 0
    bad: int = 0
    reasked: int = 0
    superseded: int = 0
    answered: int = 0
    awaited: int = 0
    kept: int = 0
    known: int = 0
    files: int = 0
    bytes: int = 0
    canary: int = 0
    shared: int = 0
    reused: int = 0
    saved_tokens: int = 0

    @property
    def asked(self) -> int:
        """How many items are to be sent: those that get another's answer are not."""
        return self.new + self.changed + self.requeued - self.shared - self.reused
