"""What a search answers of each match: the defaults of its level and what was asked for besides (PS3.18 10.6.3.3)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keyhole.archive import attributes as at
from keyhole.archive.attributes import Level, Tag
from keyhole.archive.index import Index, decode
from keyhole.archive.metadata import DicomJson, Element
from keyhole.archive.query import Query

_COLUMNS = {
    Level.STUDY: "t.id, t.uid, NULL, NULL, NULL, t.dataset, NULL, NULL FROM studies t",
    Level.SERIES: (
        "t.id, t.study, t.uid, NULL, NULL, s.dataset, t.dataset, NULL FROM series t JOIN studies s ON s.uid = t.study"
    ),
    Level.INSTANCE: (
        "t.id, t.study, t.series, t.uid, t.transfer_syntax, s.dataset, e.dataset, d.dataset FROM instances t "
        "JOIN datasets d ON d.id = t.id JOIN series e ON e.study = t.study AND e.uid = t.series "
        "JOIN studies s ON s.uid = t.study"
    ),
}
_SEGMENTS = ("studies", "series", "instances")
_ONLINE: Element = {"vr": "CS", "Value": ["ONLINE"]}


@dataclass(frozen=True, slots=True)
class Results:
    """Turns ids into datasets. Attributes of levels from ``top`` to ``level`` come unasked, those above on request."""

    index: Index
    root: str
    level: Level
    top: Level
    query: Query

    def of(self, ids: Sequence[int]) -> Iterator[DicomJson]:
        """The results of at most 200 *ids*, in their order; those that have gone are left out."""
        marks = ", ".join("?" * len(ids))
        statement = f"SELECT {_COLUMNS[self.level]} WHERE t.id IN ({marks})"
        rows = {row[0]: row for row in self.index.rows(statement, ids)}
        return (self._result(rows[one]) for one in ids if one in rows)

    def _result(self, row: tuple[Any, ...]) -> DicomJson:
        uids, syntax, (study, series, instance) = row[1 : 1 + self.level], row[4], row[5:8]
        known: DicomJson = decode(study)
        if series is not None:
            known |= decode(series)
        if instance is not None:
            # The levels above have their attributes from their first file, whatever this one says.
            own = decode(zlib.decompress(instance))
            known |= {tag: element for tag, element in own.items() if at.level_of(tag) is Level.INSTANCE}
        known |= self._computed(uids, syntax)
        return {tag: known.get(tag) or {"vr": at.vr_of(tag)} for tag in self._tags(known)}

    def _computed(self, uids: Sequence[str], syntax: str | None) -> DicomJson:
        place = "/".join(f"{segment}/{uid}" for segment, uid in zip(_SEGMENTS, uids, strict=False))
        computed: DicomJson = {at.RETRIEVE_URL: {"vr": "UR", "Value": [f"{self.root}/{place}"]}}
        if self.level is not Level.SERIES:
            computed[at.AVAILABILITY] = _ONLINE
        if syntax is not None:
            computed[at.AVAILABLE_SYNTAX] = {"vr": "UI", "Value": [syntax]}
        return computed

    def _tags(self, known: DicomJson) -> list[Tag]:
        levels = range(self.top, self.level + 1)
        tags = {at.UID_OF[Level(level)] for level in range(1, self.level + 1)}
        for level in levels:
            tags |= {tag for tag in at.DEFAULTS[Level(level)] if tag in known or tag not in at.ONLY_WHEN_KNOWN}
        tags |= {tag for tag in self.query.include if tag in known}
        if self.query.include_all:
            tags |= {tag for tag in known if at.level_of(tag) >= self.top or tag in at.COMPUTED}
        return sorted(tags)
