"""What a request asks of an archive: the one understanding that the gateway and whoever asks about it share.

Nothing here answers: :func:`keyhole.access.pdp.decide` does, on the ask of the question.
"""

from __future__ import annotations

from dataclasses import dataclass

from keyhole.access.decision import Ask, Reason
from keyhole.access.subject import Kind
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SEARCHES, RetrieveQuery, SearchQuery, parse_retrieve, parse_search
from keyhole.dicom.route import Match, Refusal
from keyhole.gateway.identify import Holder
from keyhole.gateway.incoming import Incoming

READING = ("GET", "HEAD")
LOOKING = (*READING, "OPTIONS")
"""Every method there is for a visit."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, understood."""

    found: Match
    query: SearchQuery | RetrieveQuery
    ask: Ask


@dataclass(frozen=True, slots=True)
class Unasked:
    """Why a request asks nothing that could be decided, and what of it was understood.

    ``allow`` are the methods there are at the path, ``detail`` is in plain words for whoever may know.
    """

    reason: Reason
    ask: Ask | None = None
    allow: tuple[str, ...] = ()
    detail: str = ""


def understand(request: Incoming, holder: Holder, default_archive: str) -> Question | Unasked:
    """What *request* asks, sent by *holder*; who sends decides what some paths mean."""
    if holder.subject.kind is Kind.VISIT and request.method not in READING:
        return Unasked(Reason.METHOD_NOT_ALLOWED, allow=LOOKING, detail="a visit can only read")
    if request.root is None:
        return Unasked(Reason.UNKNOWN_ROUTE, detail="images are below /dicom-web/ only")
    found = dicomweb.match(request.method, request.below)
    if isinstance(found, Refusal):
        return Unasked(found.reason, allow=found.allow, detail=found.detail)
    ask = dicomweb.ask(found, holder.archive or default_archive)
    if request.method in READING and request.has_body:
        return Unasked(Reason.BAD_QUERY, ask, detail="a request that reads has no body")
    query = _query(found, request.raw_query)
    if isinstance(query, Refusal):
        return Unasked(query.reason, ask, detail=query.detail)
    return Question(found, query, ask)


def _query(found: Match, raw_query: bytes) -> SearchQuery | RetrieveQuery | Refusal:
    level = SEARCHES.get(found.route.kind)
    return parse_retrieve(raw_query, found.route.kind) if level is None else parse_search(raw_query, level)
