"""Store what is uploaded in the folder (STOW-RS, PS3.18 section 10.5): the file first, then the index.

A file is written under a name that nobody looks at, made durable, and only then given its name: whenever this process
ends, whole files are there and no others. Nothing that is there is ever overwritten. Whoever stores takes a lock, which
the system lets go of when the process ends, so that of two uploads of one instance exactly one is the first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from keyhole.archive.entries import Batch, Entries
from keyhole.archive.index import connect_writer, index_errors
from keyhole.archive.scan import Found, Instance, read
from keyhole.errors import ArchiveFailed

FOLDER = "uploads"
"""Where in the folder of the archive uploads go."""

_STALE = 24 * 3600
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PREAMBLE = 128
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PIECE = 1 << 20


class Failure(IntEnum):
    """Why an instance was not stored (PS3.18 section 10.5.3, PS3.4 annexes B and GG.4.1)."""

    PROCESSING = 0x0110
    DUPLICATE = 0x0111
    NOT_AUTHORISED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    OTHER_STUDY = 0xA900
    NOT_UNDERSTOOD = 0xC000


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one part: the instance that it held, when it held one, and why it was not stored."""

    instance: Instance | None = None
    failure: Failure | None = None


def failure_of(error: OSError) -> Failure:
    """What to tell when the disk raises *error*."""
    return Failure.OUT_OF_RESOURCES if error.errno in _NO_ROOM else Failure.PROCESSING


class Uploads:
    """Takes files into *folder* and *index*; safe from any thread, and beside other processes."""

    def __init__(self, folder: Path, index: Path) -> None:
        """Write nothing yet."""
        self._root, self._index = os.fsencode(folder), index
        self._place = folder / FOLDER
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._connection: sqlite3.Connection | None = None

    def ready(self) -> None:
        """Be able to store; raises ArchiveFailed when the folder cannot be written to, or is not indexed yet."""
        with self._lock:
            if self._connection is not None:
                return
            try:
                _make(self._place)
                self._clean()
                lock = self._index.with_name(f"{self._index.name}.uploads")
                self._descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise ArchiveFailed(f"the folder cannot be written to: {error.strerror}") from error
            with index_errors():
                self._connection = connect_writer(self._index, self._root)

    def _clean(self) -> None:
        """Take away what uploads left that were cut off, a day after."""
        for path in self._place.glob(".*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()

    def new(self) -> tuple[Path, BinaryIO]:
        """A file to write an instance to; raises OSError."""
        path = self._place / f".{secrets.token_hex(16)}.part"
        return path, os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")

    def store(self, path: Path, file: BinaryIO, study: str | None) -> Result:
        """Keep what has been written to *file* at *path*, as an instance of *study* when one is named."""
        _without_preamble(file)
        file.flush()
        os.fsync(file.fileno())
        status = os.fstat(file.fileno())
        written = read(self._root, Found(self._below(path), status.st_mtime_ns, status.st_size))
        instance = written.instance
        if instance is None:
            return Result(failure=Failure.NOT_UNDERSTOOD)
        if study is not None and instance.study != study:
            return Result(instance, Failure.OTHER_STUDY)
        with self._alone() as connection, index_errors():
            name = self._below(self._place / instance.study / f"{instance.uid}.dcm")
            holder = _holder(connection, instance.uid) or name
            there = next((place for place in (holder, name) if os.path.lexists(self._whole(place))), None)
            if there is None:
                if self._other_patient(connection, instance):
                    return Result(instance, Failure.NOT_AUTHORISED)
                self._name(path, name)
            elif not _same(path, self._whole(there)):
                return Result(instance, Failure.DUPLICATE)
            elif there != name:
                return Result(instance)
            status = os.lstat(self._whole(name))
            stored = replace(written, found=Found(name, status.st_mtime_ns, status.st_size))
            gone = [holder] if holder != name else []
            # The file is durable by now: if the index cannot take it, the next look over the folder will find it.
            with contextlib.suppress(sqlite3.Error):
                Entries(connection).write(Batch(reads=[stored], removed=gone))
        return Result(instance)

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """The index, while nobody else stores."""
        with self._lock:
            if self._connection is None or self._descriptor is None:
                raise ArchiveFailed("the archive is closing")
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield self._connection
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @staticmethod
    def _other_patient(connection: sqlite3.Connection, instance: Instance) -> bool:
        """Whether the study is another patient's: who may upload may not add to whatever study they name."""
        statement = "SELECT 1 FROM instances WHERE study = ? AND patient <> ? LIMIT 1"
        return connection.execute(statement, (instance.study, instance.patient)).fetchone() is not None

    def _name(self, path: Path, name: bytes) -> None:
        """Give the durable file at *path* its name below the folder, durably. There is none of that name."""
        whole = Path(os.fsdecode(self._whole(name)))
        _make(whole.parent)
        path.rename(whole)
        _sync(whole.parent)

    def _below(self, path: Path) -> bytes:
        return os.path.relpath(os.fsencode(path), self._root)

    def _whole(self, name: bytes) -> bytes:
        return os.path.join(self._root, name)  # noqa: PTH118 - bytes

    def close(self) -> None:
        """Let go of the index and the lock. Nothing may be storing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._connection = self._descriptor = None


def _holder(connection: sqlite3.Connection, uid: str) -> bytes | None:
    row = connection.execute("SELECT path FROM instances WHERE uid = ?", (uid,)).fetchone()
    return None if row is None else row[0]


def _without_preamble(file: BinaryIO) -> None:
    """Take out what may stand before the dataset and run elsewhere (CVE-2019-11687), unless it is TIFF's head."""
    file.flush()
    file.seek(0)
    start = file.read(_PREAMBLE + 4)
    if start[_PREAMBLE:] == b"DICM" and not start.startswith(_TIFF):
        file.seek(0)
        file.write(bytes(_PREAMBLE))


def _same(path: Path, holder: bytes) -> bool:
    """Whether two files hold the same after their preambles."""
    try:
        with path.open("rb") as ours, open(os.fsdecode(holder), "rb") as theirs:  # noqa: PTH123 - bytes
            for file in (ours, theirs):
                file.seek(_PREAMBLE)
            while (piece := ours.read(_PIECE)) == theirs.read(_PIECE):
                if not piece:
                    return True
    except OSError:
        return False
    return False


def _make(folder: Path) -> None:
    """Make *folder* durably; its parent is there."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
