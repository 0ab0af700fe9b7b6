"""Patients: all studies of one, by exact PatientID and issuer, and the birth date that they agree on.

What an archive matches leniently (wildcards, case) is compared here again, letter by letter. Nothing that is raised
names the patient.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from keyhole.access.decision import Event, Reason, Record, Scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import PatientName, Priors, Share, ShareChange
from keyhole.errors import ArchiveFailed, Refused
from keyhole.gateway import fault
from keyhole.gateway.asking import SearchRefused
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.order import MOST_RESOURCES, AskedPatient
from keyhole.gateway.ports import Shares
from keyhole.gateway.rewrite import text
from keyhole.sharing import condition
from keyhole.sharing.condition import Answers
from keyhole.sharing.link import Ring

Find = Callable[[str, Scope, bytes], Awaitable[list[dict[str, Any]]]]
"""Search one archive's studies (name, scope, raw query)."""

_STUDY, _DATE, _TIME = "0020000D", "00080020", "00080030"
_ID, _ISSUER, _BIRTH_DATE = "00100020", "00100021", "00100030"
_OTHERWISE = "ask for a passcode instead: --passcode generate"


@dataclass(frozen=True, slots=True)
class Patients:
    """What the archives know of patients. Raises Refused in words for the sender, and ArchiveFailed."""

    find: Find

    async def named(self, archive: str, reach: Scope, asked: AskedPatient) -> tuple[PatientName, Sequence[str]]:
        """The patient whom *asked* names, and their studies in *reach*, newest first."""
        found = await self._studies(archive, reach, asked.id)
        issuers = {issuer for _, issuer in found}
        if asked.issuer is None and len(issuers) > 1:
            raise Refused("more than one patient has this id here", "say which one: --issuer ISSUER")
        issuer = next(iter(issuers), "") if asked.issuer is None else asked.issuer
        studies = [study for study, its in found if its == issuer]
        if not studies:
            raise Refused("the archive has no study of this patient", "check PatientID and issuer")
        return PatientName(asked.id, issuer), studies

    async def whose(self, archive: str, reach: Scope, studies: Sequence[str]) -> tuple[PatientName, Sequence[str]]:
        """The one patient whom *studies* are of, and all of their studies in *reach*, newest first."""
        items = await self._of(archive, reach, studies, _ID, _ISSUER)
        names = {(text(item, _ID) or "", text(item, _ISSUER) or "") for item in items}
        if len(names) != 1 or len(items) != len(set(studies)):
            raise Refused("the studies are not of one patient", "share the studies of each patient by themselves")
        patient_id, issuer = names.pop()
        if not patient_id:
            raise Refused("the archive does not say whose study this is", "name all studies that are to be shared")
        return await self.named(archive, reach, AskedPatient(patient_id, issuer))

    async def birth_date(self, archive: str, reach: Scope, studies: Sequence[str], today: date) -> str:
        """The birth date (YYYYMMDD) that all of *studies* have; Refused where there is none to be held to."""
        items = await self._of(archive, reach, studies, _BIRTH_DATE)
        days = {text(item, _STUDY): _birth_date(item, today) for item in items}
        for study in dict.fromkeys(studies):
            if days.get(study) is None:
                why = f"that of study {study} is missing, incomplete or a placeholder"
                raise Refused(f"the birth date cannot be asked for: {why}", _OTHERWISE)
        if len(set(days.values())) != 1:
            raise Refused("the birth date cannot be asked for: the studies do not have the same", _OTHERWISE)
        return next(iter(days.values())) or ""

    async def later(self, share: Share, today: date) -> list[tuple[str, str | None]]:
        """The studies of *share*'s patient that it does not hold, newest first, each with its usable birth date."""
        if share.patient is None:
            return []
        reach = Scope(frozenset({Resource.whole(share.archive)}))
        held = {resource.path[0] for resource in share.resources}
        items = [
            item for item in await self._items(share.archive, reach, share.patient.id) if _named(item, share.patient)
        ]
        return [(uid, _birth_date(item, today)) for item in items if (uid := text(item, _STUDY)) and uid not in held]

    async def _studies(self, archive: str, reach: Scope, patient_id: str) -> list[tuple[str, str]]:
        """Each study of whoever has this id, with the issuer that it names."""
        items = await self._items(archive, reach, patient_id)
        return [(uid, text(item, _ISSUER) or "") for item in items if (uid := text(item, _STUDY))]

    async def _items(self, archive: str, reach: Scope, patient_id: str) -> list[dict[str, Any]]:
        query = f"includefield={_ISSUER},{_BIRTH_DATE}&PatientID={quote(patient_id, safe='')}"
        found = await self.find(archive, reach, query.encode())
        return sorted((item for item in found if text(item, _ID) == patient_id), key=_age, reverse=True)

    async def _of(self, archive: str, reach: Scope, studies: Sequence[str], *tags: str) -> list[dict[str, Any]]:
        wanted = ",".join(dict.fromkeys(studies))
        query = f"includefield={','.join((_STUDY, *tags))}&StudyInstanceUID={wanted}"
        return await self.find(archive, reach, query.encode())


