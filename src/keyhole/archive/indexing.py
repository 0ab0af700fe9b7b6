"""Bring the index up to what the folder holds: new, changed and removed files, in batches.

Files and index are walked side by side in the order of their paths, so that memory does not grow with either. Rows of
studies and series follow from their instances: their attributes are those of the file with the lowest path. Of files
with the same SOPInstanceUID the one with the lowest path counts, whatever the order they came in.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import msgspec

from keyhole.archive import attributes as at
from keyhole.archive.attributes import Level
from keyhole.archive.index import create, decode, index_errors, transaction
from keyhole.archive.matching import earliest
from keyhole.archive.metadata import DicomJson
from keyhole.archive.scan import Found, Instance, Read, first, read, walk
from keyhole.errors import ArchiveFailed

Progress = Callable[[int, int], None]

_BATCH = 100
_PAGE = 1000
_INSTANCE = (
    "INSERT INTO instances (study, series, uid, path, mtime_ns, size, sop_class, number, patient, transfer_syntax, "
    "frames, offset, length, bits, word, extended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STUDY = (
    "INSERT INTO studies (uid, date, time, patient_id, mixed, dataset) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (uid) DO UPDATE SET date = excluded.date, time = excluded.time, patient_id = excluded.patient_id, "
    "mixed = excluded.mixed, dataset = excluded.dataset"
)
_SERIES = (
    "INSERT INTO series (study, uid, dataset) VALUES (?, ?, ?) "
    "ON CONFLICT (study, uid) DO UPDATE SET dataset = excluded.dataset"
)
DUPLICATE = "the same instance as "
"""How the problem of a file begins whose instance another file has."""


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


@dataclass(slots=True)
class _Batch:
    """Work waiting for one transaction."""

    reads: list[Read] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    heirs: set[bytes] = field(default_factory=set)
    """Files whose instance was another file's until now: they are read again."""

    @property
    def full(self) -> bool:
        return len(self.reads) + len(self.removed) >= _BATCH


class Indexer:
    """The one writer of the index of a folder."""

    def __init__(self, folder: Path, index: Path, stop: Event) -> None:
        """Write *index* about *folder*, until *stop* is set; raises Misconfigured when the file is something else."""
        self._root = os.fsencode(folder)
        with index_errors():
            self._connection = create(index, self._root)
        self._skip = frozenset(os.fsencode(f"{index.absolute()}{end}") for end in ("", "-wal", "-shm", ".lock"))
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
        batch, heirs = _Batch(), set[bytes]()
        for found, known in _side_by_side(walk(self._root, self._skip), self._known()):
            if self._stop.is_set():
                break
            self._judge(found, known, batch, outcome)
            if progress and found is not None and outcome.files % _BATCH == 0:
                progress(outcome.files, max(total, outcome.files))
            if batch.full:
                heirs |= self._write(batch)
                batch = _Batch()
        heirs |= self._write(batch)
        while heirs and not self._stop.is_set():
            heirs = self._inherit(heirs, outcome)

    def _judge(self, found: Found | None, known: Found | None, batch: _Batch, outcome: Outcome) -> None:
        outcome.files += found is not None
        if found is None and known is not None:
            batch.removed.append(known.path)
            outcome.removed += 1
        elif found is not None and (known is None or (found.mtime_ns, found.size) != (known.mtime_ns, known.size)):
            batch.reads.append(read(self._root, found))
            outcome.read += 1

    def _inherit(self, heirs: set[bytes], outcome: Outcome) -> set[bytes]:
        """Read the files whose double has gone."""
        batch = _Batch()
        for path in sorted(heirs):
            batch.reads.append(read(self._root, Found(path, 0, 0)))
            outcome.read += 1
        return self._write(batch)

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

    def _write(self, batch: _Batch) -> set[bytes]:
        """Write *batch* in one transaction; returns the files that have to be read again."""
        if not batch.reads and not batch.removed:
            return set()
        with transaction(self._connection):
            for path in batch.removed:
                self._forget(path, batch)
            for one in batch.reads:
                self._forget(one.found.path, batch)
                self._remember(one, batch)
            for study in sorted(batch.studies):
                _Derived(self._connection, study).write()
        return batch.heirs - {one.found.path for one in batch.reads}

    def _forget(self, path: bytes, batch: _Batch) -> None:
        row = self._connection.execute("SELECT uid FROM files WHERE path = ?", (path,)).fetchone()
        if row is None:
            return
        self._connection.execute("DELETE FROM files WHERE path = ?", (path,))
        if row[0] is not None and self._drop_instance("path = ?", path, batch):
            heir = "SELECT path FROM files WHERE uid = ? ORDER BY path LIMIT 1"
            batch.heirs |= {found for (found,) in self._connection.execute(heir, (row[0],))}

    def _drop_instance(self, where: str, value: object, batch: _Batch) -> bool:
        row = self._connection.execute(f"SELECT id, study FROM instances WHERE {where}", (value,)).fetchone()  # noqa: S608 - one of two constants
        if row is None:
            return False
        self._connection.execute("DELETE FROM instances WHERE id = ?", (row[0],))
        self._connection.execute("DELETE FROM datasets WHERE id = ?", (row[0],))
        batch.studies.add(row[1])
        return True

    def _remember(self, one: Read, batch: _Batch) -> None:
        instance, problem = one.instance, one.problem
        if instance is not None:
            problem = self._settle(one, instance, batch)
        row = (one.found.path, one.found.mtime_ns, one.found.size, instance and instance.uid, problem)
        self._connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row)

    def _settle(self, one: Read, instance: Instance, batch: _Batch) -> str | None:
        """Keep *instance*, unless a file with a lower path has it; returns what to say about the file then."""
        holder = self._connection.execute("SELECT path FROM instances WHERE uid = ?", (instance.uid,)).fetchone()
        if holder is not None and holder[0] < one.found.path:
            return _duplicate(holder[0])
        if holder is not None:
            self._drop_instance("uid = ?", instance.uid, batch)
            said = (_duplicate(one.found.path), holder[0])
            self._connection.execute("UPDATE files SET problem = ? WHERE path = ?", said)
        self._insert(one.found, instance)
        batch.studies.add(instance.study)
        return None

    def _insert(self, found: Found, instance: Instance) -> None:
        layout = instance.layout
        pixels = (None,) * 6 if layout is None else (
            layout.frames, layout.offset, layout.length, layout.bits, layout.word, layout.extended
        )  # fmt: skip
        row = (
            *(instance.study, instance.series, instance.uid, found.path, found.mtime_ns, found.size),
            *(instance.sop_class, instance.number, instance.patient, instance.transfer_syntax),
            *pixels,
        )
        cursor = self._connection.execute(_INSTANCE, row)
        self._connection.execute("INSERT INTO datasets VALUES (?, ?)", (cursor.lastrowid, instance.dataset))


