"""Which file system a folder is on, from Linux's table of mounts. Pure."""

import re
from pathlib import PurePosixPath
from typing import Final

_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"}
)
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def file_system_of(path: str, mountinfo: str) -> str | None:
    """The type of the file system that holds `path` (absolute, without links), as /proc/self/mountinfo names it; None where it does not say."""
    found, depth = None, -1
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:]:
            continue
        point = PurePosixPath(_ESCAPE.sub(lambda m: chr(int(m[1], 8)), fields[4]))
        kind = fields[fields.index("-", 6) + 1]
        # The last of several mounts on one point hides the others.
        if PurePosixPath(path).is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def is_network(kind: str) -> bool:
    """Whether files of this type may be on another machine, where locks and fsync are what the other machine makes of them."""
    return kind in _NETWORK or kind.startswith("fuse")
