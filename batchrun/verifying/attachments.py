"""Attached contents: each that a request names is in the spool, and is what its name says."""

from collections.abc import Iterator

from batchrun.ledger.attachments import kept_contents
from batchrun.ledger.connection import Ledger
from batchrun.verifying.files import sha256_of, size_of


def attachments_whole(ledger: Ledger) -> Iterator[str]:
    """Every content is there with its recorded size, and every request's is recorded."""
    for row in kept_contents(ledger):
        path = ledger.home.attachment_file(row["digest"], row["form"])
        size = size_of(path)
        if size is None:
            yield f"spool/attachments/{path.name} is not there"
        elif size != row["bytes"]:
            yield f"spool/attachments/{path.name} has {size:,} bytes instead of {row['bytes']:,}"
    for row in ledger.rows(
        "select a.item, hex(a.digest) as digest from attached a left join attachments c on c.digest = a.digest where c.digest is null"
    ):
        yield f"item {row['item']} names the content {row['digest'].lower()}, which is not recorded"


def attachments_unchanged(ledger: Ledger) -> Iterator[str]:
    """Every content has the SHA-256 that is its name."""
    for row in kept_contents(ledger):
        path = ledger.home.attachment_file(row["digest"], row["form"])
        found = sha256_of(path)
        if found is not None and found[1] != row["digest"].hex():
            yield f"spool/attachments/{path.name} is not what was attached: its content has changed"
