"""The rows of the index: those of files and their instances, and those of studies and series that follow from them.

Attributes of studies and series are those of the file with the lowest path. Of files with the same SOPInstanceUID the
one with the lowest path counts, whatever the order they came in.
"""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass, field

import msgspec

from keyhole.archive import attributes as at
from keyhole.archive.attributes import Level
from keyhole.archive.index import decode, transaction
from keyhole.archive.matching import earliest
from keyhole.archive.metadata import DicomJson
from keyhole.archive.scan import Found, Instance, Read, first

BATCH = 100
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
class Batch:
    """Work waiting for one transaction."""

    reads: list[Read] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    heirs: set[bytes] = field(default_factory=set)
    """Files whose instance was another file's until now: they are read again."""

    @property
    def full(self) -> bool:
        """Whether it is time to write it."""
        return len(self.reads) + len(self.removed) >= BATCH


class Entries:
    """Writes rows over one connection; whoever has it takes turns with the others by SQLite's own lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Write over *connection*."""
        self._connection = connection

    def write(self, batch: Batch) -> set[bytes]:
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

    def _forget(self, path: bytes, batch: Batch) -> None:
        row = self._connection.execute("SELECT uid FROM files WHERE path = ?", (path,)).fetchone()
        if row is None:
            return
        self._connection.execute("DELETE FROM files WHERE path = ?", (path,))
        if row[0] is not None and self._drop_instance("path = ?", path, batch):
            heir = "SELECT path FROM files WHERE uid = ? ORDER BY path LIMIT 1"
            batch.heirs |= {found for (found,) in self._connection.execute(heir, (row[0],))}

    def _drop_instance(self, where: str, value: object, batch: Batch) -> bool:
        row = self._connection.execute(f"SELECT id, study FROM instances WHERE {where}", (value,)).fetchone()  # noqa: S608 - one of two constants
        if row is None:
            return False
        self._connection.execute("DELETE FROM instances WHERE id = ?", (row[0],))
        self._connection.execute("DELETE FROM datasets WHERE id = ?", (row[0],))
        batch.studies.add(row[1])
        return True

    def _remember(self, one: Read, batch: Batch) -> None:
        instance, problem = one.instance, one.problem
        if instance is not None:
            problem = self._settle(one, instance, batch)
        row = (one.found.path, one.found.mtime_ns, one.found.size, instance and instance.uid, problem)
        self._connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row)

    def _settle(self, one: Read, instance: Instance, batch: Batch) -> str | None:
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
