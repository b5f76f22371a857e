"""Request files on disk, against what the ledger recorded of them."""

from pathlib import Path

import pytest
import xxhash

from batchrun.errors import LedgerError
from batchrun.ledger.requestfiles import verify

CONTENT = b'{"custom_id":"1-1-000000000000"}\n' * 50_000
CHECKSUM = xxhash.xxh3_128_hexdigest(CONTENT)


def test_a_file_as_it_was_written_passes(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.write_bytes(CONTENT)
    verify(path, CHECKSUM)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-3] + b"X" + CONTENT[-2:]])
def test_a_file_that_changed_is_refused_and_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "1.jsonl"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"1\.jsonl: not the file that was written"):
        verify(path, CHECKSUM)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"1\.jsonl: cannot be read: No such file"):
        verify(tmp_path / "1.jsonl", CHECKSUM)
