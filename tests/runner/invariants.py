"""What must be true of a ledger at any moment, whatever happened: the product's own invariants, checked after every test of the core."""

from batchrun.ledger.connection import Ledger
from batchrun.verifying.verify import verify
from batchrun.verifying.visible import has_unready


def check_invariants(ledger: Ledger, *, is_quick: bool = True) -> None:
    """Everything that must hold between two transactions, whatever happened before; by default what needs no file read through."""
    found = verify(ledger, is_quick=is_quick)
    broken = {outcome.name: outcome.findings for outcome in found.broken}
    assert not broken, f"invariants that do not hold: {broken}"
    # What a dead process left is swept by the next pass, and stays only where that was the process that died.
    assert not found.leftovers or has_unready(ledger), f"never swept: {found.leftovers}"
