"""What a request asks of an archive: the one understanding that the gateway and whoever asks about it share.

Nothing here answers: :func:`keyhole.access.pdp.decide` does, on the asks of the question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Allow, Ask, Deny, Reason
from keyhole.access.pdp import decide
from keyhole.access.resource import Level, Resource
from keyhole.access.subject import Kind
from keyhole.dicom import dicomweb, orthanc, orthanc_call, wado_uri
from keyhole.dicom.orthanc import OrthancName
from keyhole.dicom.orthanc_call import Body, OrthancQuery
from keyhole.dicom.query import SEARCHES, RetrieveQuery, SearchQuery, parse_retrieve, parse_search
from keyhole.dicom.route import Match, Refusal
from keyhole.gateway.identify import Holder
from keyhole.gateway.incoming import Api, Incoming

READING = ("GET", "HEAD")
LOOKING = (*READING, "OPTIONS")
"""Every method there is for a visit."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, understood: ``ask``, and what must be allowed ``besides``."""

    found: Match
    query: SearchQuery | RetrieveQuery | OrthancQuery
    ask: Ask
    besides: tuple[Ask, ...] = ()

    def decided(self, holder: Holder, now: datetime) -> Allow | Deny:
        """The decision on what is asked, once everything is allowed that is needed besides."""
        for ask in self.besides:
            match decide(ask, holder.subject, holder.grants, now):
                case Deny() as refusal:
                    return refusal
        return decide(self.ask, holder.subject, holder.grants, now)


@dataclass(frozen=True, slots=True)
class Unasked:
    """Why a request asks nothing that could be decided, and what of it was understood.

    ``allow`` are the methods there are at the path, ``detail`` is in plain words for whoever may know.
    """

    reason: Reason
    ask: Ask | None = None
    allow: tuple[str, ...] = ()
    detail: str = ""


