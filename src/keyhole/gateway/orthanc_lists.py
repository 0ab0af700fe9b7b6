"""Orthanc's lists, cut to what is in scope: what is listed is what can be opened by the same name.

Whoever holds everything gets Orthanc's own answer. For everybody else Orthanc is searched for the studies in scope, and
each item of the answer is judged by its UIDs, its parents' by lineage, whatever the search was understood to mean.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Final, Protocol

from keyhole.access.decision import Reason
from keyhole.access.resource import Level, Resource, is_uid
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.orthanc import OrthancName
from keyhole.dicom.orthanc_call import OrthancQuery, above
from keyhole.dicom.orthanc_find import LEVELS, Find
from keyhole.errors import ArchiveFailed
from keyhole.gateway.dicomjson import Item, items
from keyhole.gateway.fetch import Unanswerable
from keyhole.gateway.question import Lineages
from keyhole.gateway.reach import Reach

JSON: Final = "application/json"
MOST_RESULTS: Final = 20_000
STUDIES_AT_ONCE: Final = 100
"""Studies that one request asks for."""

LONGEST_ITEM = 4 << 20
_LONGEST_ANSWER = 64 << 20
_UNJUDGED = ("OrderBy", "ResponseContent")
"""What makes an order of things out of scope, or leaves out what an item is judged by."""

_PLAIN = frozenset({"ID", "Type", "Path", "MainDicomTags", "PatientMainDicomTags", "RequestedTags", "FileSize"}) | {
    *("Series", "Instances", "ParentPatient", "ParentStudy", "ParentSeries"),
    *("IsStable", "LastUpdate", "IndexInSeries", "ExpectedNumberOfInstances", "Status"),
}
"""The fields of a resource that say what it is, and where in the tree."""

_IDENTIFIER = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")
_OWN = {
    Level.STUDY: ("StudyInstanceUID", "0020,000d"),
    Level.SERIES: ("SeriesInstanceUID", "0020,000e"),
    Level.INSTANCE: ("SOPInstanceUID", "0008,0018"),
}
_PARENT = {Level.SERIES: (Level.STUDY, "ParentStudy"), Level.INSTANCE: (Level.SERIES, "ParentSeries")}


class Rest(Protocol):
    """Orthanc's REST API. Anything but an answer raises :class:`keyhole.errors.ArchiveFailed`."""

    def send(
        self,
        method: str,
        path: str,
        query: str,
        accept: str,
        *,
        content_type: str | None = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask for *path* below the root, rebuilt, never received; leaving the context ends the request."""


class Lists:
    """The lists of one request. ``foreign`` counts what Orthanc answered besides what it was asked for."""

    def __init__(self, rest: Rest, lineage: Lineages, archive: str, reach: Reach) -> None:
        """Ask *rest*, and keep what is in *reach*."""
        self._rest = rest
        self._lineage = lineage
        self._archive = archive
        self._reach = reach
        self._received = 0
        self.foreign = 0

    async def found(self, find: Find) -> list[Item]:
        """What *find* finds in reach, of the page that it asks for. Raises Unanswerable."""
        telling = above(find.level)
        if telling & find.matches.keys() or any(name in find.more for name in _UNJUDGED):
            raise Unanswerable(Reason.BAD_QUERY)
        if self._reach.unnamed:
            raise Unanswerable(Reason.SEARCH_TOO_BROAD)
        # Nobody who does not hold the archive holds a patient: which studies one has is not in their names.
        asked = [study for study in self._reach.studies if find.studies is None or study in find.studies]
        kept: dict[str, Item] = {}
        for at in range(0, 0 if find.level is Level.PATIENT else len(asked), STUDIES_AT_ONCE):
            studies = asked[at : at + STUDIES_AT_ONCE]
            for item in await self._post("/tools/find", _narrowed(find, studies, telling)):
                place = await self._place(item, find.level)
                self.foreign += place is None or place.study not in studies
                self._keep(kept, item, place if place and place.study in studies else None)
        since, limit = find.more.get("Since", 0), find.more.get("Limit", 0)
        return list(kept.values())[since : since + limit if limit else None]

    async def below(self, path: str, query: OrthancQuery, level: Level) -> list[Item]:
        """The items of *level* in reach that Orthanc lists at *path*."""
        expanded = OrthancQuery({**query.values, "expand": "true"})
        kept: dict[str, Item] = {}
        for item in await self._items("GET", path, expanded.encode(), None):
            self._keep(kept, item, await self._place(item, level))
        return list(kept.values())

    async def looked_up(self, identifier: str) -> list[Item]:
        """What in reach has *identifier* among its DICOM identifiers."""
        kept: dict[str, Item] = {}
        for item in await self._post("/tools/lookup", identifier.encode("ascii"), "text/plain"):
            level, name = LEVELS.get(str(item.get("Type"))), str(item.get("ID"))
            if level is not None and _IDENTIFIER.fullmatch(name):
                self._keep(kept, item, await self._lineage.resource(OrthancName(level, name)))
        return list(kept.values())

    def _keep(self, kept: dict[str, Item], item: Item, place: Resource | None) -> None:
        name = str(item.get("ID"))
        if place is None or place.level < Level.STUDY or not self._reach.covers(*place.path):
            return
        if _IDENTIFIER.fullmatch(name):
            kept.setdefault(name, plain(item))
        if len(kept) > MOST_RESULTS:
            raise Unanswerable(Reason.SEARCH_TOO_BROAD)

    async def _place(self, item: Item, level: Level) -> Resource | None:
        """The node of the tree that *item* says it is; None for what cannot be said."""
        uid = _uid(item, level)
        above_it = _PARENT.get(level)
        if uid is None or above_it is None:
            return None if uid is None else Resource.of(self._archive, uid)
        parent = str(item.get(above_it[1]))
        if _IDENTIFIER.fullmatch(parent) is None:
            return None
        place = await self._lineage.resource(OrthancName(above_it[0], parent))
        return None if place is None else Resource.of(self._archive, *place.path, uid)

    async def _post(self, path: str, body: bytes, content_type: str = JSON) -> list[Item]:
        return await self._items("POST", path, "", body, content_type)

    async def _items(
        self, method: str, path: str, query: str, body: bytes | None, content_type: str | None = None
    ) -> list[Item]:
        sent = None if body is None else _once(body)
        async with self._rest.send(method, path, query, JSON, content_type=content_type, body=sent) as answer:
            judge(answer.status)
            found: list[Item] = []
            counted = ArchiveAnswer(answer.status, answer.content_type, self._counted(answer.body))
            async for item in items(counted, LONGEST_ITEM):
                found.append(item)
                if len(found) > MOST_RESULTS:
                    raise Unanswerable(Reason.SEARCH_TOO_BROAD)
            return found

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            self._received += len(piece)
            if self._received > _LONGEST_ANSWER:
                raise Unanswerable(Reason.SEARCH_TOO_BROAD)
            yield piece


def plain(item: Item) -> Item:
    """*item* as it is shown to whoever does not have the archive: nothing that Orthanc keeps beside the images.

    Labels, the names of what something was anonymised or modified from, and files on its disk are not theirs to know.
    """
    return {name: value for name, value in item.items() if name in _PLAIN}


def judge(status: int) -> None:
    """What Orthanc's status means to whoever was allowed to ask."""
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise Unanswerable(Reason.NOT_THERE)
    if status == HTTPStatus.BAD_REQUEST:
        raise Unanswerable(Reason.BAD_QUERY)
    if status == HTTPStatus.NOT_ACCEPTABLE:
        raise Unanswerable(Reason.NOT_ACCEPTABLE)
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        raise Unanswerable(Reason.UNSUPPORTED_MEDIA)
    if status != HTTPStatus.OK:
        raise ArchiveFailed("Orthanc answered with a status that it should not")


def _narrowed(find: Find, studies: Sequence[str], telling: frozenset[str]) -> bytes:
    requested = find.more.get("RequestedTags")
    silent = requested and [tag for tag in requested if tag.replace(",", "").upper() not in telling]
    return find.encode(studies, Expand=True, Since=None, Limit=None, RequestedTags=silent)


def _uid(item: Item, level: Level) -> str | None:
    """The item's own UID, in whichever of Orthanc's three formats its tags are."""
    tags = item.get("MainDicomTags")
    if level not in _OWN or not isinstance(tags, dict):
        return None
    values = [tags[name] for name in _OWN[level] if name in tags]
    value = values[0] if len(values) == 1 else None
    value = value.get("Value") if isinstance(value, dict) else value
    return value if isinstance(value, str) and is_uid(value) else None


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
