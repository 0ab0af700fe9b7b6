"""Heads of the trail outside the database, so that a trail that was cut off, or set back as a whole, is noticed.

``trail.head`` holds the last head that this machine committed, in one line of fixed size, overwritten in place.
``trail.heads`` is its history: a line at most once a minute and per 1000 rows, and one for every head that the
database had lost when the next rows came. The database may be ahead of both (a crash between commit and writing
here), never behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyhole.store.chain import Head

_PENDING = "trail.restart"
_LINE = re.compile(rb"([0-9]{20}) ([0-9a-f]{64})\n?")
_SIZE = 20 + 1 + 64 + 1
_EVERY_SECONDS = 60.0
_EVERY_ROWS = 1000
_MODE = 0o600


def _line(head: Head) -> bytes:
    return f"{head.seq:020d} {head.digest.hex()}\n".encode()


def _parse(line: bytes) -> Head | None:
    match = _LINE.fullmatch(line)
    return None if match is None else Head(int(match[1]), bytes.fromhex(match[2].decode()))


@dataclass(frozen=True, slots=True)
class Outside:
    """What is known outside the database: the last head, and every head of the history."""

    last: Head | None = None
    history: tuple[Head, ...] = ()
    damaged: bool = False
    """Whether ``trail.head`` holds something else than a head."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """All of them."""
        return self.history if self.last is None else (*self.history, self.last)


class Heads:
    """The two files in one folder. Used by one thread; other processes may use the same files."""

    def __init__(self, folder: Path) -> None:
        """Keep the heads in *folder*, which exists when the first row is written."""
        self._head = folder / "trail.head"
        self._history = folder / "trail.heads"
        self._owed: tuple[Head, Head] | None = None
        self._told_at = float("-inf")
        self._told_seq = 0

    def read(self) -> Outside:
        """What the files say. To be read before the database is: it may be ahead of them, not behind."""
        content = self._head.read_bytes() if self._head.exists() else b""
        last = _parse(content)
        lines = self._history.read_bytes().splitlines() if self._history.exists() else []
        # A line that a crash has torn is no head. Whoever can write here could as well remove it.
        history = tuple(head for line in lines if (head := _parse(line)) is not None)
        return Outside(last, history, damaged=bool(content) and last is None)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make sure, before anything is committed, that heads can be written here; OSError when not."""
        if self._owed is not None:
            self._advance(*self._owed)
            self._owed = None
        with self._locked():
            pass
        yield

    @contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self._head, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def advance(self, start: Head, end: Head) -> None:
        """The rows after *start* up to *end* are committed. What cannot be written now is owed."""
        if start == end:
            return
        try:
            self._advance(start, end)
        except OSError:
            self._owed = (start, end)  # the rows are durable: their writers are not told otherwise

    def _advance(self, start: Head, end: Head) -> None:
        with self._locked() as file:
            held = _parse(os.pread(file, _SIZE, 0))
            if held is not None and held.seq >= end.seq:
                return  # another process has committed later rows; or the database was set back, and this tells it
            lost = held is not None and held.seq >= start.seq and held != start
            if held is not None and lost:
                self._tell(held)
            if self._due(end):
                self._tell(end)
                self._told_at, self._told_seq = time.monotonic(), end.seq
            os.pwrite(file, _line(end), 0)

    def _due(self, head: Head) -> bool:
        return time.monotonic() - self._told_at >= _EVERY_SECONDS or head.seq - self._told_seq >= _EVERY_ROWS

    def _tell(self, head: Head) -> None:
        file = os.open(self._history, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            os.write(file, _line(head))
        finally:
            os.close(file)


def promise(folder: Path, head: Head, stamp: str) -> None:
    """Say, before a database that ends with *head* takes another one's place, what the heads are to begin with then."""
    _write(folder / _PENDING, _line(head) + stamp.encode())


def settle(folder: Path, holds: Callable[[Head], bool]) -> None:
    """Do what was promised, if the database *holds* that head: begin with it, and set the heads from before aside.

    Whoever promised may have been killed before the database was in its place, or after: both are well.
    """
    path = folder / _PENDING
    if not path.exists():
        return
    with path.open("rb") as pending:
        fcntl.flock(pending, fcntl.LOCK_EX)
        line, stamp = pending.read(_SIZE), pending.read().decode()
        head = _parse(line)
        if path.exists() and head is not None and holds(head):
            for name in ("trail.head", "trail.heads"):
                _set_aside(folder / name, folder / f"{name}.{stamp}")
                _write(folder / name, line)
        path.unlink(missing_ok=True)


def _set_aside(path: Path, aside: Path) -> None:
    """Rename *path* once: what is there when the name is taken was written after that."""
    if path.exists() and not aside.exists():
        path.rename(aside)


def _write(path: Path, content: bytes) -> None:
    """Have *content* at *path*, durably, or what was there before."""
    draft = path.with_name(f"{path.name}.draft")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    try:
        if os.geteuid() == 0:  # root at the service's folder: the service must be able to go on with it
            os.fchown(file, path.parent.stat().st_uid, path.parent.stat().st_gid)
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
