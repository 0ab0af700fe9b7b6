"""The information point: which study a named thing belongs to.

In DICOMweb the names in the path are the lineage. Orthanc's own names tell nothing, so Orthanc is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec

from keyhole.access.resource import Level, Resource
from keyhole.archive.answer import Archive, ArchiveAnswer
from keyhole.dicom.orthanc import OrthancName
from keyhole.errors import ArchiveFailed

LIFE: Final = 10.0
"""Seconds for which an answer is believed. Orthanc derives its names from the UIDs: they can go, and never change."""

MOST: Final = 20_000

_ANSWER_LONGEST = 1 << 20
_KINDS: Mapping[Level, tuple[str, str]] = MappingProxyType(
    {
        Level.PATIENT: ("patients", "Patient"),
        Level.STUDY: ("studies", "Study"),
        Level.SERIES: ("series", "Series"),
        Level.INSTANCE: ("instances", "Instance"),
    }
)
"""How each level is spelt in paths and in answers."""


class _Tags(msgspec.Struct):
    """The main DICOM tags that name a resource; each level has its own."""

    patient: str = msgspec.field(default="", name="PatientID")
    issuer: str = msgspec.field(default="", name="IssuerOfPatientID")
    study: str = msgspec.field(default="", name="StudyInstanceUID")
    series: str = msgspec.field(default="", name="SeriesInstanceUID")
    instance: str = msgspec.field(default="", name="SOPInstanceUID")


class _Node(msgspec.Struct):
    """What Orthanc says about one of its resources."""

    id: str = msgspec.field(name="ID")
    type: str = msgspec.field(name="Type")
    tags: _Tags = msgspec.field(name="MainDicomTags")
    study: str = msgspec.field(default="", name="ParentStudy")
    series: str = msgspec.field(default="", name="ParentSeries")


@dataclass(frozen=True, slots=True)
class _Known:
    resource: Resource
    until: float


class OrthancLineage:
    """Resolves Orthanc's names, with a bounded cache of short life; the same question is asked once at a time."""

    def __init__(
        self,
        rest: Archive,
        archive: str,
        *,
        life: float = LIFE,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask *rest*, whose root is that of Orthanc's own REST API, about what is in *archive*."""
        self._rest = rest
        self._archive = archive
        self._life = life
        self._most = most
        self._clock = clock
        self._known: OrderedDict[OrthancName, _Known] = OrderedDict()
        self._asking: dict[OrthancName, asyncio.Task[Resource | None]] = {}

    async def resource(self, name: OrthancName) -> Resource | None:
        """The resource that *name* stands for; None when Orthanc has none of that name at that level.

        Raises ArchiveFailed when Orthanc does not say.
        """
        known = self._known.get(name)
        if known is not None and self._clock() < known.until:
            self._known.move_to_end(name)
            return known.resource
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.ensure_future(self._ask(name))
            asking.add_done_callback(lambda done: self._answered(name, done))
        # Whoever asked first may leave; the others still want to know.
        return await asyncio.shield(asking)

    def _answered(self, name: OrthancName, done: asyncio.Task[Resource | None]) -> None:
        self._asking.pop(name, None)
        self._known.pop(name, None)
        found = None if done.cancelled() or done.exception() is not None else done.result()
        if found is not None:
            self._known[name] = _Known(found, self._clock() + self._life)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    async def _ask(self, name: OrthancName) -> Resource | None:
        node = await self._node(name)
        if node is None:
            return None
        try:
            return await self._placed(name.level, node)
        except ValueError as error:
            raise ArchiveFailed("Orthanc named a resource by what is no name") from error

    async def _placed(self, level: Level, node: _Node) -> Resource | None:
        """The resource that *node* is, below its parents."""
        if level is Level.PATIENT:
            # Without PatientID a patient is nobody, and cannot be granted.
            return Resource.patient(self._archive, node.tags.patient, node.tags.issuer) if node.tags.patient else None
        if level is Level.STUDY:
            return Resource.of(self._archive, node.tags.study)
        above, parent, uid = Level.STUDY, node.study, node.tags.series
        if level is Level.INSTANCE:
            above, parent, uid = Level.SERIES, node.series, node.tags.instance
        place = await self.resource(OrthancName(above, parent))
        return None if place is None else Resource.of(self._archive, *place.path, uid)

    async def _node(self, name: OrthancName) -> _Node | None:
        path, kind = _KINDS[name.level]
        async with self._rest.get(f"/{path}/{name.id}", "", "application/json") as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            if answer.status != HTTPStatus.OK:
                raise ArchiveFailed("Orthanc refused to say what a name stands for")
            node = await _read(answer)
        if (node.id, node.type) != (name.id, kind):
            raise ArchiveFailed("Orthanc answered about another resource than asked")
        return node


async def _read(answer: ArchiveAnswer) -> _Node:
    received = bytearray()
    async for piece in answer.body:
        received += piece
        if len(received) > _ANSWER_LONGEST:
            raise ArchiveFailed("Orthanc's answer is too long")
    try:
        return msgspec.json.decode(bytes(received), type=_Node)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveFailed("Orthanc's answer cannot be read") from error