def _named(item: dict[str, Any], patient: PatientName) -> bool:
    return (text(item, _ID), text(item, _ISSUER) or "") == (patient.id, patient.issuer)


def _birth_date(item: dict[str, Any], today: date) -> str | None:
    return condition.usable_birth_date(text(item, _BIRTH_DATE) or "", today)


def _age(item: dict[str, Any]) -> tuple[str, str, str]:
    return text(item, _DATE) or "", text(item, _TIME) or "", text(item, _STUDY) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Shares with the studies that their patients get later: looked for when a link is opened."""

    shares: Shares
    find: Find
    ring: Ring
    ledger: Ledger
    now: Callable[[], datetime]

    async def grown(self, share: Share) -> Share:
        """*share* with what its patient has by now, recorded before; as it is unless it is one that grows.

        Raises StoreFailed. What an archive that fails does not tell stays away, which is on the trail. A study whose
        birth date is not the one that the link asks for is not added: it may be somebody else's.
        """
        if share.priors is not Priors.FUTURE:
            return share
        try:
            found = await Patients(self.find).later(share, self.now().date())
        except (ArchiveFailed, SearchRefused) as error:
            why = error.reason if isinstance(error, SearchRefused) else fault.named(error)
            self.ledger.refuse(self._record(share, Event.FAILURE, reason=why))
            return share
        studies = [study for study, day in found if self._agrees(share, day)]
        room = max(0, MOST_RESOURCES - len(share.resources))
        return await self._with(share, studies[:room], len(found) - len(studies[:room]))

    async def _with(self, share: Share, added: Sequence[str], left_out: int) -> Share:
        more = {"left_out": str(left_out)} if left_out else {}
        if not added:
            if more:
                self.ledger.refuse(self._record(share, Event.FAILURE, more, reason=Reason.SEARCH_TOO_BROAD))
            return share
        new = tuple(Resource.of(share.archive, study) for study in added)
        detail = {"resources": " ".join(map(str, new)), "added": str(len(new)), **more}
        change = ShareChange(resources=share.resources + new)
        record = self._record(share, Event.SHARE_CHANGED, detail)
        return await self.shares.change_share(share.id, change, record) or share

    def _agrees(self, share: Share, day: str | None) -> bool:
        if share.conditions.birth_date is None:
            return True
        return day is not None and condition.birth_date_right(share, Answers(birth_date=day), self.ring)

    def _record(
        self, share: Share, event: Event, detail: dict[str, str] | None = None, reason: Reason | None = None
    ) -> Record:
        record = Record(at=self.now(), event=event, subject="keyhole", archive=share.archive, share=share.id)
        return replace(record, action=Action.SHARE, detail=detail or {}, reason=reason)
