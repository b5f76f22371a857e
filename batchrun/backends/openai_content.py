"""A file's content on its way to disk: written new and private, synced, and gone again unless it is whole.

Content-Length is no proof: a proxy that cuts a body may send the length of the rest, and a chunked body has none. What counts is the
service's own `FileObject.bytes`; where that is missing, a final newline, or the same content twice.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from batchrun.errors import LedgerError

CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was written: its `size` in bytes, a digest to tell two fetches apart, and whether the last byte ends a line."""

    size: int
    digest: bytes
    ends_line: bool

    def is_whole(self, expected_bytes: int) -> bool:
        """Whether one look is enough: the service's count is met, or it gives none (0) and the last line is complete."""
        return self.size == expected_bytes or (expected_bytes == 0 and self.ends_line)


def write_content(chunks: Iterable[bytes], path: Path) -> Content:
    """Write the chunks to a new file of mode 0600 and sync it. Nothing is left at `path` if anything fails.

    What a dead process left there, or a link that someone planted, is removed first, never written through. Raises LedgerError where
    the disk fails; what `chunks` raises passes through.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    digest = hashlib.blake2b(digest_size=16)
    size, last = 0, b""
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                for chunk in chunks:
                    opened.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    last = chunk[-1:] or last
                opened.flush()
                os.fsync(opened.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LedgerError(
            f"{path}: the download cannot be written: {error.strerror}. "
            "Make room or mend the folder, then run the same command again."
        ) from error
    return Content(size=size, digest=digest.digest(), ends_line=last == b"\n")
