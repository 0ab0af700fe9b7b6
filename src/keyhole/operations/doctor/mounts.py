"""Which kind of file system a path lies on, and how much room it has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
NETWORK = frozenset({"nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs"})
"""File systems on which SQLite's shared memory between processes, or its locks, cannot be relied upon."""

_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Room:
    """What a folder lies on. ``kind`` is empty where the system does not tell; sizes are in bytes."""

    kind: str
    device: int
    free: int
    total: int
    inodes_free: int | None

    @property
    def network(self) -> bool:
        """Whether it is another machine's."""
        return self.kind in NETWORK or self.kind.startswith("fuse.sshfs")


def room(folder: Path) -> Room:
    """What *folder*, or the nearest folder above it that is there, lies on; OSError when it cannot be told."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    found = os.statvfs(folder)
    return Room(
        kind=kind_of(folder.resolve(), _table()),
        device=folder.stat().st_dev,
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        inodes_free=found.f_favail if found.f_files else None,
    )


def _table() -> str:
    try:
        return TABLE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def kind_of(path: Path, table: str) -> str:
    """The file system of the mount that *path* lies below, from a *table* as proc_pid_mountinfo(5) describes it."""
    kind, deepest = "", -1
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < _FIELDS or not right:
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= deepest:
            kind, deepest = right.split(" ")[0], len(point.parts)
    return kind
