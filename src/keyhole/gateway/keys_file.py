"""The file of the key ring: outside the database, readable by its owner alone, with a backup of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from keyhole.errors import Misconfigured
from keyhole.sharing.link import KeyRing

NAME = "keys.json"


def exists(folder: Path) -> bool:
    """Whether there is a ring in *folder*, good or bad."""
    return os.path.lexists(folder / NAME)


def load(folder: Path) -> KeyRing:
    """The ring in *folder*; both are made at the first call, the ring by exactly one of any number of processes.

    Raises Misconfigured when the file cannot be read, is not a key ring, or can be read by others.
    """
    path = folder / NAME
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path)
        if path.stat().st_mode & 0o077:
            raise Misconfigured(f"{path} can be read by others: whoever reads it can make links. Run: chmod 600 {path}")
        return KeyRing.load(path.read_text())
    except OSError as error:
        raise Misconfigured(f"the key file {path} cannot be used: {error.strerror}") from None
    except ValueError:
        raise Misconfigured(f"{path} is not a key ring: put the backup of it back") from None


def change(folder: Path, how: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Replace the ring in *folder* by what *how* makes of it, at once; one process after the other. The new ring.

    What *how* raises changes nothing. The file keeps its owner. Raises Misconfigured as :func:`load` does.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ring = how(load(folder))
        put(folder, ring)
    except OSError as error:
        raise Misconfigured(f"the key file in {folder} cannot be replaced: {error.strerror}") from None
    finally:
        os.close(lock)
    return ring


def put(folder: Path, ring: KeyRing) -> None:
    """Have *ring* in *folder*, durably, in place of any other; OSError when that cannot be."""
    path = folder / NAME
    handle, name = tempfile.mkstemp(prefix=f"{NAME}.", dir=folder)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            if path.exists() and path.stat().st_uid != os.geteuid():
                os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)  # root at the service's file
            file.write(ring.dump())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _keep_name(folder)
    finally:
        draft.unlink(missing_ok=True)


def _make(path: Path) -> None:
    """Write a new ring under another name first: nobody ever sees half a ring, and an existing one stays."""
    handle, name = tempfile.mkstemp(prefix=f"{NAME}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(KeyRing.new().dump())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first, and its ring is as good
            path.hardlink_to(draft)
        _keep_name(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _keep_name(folder: Path) -> None:
    """Return when the names in *folder* are durable: links are given out that nothing but this file can make again."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
