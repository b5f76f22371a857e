"""Request files that are missing here, from the service's copies of them: a batch made of a whole one is that very file, byte for byte.

An older ledger does not know that `prune` removed them since. Most answers find their items without (see matching.py), but a conversation
goes on from its first request: without it a repair has nothing to say, and what a later batch said is nobody's.
"""

import shutil
from pathlib import Path

from batchrun.ledger.connection import Ledger
from batchrun.ledger.spool import checksum_of, disk_error, written
from batchrun.ledger.submissions import settings_from_json
from batchrun.recovery.sentlines import files_asking


def put_back(ledger: Ledger, job: int, sent: Path) -> None:
    """Copy an input file to where a request file of the job is missing that was the same. Raises LedgerError."""
    if not (missing := _missing(ledger, job)):
        return  # as a rule
    checksum = checksum_of(sent)
    for file in missing:
        if ledger.value("select checksum from request_files where id = ?", (file,)) == checksum:
            path = ledger.home.request_file(file)
            with written(path) as target:
                try:
                    with sent.open("rb") as source:
                        shutil.copyfileobj(source, target)
                except OSError as exc:
                    raise disk_error(path, exc) from exc


def is_missed(ledger: Ledger, job: int, file: int) -> bool:
    """Whether a request file is missing from which conversations of its job may go on."""
    settings = settings_from_json(ledger.value("select settings from jobs where id = ?", (job,)))
    goes_on = settings.repair is not None or settings.rounds is not None
    return goes_on and file in _missing(ledger, job)


def _missing(ledger: Ledger, job: int) -> list[int]:
    home = ledger.home
    return [file for file in files_asking(ledger, job) if not home.request_file(file).exists()]