class Lineages(Protocol):
    """Says what Orthanc's names stand for."""

    async def resource(self, name: OrthancName) -> Resource | None:
        """The resource called *name*; None when there is none. Raises ArchiveFailed when that cannot be said."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """One per process: the whole of what can be asked, whichever table it is in.

    ``lineages`` are those of the archives that are Orthanc, with their REST API; the others have no ``/orthanc``.
    """

    default_archive: str
    lineages: Mapping[str, Lineages]

    async def __call__(self, request: Incoming, holder: Holder) -> Question | Unasked:
        """What *request* asks, sent by *holder*. Raises ArchiveFailed when Orthanc does not say what is named."""
        if request.root is None or request.api is Api.DICOMWEB:
            return understand(request, holder, self.default_archive)
        archive = _place(request, holder, self.default_archive)
        if isinstance(archive, Unasked):
            return archive
        if holder.pictures_only:
            # Its pictures are the stored values as often as not, and its lists tell of the patient.
            return Unasked(Reason.CEILING, detail="a visit of pictures only is answered in DICOMweb alone")
        lineage = self.lineages.get(archive)
        if lineage is None:
            return Unasked(Reason.UNKNOWN_ROUTE, detail="this archive is not reached as Orthanc")
        found = orthanc_call.match(request.method, request.below)
        if isinstance(found, Refusal):
            return Unasked(found.reason, allow=found.allow, detail=found.detail)
        return await _of_orthanc(request, holder, archive, found, lineage)

    def offered(self, request: Incoming, holder: Holder) -> tuple[str, ...] | Unasked:
        """The methods at a path that there is (PS3.18 section 8.9); the archive is not asked."""
        if request.root is None:
            return Unasked(Reason.UNKNOWN_ROUTE)
        archive = _place(request, holder, self.default_archive)
        if isinstance(archive, Unasked):
            return archive
        native = request.api is Api.ORTHANC
        if native and archive not in self.lineages:
            return Unasked(Reason.UNKNOWN_ROUTE)
        if request.below in (b"", b"/") or (not native and request.below == wado_uri.PATH):
            return LOOKING
        found = (orthanc_call if native else dicomweb).match("OPTIONS", request.below)
        if isinstance(found, Match) or found.reason is not Reason.METHOD_NOT_ALLOWED:
            return Unasked(Reason.UNKNOWN_ROUTE if isinstance(found, Match) else found.reason)
        return found.allow if holder.visit is None else LOOKING


def understand(request: Incoming, holder: Holder, default_archive: str) -> Question | Unasked:
    """What *request* asks in DICOMweb, sent by *holder*; who sends decides what some paths mean."""
    archive = _place(request, holder, default_archive)
    if isinstance(archive, Unasked):
        return archive
    if request.root is None or request.api is not Api.DICOMWEB:
        return Unasked(Reason.UNKNOWN_ROUTE, detail="images are below /dicom-web/ only")
    if request.below == wado_uri.PATH and request.method in READING:
        return _wado_uri(request, archive)
    return _of_dicomweb(request, archive)


def _of_dicomweb(request: Incoming, archive: str) -> Question | Unasked:
    found = dicomweb.match(request.method, request.below)
    if isinstance(found, Refusal):
        return Unasked(found.reason, allow=found.allow, detail=found.detail)
    ask = dicomweb.ask(found, archive)
    if request.method in READING and request.has_body:
        return Unasked(Reason.BAD_QUERY, ask, detail="a request that reads has no body")
    query = _query(found, request.raw_query)
    if isinstance(query, Refusal):
        return Unasked(query.reason, ask, detail=query.detail)
    return Question(found, query, ask)


def _place(request: Incoming, holder: Holder, default_archive: str) -> str | Unasked:
    """The archive that is meant. One that *holder* was granted nothing in is one that is not there."""
    if holder.subject.kind is Kind.VISIT and request.method not in LOOKING:
        return Unasked(Reason.METHOD_NOT_ALLOWED, allow=LOOKING, detail="a visit can only read")
    if request.archive is None:
        return holder.archive or default_archive
    if all(grant.target.archive != request.archive for grant in holder.grants):
        return Unasked(Reason.NO_GRANT, detail="nothing was granted in an archive of this name")
    return request.archive


def _query(found: Match, raw_query: bytes) -> SearchQuery | RetrieveQuery | Refusal:
    level = SEARCHES.get(found.route.kind)
    return parse_retrieve(raw_query, found.route.kind) if level is None else parse_search(raw_query, level)


def _wado_uri(request: Incoming, archive: str) -> Question | Unasked:
    understood = wado_uri.parse_wado_uri(request.raw_query)
    if isinstance(understood, Refusal):
        return Unasked(understood.reason, detail=understood.detail)
    found, query = understood
    ask = dicomweb.ask(found, archive)
    if request.has_body:
        return Unasked(Reason.BAD_QUERY, ask, detail="a request that reads has no body")
    return Question(found, query, ask)


async def _of_orthanc(
    request: Incoming, holder: Holder, archive: str, found: Match, lineage: Lineages
) -> Question | Unasked:
    route, name = found.route, orthanc.named(found)
    besides = tuple(Ask(action, Resource.whole(archive)) for action in orthanc_call.besides(route))
    needed = {route.action, *(each.action for each in besides)}
    if not needed <= holder.subject.ceiling:
        # Before anything is looked up, so that this is the same for what is there and what is not.
        return Unasked(Reason.CEILING, Ask(route.action, Resource.whole(archive)))
    query = orthanc_call.parse_query(request.raw_query, route)
    if isinstance(query, Refusal):
        return Unasked(query.reason, detail=query.detail)
    if request.has_body and orthanc_call.call_of(route).body is Body.NOTHING:
        return Unasked(Reason.BAD_QUERY, detail="this request has no body")
    resource = None
    if name is not None:
        resource = await lineage.resource(name) if _may_hold(holder, archive, name.level) else None
        if resource is None:
            return Unasked(Reason.NOT_THERE, Ask(route.action, Resource.whole(archive)), detail="nothing has this name")
    return Question(found, query, orthanc.ask(found, archive, resource), besides)


def _may_hold(holder: Holder, archive: str, level: Level) -> bool:
    """Whether something of *level* can be within what *holder* was granted.

    A patient's name is derived from the PatientID alone, which can be guessed: to whoever holds no patient, nothing is
    to tell which there are, and not the time that it takes to look either.
    """
    targets = [grant.target for grant in holder.grants if grant.target.archive == archive]
    return level > Level.PATIENT or any(isinstance(each, Resource) and each.level <= level for each in targets)
