"""Bring the index up to what the folder holds: new, changed and removed files, in batches.

Files and index are walked side by side in the order of their paths, so that memory does not grow with either. Rows of
studies and series follow from their instances: their attributes are those of the file with the lowest path. Of files
with the same SOPInstanceUID the one with the lowest path counts, whatever the order they came in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from keyhole.archive.entries import BATCH, Batch, Entries
from keyhole.archive.index import create, index_errors
from keyhole.archive.scan import Found, read, walk
from keyhole.errors import ArchiveFailed

Progress = Callable[[int, int], None]

_PAGE = 1000


@dataclass(slots=True)
class Outcome:
    """What one pass over the folder did."""

    files: int = 0
    read: int = 0
    removed: int = 0

    @property
    def changed(self) -> bool:
        """Whether the index is another than before."""
        return bool(self.read or self.removed)


class Indexer:
    """The one writer of the index of a folder."""

    def __init__(self, folder: Path, index: Path, stop: Event) -> None:
        """Write *index* about *folder*, until *stop* is set; raises Misconfigured when the file is something else."""
        self._root = os.fsencode(folder)
        with index_errors():
            self._connection = create(index, self._root)
        self._entries = Entries(self._connection)
        self._skip = frozenset(
            os.fsencode(f"{index.absolute()}{end}") for end in ("", "-wal", "-shm", ".lock", ".uploads")
        )
        self._stop = stop

    def close(self) -> None:
        """Let go of the index."""
        self._connection.close()

    def run(self, progress: Progress | None = None) -> Outcome:
        """One pass; *progress* hears of files done and files there are, about every hundred. Raises ArchiveFailed.

        When the folder cannot be listed the index stays as it is.
        """
        outcome = Outcome()
        try:
            total = sum(1 for _ in walk(self._root, self._skip)) if progress else 0
            with index_errors():
                self._pass(outcome, progress, total)
        except OSError as error:
            raise ArchiveFailed(f"the folder cannot be listed: {error.strerror}") from error
        if progress:
            progress(outcome.files, max(total, outcome.files))
        return outcome

    def _pass(self, outcome: Outcome, progress: Progress | None, total: int) -> None:
        batch, heirs = Batch(), set[bytes]()
        for found, known in _side_by_side(walk(self._root, self._skip), self._known()):
            if self._stop.is_set():
                break
            self._judge(found, known, batch, outcome)
            if progress and found is not None and outcome.files % BATCH == 0:
                progress(outcome.files, max(total, outcome.files))
            if batch.full:
                heirs |= self._entries.write(batch)
                batch = Batch()
        heirs |= self._entries.write(batch)
        while heirs and not self._stop.is_set():
            heirs = self._inherit(heirs, outcome)

    def _judge(self, found: Found | None, known: Found | None, batch: Batch, outcome: Outcome) -> None:
        outcome.files += found is not None
        if found is None and known is not None:
            if _stored_meanwhile(self._root, known):
                return
            batch.removed.append(known.path)
            outcome.removed += 1
        elif found is not None and (known is None or (found.mtime_ns, found.size) != (known.mtime_ns, known.size)):
            batch.reads.append(read(self._root, found))
            outcome.read += 1

    def _inherit(self, heirs: set[bytes], outcome: Outcome) -> set[bytes]:
        """Read the files whose double has gone."""
        batch = Batch()
        for path in sorted(heirs):
            batch.reads.append(read(self._root, Found(path, 0, 0)))
            outcome.read += 1
        return self._entries.write(batch)

    def _known(self) -> Iterator[Found]:
        # A page at a time: a reader that stays open would keep the write-ahead log growing.
        after = b""
        while True:
            page = self._connection.execute(
                "SELECT path, mtime_ns, size FROM files WHERE path > ? ORDER BY path LIMIT ?", (after, _PAGE)
            ).fetchall()
            yield from (Found(*row) for row in page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]


def _side_by_side(found: Iterator[Found], known: Iterator[Found]) -> Iterator[tuple[Found | None, Found | None]]:
    """Both, paired by path; either is None where the other has a path alone."""
    ours, theirs = next(found, None), next(known, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours.path < theirs.path):
            yield ours, None
            ours = next(found, None)
        elif ours is None or theirs.path < ours.path:
            yield None, theirs
            theirs = next(known, None)
        else:
            yield ours, theirs
            ours, theirs = next(found, None), next(known, None)


def _stored_meanwhile(root: bytes, known: Found) -> bool:
    """Whether an upload has put the file there, and into the index, after its folder was listed."""
    path = os.path.join(root, known.path)  # noqa: PTH118 - bytes
    try:
        status = os.lstat(path)
    except OSError:
        return False
    unmoved = os.path.realpath(path) == os.path.join(os.path.realpath(root), known.path)  # noqa: PTH118
    return unmoved and (status.st_mtime_ns, status.st_size) == (known.mtime_ns, known.size)
