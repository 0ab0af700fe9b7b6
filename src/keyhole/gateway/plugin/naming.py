"""What the plugin names when a link is made, found in the archive by all its names.

The plugin has checked that somebody may make links, not that they may see these studies, nor that there are any.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from keyhole.access.decision import Scope
from keyhole.access.resource import Level, Resource, is_uid
from keyhole.dicom.orthanc import OrthancName, name_of
from keyhole.errors import Refused
from keyhole.gateway.order import MOST_RESOURCES
from keyhole.gateway.rewrite import text

_STUDY, _PATIENT_ID, _ISSUER = "0020000D", "00100020", "00100021"
_LEVELS = {"patient": Level.PATIENT, "study": Level.STUDY, "series": Level.SERIES}
_WILD = frozenset("*?\\")


class Wanted(msgspec.Struct, rename="kebab", frozen=True):
    """A resource as the plugin names it: by either of its names, or both. Without ``level`` it is a study."""

    dicom_uid: str | None = None
    orthanc_id: str | None = None
    level: str | None = None


class Lineage(Protocol):
    """Resolves Orthanc's names (:class:`keyhole.gateway.lineage.OrthancLineage`)."""

    async def resource(self, name: OrthancName, /) -> Resource | None:
        """The resource that *name* stands for; None when there is none. Raises ArchiveFailed."""


Find = Callable[[str, Scope, bytes], Awaitable[list[dict[str, Any]]]]
"""Search one archive's studies (name, scope, raw query)."""


@dataclass(frozen=True, slots=True)
class Naming:
    """One per process. ``lineage``: of each archive whose own REST API can be asked.

    Methods raise Refused for what is not there or whose names disagree, and ArchiveFailed.
    """

    find: Find
    lineage: Mapping[str, Lineage]

    async def resolve(self, archive: str, reach: Scope, wanted: Sequence[Wanted]) -> dict[Resource, str]:
        """The studies and series that *wanted* are in *archive*, each once, with Orthanc's names of them."""
        if not wanted:
            raise Refused("a link needs a study")
        _bounded(len(wanted))
        found: dict[Resource, str] = {}
        for each in wanted:
            found |= await self._resolve(archive, reach, each)
            _bounded(len(found))
        return found

    async def _resolve(self, archive: str, reach: Scope, wanted: Wanted) -> dict[Resource, str]:
        level = _LEVELS.get(wanted.level or "study")
        if level is None:
            raise Refused("a link is to studies, series or patients")
        named = await self._named(archive, level, wanted)
        if level is Level.PATIENT:
            return await self._studies_of(archive, reach, wanted, named)
        if named is not None:
            # What a name stands for is remembered for a while; whether that is still there, and once, is asked now.
            await self._study(archive, reach, Wanted(dicom_uid=named.study))
            return {named: wanted.orthanc_id or ""}
        if level is Level.SERIES:
            raise Refused("a series is found by Orthanc's name only, and with KEYHOLE_ARCHIVE_ORTHANC")
        return await self._study(archive, reach, wanted)

    async def _named(self, archive: str, level: Level, wanted: Wanted) -> Resource | None:
        """What Orthanc says that its name stands for; None without a name, or an Orthanc to ask."""
        lineage = self.lineage.get(archive)
        if lineage is None or not wanted.orthanc_id:
            return None
        try:
            resource = await lineage.resource(OrthancName(level, wanted.orthanc_id))
        except ValueError:
            raise Refused("that is no name of Orthanc's") from None
        if resource is None:
            raise Refused("the archive does not have this")
        if wanted.dicom_uid and wanted.dicom_uid != resource.path[0 if level is Level.PATIENT else -1]:
            raise Refused("the two names are not of the same resource")
        return resource

    async def _study(self, archive: str, reach: Scope, wanted: Wanted) -> dict[Resource, str]:
        uid = wanted.dicom_uid or ""
        if not is_uid(uid):
            raise Refused("a study is found by its StudyInstanceUID, or with KEYHOLE_ARCHIVE_ORTHANC")
        items = await self.find(archive, reach, f"includefield={_PATIENT_ID}&StudyInstanceUID={uid}".encode())
        if [text(item, _STUDY) for item in items] != [uid]:
            raise Refused("the archive does not have this study, or more than one of that name")
        name = name_of(text(items[0], _PATIENT_ID) or "", uid)
        _agree(wanted.orthanc_id, name)
        return {Resource.of(archive, uid): name}

    async def _studies_of(
        self, archive: str, reach: Scope, wanted: Wanted, named: Resource | None
    ) -> dict[Resource, str]:
        """The studies that a patient has today: what comes later is not in the link."""
        patient = (wanted.dicom_uid or "") if named is None else named.path[0]
        if not patient or not _WILD.isdisjoint(patient) or not patient.isprintable():
            raise Refused("a patient is found by a plain PatientID")
        _agree(None if named else wanted.orthanc_id, name_of(patient))
        query = f"includefield={_ISSUER}&PatientID={quote(patient, safe='')}"
        items = [item for item in await self.find(archive, reach, query.encode()) if text(item, _PATIENT_ID) == patient]
        if not items or len({text(item, _ISSUER) or "" for item in items}) > 1:
            raise Refused("the archive does not have this patient, or more than one of that name")
        studies = [uid for item in items if (uid := text(item, _STUDY))]
        return {Resource.of(archive, uid): name_of(patient, uid) for uid in studies}


def _agree(said: str | None, name: str) -> None:
    if said and said != name:
        raise Refused("the two names are not of the same resource")


def _bounded(number: int) -> None:
    if number > MOST_RESOURCES:
        raise Refused(f"a link is to {MOST_RESOURCES} studies at most")
