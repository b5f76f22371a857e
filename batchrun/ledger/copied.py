"""Why a copied home sends nothing, in words: every command that would send ends with them, and those that look say them first."""

from batchrun.ledger.connection import Ledger, is_copied


def copied_warning(ledger: Ledger) -> str | None:
    """What to tell where this home is a copy of another one or was restored; else None."""
    reason = is_copied(ledger)
    if reason is None:
        return None
    return (
        f"{ledger.home.path}: this home is a copy of another one or was restored ({reason}). It sends nothing, "
        "because the original may be sending the same. If the original is gone for good: "
        "`batchrun recover --take-over`."
    )
