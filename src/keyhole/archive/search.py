"""Search the index as QIDO-RS asks (PS3.18 section 10.6). A client's text becomes tests and bound values, never SQL."""

from __future__ import annotations

import json
from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from keyhole.archive import attributes as at
from keyhole.archive.attributes import Level, Tag, TagPath
from keyhole.archive.index import CHUNK, Index, decode
from keyhole.archive.matching import Test, bounds, matches, uid_list
from keyhole.archive.query import Query
from keyhole.archive.results import Results

Where = list[tuple[str, object]]
"""Conditions of ours with the one value that each binds."""

_NARROWING = {
    Level.STUDY: "uid IN (SELECT value FROM json_each(?))",
    Level.SERIES: "uid IN (SELECT study FROM series WHERE uid IN (SELECT value FROM json_each(?)))",
    Level.INSTANCE: "uid IN (SELECT study FROM instances WHERE uid IN (SELECT value FROM json_each(?)))",
}


@dataclass(frozen=True, slots=True)
class Search:
    """One search: what is listed (``level``), below which node (``uids`` of the path), by which query.

    Attributes of a level that the path names are no keys: the path wins. Attributes of levels below the listed one are
    not supported as keys and are passed over, as PS3.18 section 8.3 wants.
    """

    index: Index
    root: str
    level: Level
    uids: tuple[str, ...]
    query: Query

    @property
    def top(self) -> Level:
        """The highest level whose attributes are keys, and are answered unasked: those above are in the path."""
        return Level(min(len(self.uids) + 1, self.level))

    def run(self) -> tuple[array[int], int]:
        """The ids of the results in order, and how many more there are beyond them."""
        found, beyond = array("q"), 0
        skip, limit = self.query.offset, self.query.limit
        for one in self._matching():
            if skip:
                skip -= 1
            elif len(found) < limit:
                found.append(one)
            else:
                beyond += 1
        return found, beyond

    def body(self, ids: array[int]) -> Generator[bytes, None, None]:
        """The answer as a JSON list, some results at a time. What has gone meanwhile is left out."""
        results = Results(self.index, self.root, self.level, self.top, self.query)
        before = b"["
        for chunk in _chunks(ids):
            texts = [msgspec.json.encode(result) for result in results.of(chunk)]
            if texts:
                yield before + b",".join(texts)
                before = b","
        yield b"[]" if before == b"[" else b"]"

    def _matching(self) -> Iterator[int]:
        """Ids by study date and time, newest first, then by UIDs."""
        for study_id, study in self._studies():
            if self.level is Level.STUDY:
                yield study_id
                continue
            for series_id, series in self._series(study):
                if self.level is Level.SERIES:
                    yield series_id
                else:
                    yield from self._instances(study, series)

    def _tests(self, level: Level) -> list[tuple[TagPath, Test]]:
        return self.query.tests(level) if level >= self.top else []

    def _studies(self) -> Iterator[tuple[int, str]]:
        return self._passing("studies", self._narrowing(), "date DESC, time DESC, uid", self._tests(Level.STUDY))

    def _narrowing(self) -> Where:
        """What SQLite can leave out by its indexes; the tests decide about the rest."""
        if self.uids:
            return [("uid = ?", self.uids[0])]
        where: Where = [
            (_NARROWING[level], json.dumps(sorted(uid_list(value))))
            for level, tag in at.UID_OF.items()
            if level <= self.level and (value := self.query.value(tag)) is not None
        ]
        if (patient := self.query.value(at.PATIENT_ID)) is not None and not set("*?") & set(patient):
            where.append(("patient_id = ?", patient))
        if (date := self.query.value(at.STUDY_DATE)) is not None:
            first, last = bounds("DA", date)
            where += [("date >= ?", first), ("date <= ?", last)]
        return where

    def _series(self, study: str) -> Iterator[tuple[int, str]]:
        where: Where = [("study = ?", study), *self._named(at.SERIES_UID, 1)]
        return self._passing("series", where, "uid", self._tests(Level.SERIES))

    def _named(self, tag: Tag, place: int) -> Where:
        if len(self.uids) > place:
            return [("uid = ?", self.uids[place])]
        value = self.query.value(tag)
        return [] if value is None else [(_NARROWING[Level.STUDY], json.dumps(sorted(uid_list(value))))]

    def _passing(
        self, table: str, where: Where, order: str, tests: list[tuple[TagPath, Test]]
    ) -> Iterator[tuple[int, str]]:
        columns = "id, uid, dataset" if tests else "id, uid"
        conditions, values = _joined(where)
        statement = f"SELECT {columns} FROM {table}{conditions} ORDER BY {order}"  # noqa: S608 - our own names
        for row in self.index.each(statement, values):
            if not tests or _passes(row[2], tests):
                yield row[0], row[1]

    def _instances(self, study: str, series: str) -> Iterator[int]:
        conditions, values = _joined([("study = ?", study), ("series = ?", series), *self._named(at.INSTANCE_UID, 2)])
        ids = self.index.ids(f"SELECT id FROM instances{conditions} ORDER BY uid", values)  # noqa: S608 - our own names
        tests = [(path, test) for path, test in self._tests(Level.INSTANCE) if path != (at.INSTANCE_UID,)]
        if not tests:
            yield from ids
            return
        for chunk in _chunks(ids):
            datasets = self.index.datasets(chunk)
            yield from (one for one in chunk if one in datasets and _passes(datasets[one], tests))


def _joined(where: Where) -> tuple[str, list[object]]:
    conditions = " AND ".join(condition for condition, _ in where)
    return f" WHERE {conditions}" if where else "", [value for _, value in where]


def _passes(dataset: bytes, tests: list[tuple[TagPath, Test]]) -> bool:
    decoded = decode(dataset)
    return all(matches(decoded, path, test) for path, test in tests)


def _chunks(ids: array[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