def _duplicate(holder: bytes) -> str:
    return f"{DUPLICATE}{holder.decode('utf-8', 'replace')}"


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


@dataclass(frozen=True, slots=True)
class _Derived:
    """The rows of one study and its series, as they follow from its instances."""

    connection: sqlite3.Connection
    study: str

    def write(self) -> None:
        """Replace the rows, whose ids stay; without instances there are none."""
        self.connection.execute(
            "DELETE FROM series WHERE study = ?1 AND uid NOT IN (SELECT series FROM instances WHERE study = ?1)",
            (self.study,),
        )
        lowest = self._lowest()
        if lowest is None:
            self.connection.execute("DELETE FROM studies WHERE uid = ?", (self.study,))
            return
        counts = self.connection.execute(
            "SELECT series, count(*) FROM instances WHERE study = ? GROUP BY series ORDER BY series", (self.study,)
        ).fetchall()
        modalities = {self._write_series(uid, count) for uid, count in counts} - {""}
        self._write_study(lowest, len(counts), sum(count for _, count in counts), sorted(modalities))

    def _lowest(self, series: str | None = None) -> DicomJson | None:
        where, values = ("AND series = ?", (self.study, series)) if series else ("", (self.study,))
        row = self.connection.execute(
            f"SELECT dataset FROM datasets WHERE id = (SELECT id FROM instances WHERE study = ? {where} "  # noqa: S608 - constants
            "ORDER BY path LIMIT 1)",
            values,
        ).fetchone()
        return None if row is None else decode(zlib.decompress(row[0]))

    def _write_series(self, uid: str, count: int) -> str:
        dataset = _of_level(self._lowest(uid) or {}, Level.SERIES)
        dataset[at.INSTANCES_IN_SERIES] = {"vr": "IS", "Value": [count]}
        row = (self.study, uid, msgspec.json.encode(dataset))
        self.connection.execute(_SERIES, row)
        return str(first(dataset, at.MODALITY) or "")

    def _write_study(self, lowest: DicomJson, series: int, instances: int, modalities: list[str]) -> None:
        dataset = _of_level(lowest, Level.STUDY)
        dataset[at.MODALITIES_IN_STUDY] = {"vr": "CS", "Value": modalities} if modalities else {"vr": "CS"}
        dataset[at.SERIES_IN_STUDY] = {"vr": "IS", "Value": [series]}
        dataset[at.INSTANCES_IN_STUDY] = {"vr": "IS", "Value": [instances]}
        date = earliest("DA", str(first(dataset, at.STUDY_DATE) or "")) or ""
        time = earliest("TM", str(first(dataset, at.STUDY_TIME) or "")) or ""
        patient = str(first(dataset, at.PATIENT_ID) or "").strip()
        row = (self.study, date, time, patient, self._patients() > 1, msgspec.json.encode(dataset))
        self.connection.execute(_STUDY, row)

    def _patients(self) -> int:
        statement = "SELECT count(DISTINCT patient) FROM instances WHERE study = ?"
        return int(self.connection.execute(statement, (self.study,)).fetchone()[0])


def _of_level(dataset: DicomJson, level: Level) -> DicomJson:
    return {tag: element for tag, element in dataset.items() if tag in at.MODULES[level]}
