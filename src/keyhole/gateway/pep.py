"""The one way through to the images: who asks, what is asked, may they, write it down, then ask the archive.

A plain ASGI application for ``/v/<visit>/dicom-web/…`` (a visit's cookie or bearer) and ``/dicom-web/…`` (bearers of
API keys and visits). It judges the raw target; nothing in front of it may have changed that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, assert_never

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope
from keyhole.access.pdp import decide
from keyhole.access.resource import Action
from keyhole.access.subject import ANONYMOUS
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SEARCHES, RetrieveQuery, SearchQuery, parse_retrieve, parse_search
from keyhole.dicom.route import Match, Refusal
from keyhole.errors import ArchiveFailed, ArchiveTimeout, ForeignAnswer, Refused, StoreFailed
from keyhole.gateway.fetch import Answer, Fetch, Order, Unanswerable
from keyhole.gateway.identify import NOBODY, Holder, Identity
from keyhole.gateway.incoming import Incoming
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.relay import ALWAYS, Begun, Cut, Receive, Send, body_of, refuse, stream, watched, whole
from keyhole.gateway.streams import Streams, TooMany

_READING = ("GET", "HEAD")
_COUNTED_EVERY = 1.0
"""Seconds after which what was sent of a long answer is counted, though it has not ended."""

FAILURES: Mapping[type[Exception], Reason] = {
    TooMany: Reason.TOO_MANY,
    ArchiveTimeout: Reason.ARCHIVE_TIMEOUT,
    ForeignAnswer: Reason.FOREIGN_ANSWER,
    ArchiveFailed: Reason.ARCHIVE_FAILED,
    StoreFailed: Reason.STORE_FAILED,
    Refused: Reason.METHOD_NOT_ALLOWED,
}
"""What breakage is called on the trail and to the client, the narrower kinds first."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A request that ends here: why, and what is known of it by then."""

    reason: Reason
    holder: Holder = NOBODY
    ask: Ask | None = None
    allow: tuple[str, ...] = ()
    failed: bool = False
    """It was allowed, and then something broke."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, understood."""

    found: Match
    query: SearchQuery | RetrieveQuery
    ask: Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One per process. ``decided`` is told the outcome of each request (``allowed`` or a reason), for the figures."""

    default_archive: str
    identity: Identity
    ledger: Ledger
    streams: Streams
    fetch: Fetch
    public_url: str
    incoming: Callable[[Mapping[str, Any]], Incoming]
    now: Callable[[], datetime]
    decided: Callable[[str], None]

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request or refuse it; nothing leaves before the decision is on record."""
        request = self.incoming(scope)
        begun = Begun(send)
        stop = await self._pass_through(request, receive, begun)
        if stop is None:
            self.decided("allowed")
            return
        self.decided(stop.reason)
        self.ledger.refuse(self._refusal(request, stop))
        if not begun.yet:
            extra = {"allow": ", ".join(stop.allow)} if stop.allow else None
            await refuse(send, stop.reason, below_visit=request.visit is not None, extra=extra)

    async def _pass_through(self, request: Incoming, receive: Receive, send: Begun) -> Stop | None:
        """The way of one request (design section 4), and what became of it."""
        holder = await self._holder(request)
        if isinstance(holder, Stop):
            return holder
        if request.method == "OPTIONS":
            await whole(send, HTTPStatus.NO_CONTENT, None, b"", {**ALWAYS, "allow": "GET, HEAD, OPTIONS"})
            return None
        question = self._understand(request, holder)
        if isinstance(question, Stop):
            return question
        match decide(question.ask, holder.subject, holder.grants, self.now()):
            case Deny(reason):
                return Stop(reason, holder, question.ask)
            case Allow(reach):
                return await self._release(request, holder, question, reach, receive, send)
            case never:
                assert_never(never)

    async def _holder(self, request: Incoming) -> Holder | Stop:
        try:
            holder = await self.identity.holder(request.headers, request.visit)
        except StoreFailed:
            return Stop(Reason.STORE_FAILED, failed=True)
        if isinstance(holder, Deny):
            return Stop(holder.reason)
        return Stop(Reason.NO_CREDENTIAL) if holder is NOBODY else holder

    def _understand(self, request: Incoming, holder: Holder) -> Question | Stop:
        if holder.visit is not None and request.method not in _READING:
            return Stop(Reason.METHOD_NOT_ALLOWED, holder, allow=(*_READING, "OPTIONS"))
        found = dicomweb.match(request.method, request.below)
        if isinstance(found, Refusal):
            return Stop(found.reason, holder, allow=found.allow)
        archive = self.default_archive if holder.visit is None else holder.visit.archive
        ask = dicomweb.ask(found, archive)
        if request.method in _READING and request.has_body:
            return Stop(Reason.BAD_QUERY, holder, ask)
        level = SEARCHES.get(found.route.kind)
        query = (
            parse_retrieve(request.raw_query, found.route.kind)
            if level is None
            else parse_search(request.raw_query, level)
        )
        return Stop(query.reason, holder, ask) if isinstance(query, Refusal) else Question(found, query, ask)

    async def _release(
        self, request: Incoming, holder: Holder, question: Question, reach: Scope, receive: Receive, send: Begun
    ) -> Stop | None:
        """Record, then release; end when the reader leaves, when the right ends, or when something breaks."""
        access = self._access(request, holder, question.ask)
        order = Order(
            archive=question.ask.resource.archive,
            found=question.found,
            query=question.query,
            reach=reach,
            accept=request.field(b"accept"),
            public_root=f"{self.public_url}{request.root}",
            content_type=request.field(b"content-type"),
        )
        name = holder.subject.name
        try:
            async with self.streams.open(name) as running:
                if request.method in _READING:
                    with watched(receive, running):
                        async with self.streams.turn(name):
                            await self.ledger.release(access)
                            await self._answer(request, order, access, send)
                else:
                    async with self.streams.turn(name):
                        await self.ledger.release(access)
                        order.body = body_of(receive, running)
                        await self._answer(request, order, access, send)
        except Unanswerable as error:
            return Stop(error.reason, holder, question.ask)
        except Cut as cut:
            return Stop(_named(cut.__cause__), holder, question.ask, failed=True)
        except tuple(FAILURES) as error:
            return Stop(_named(error), holder, question.ask, failed=True)
        return None if running.ended is None else Stop(running.ended, holder, question.ask)

    async def _answer(self, request: Incoming, order: Order, access: Record, send: Send) -> None:
        async with self.fetch(order) as answer:
            if answer.foreign:
                self.ledger.refuse(
                    replace(access, event=Event.FAILURE, reason=Reason.FOREIGN_ANSWER, times=answer.foreign)
                )
            fields = {**ALWAYS, **answer.fields}
            if request.method == "HEAD":
                await whole(send, answer.status, answer.content_type, None, fields)
                return
            tally = _Tally(self.ledger, access, answer)
            try:
                await stream(send, answer.status, answer.content_type, fields, answer.body, tally.add)
            finally:
                tally.settle()

    def _access(self, request: Incoming, holder: Holder, ask: Ask) -> Record:
        return Record(
            at=self.now(),
            event=Event.SEARCH if ask.action is Action.SEARCH else Event.ACCESS,
            subject=holder.subject.name,
            archive=ask.resource.archive,
            study=ask.resource.study,
            action=ask.action,
            share=None if holder.visit is None else holder.visit.share,
            visit=None if holder.visit is None else holder.visit.id,
            personal=request.client.personal(),
        )

    def _refusal(self, request: Incoming, stop: Stop) -> Record:
        visit, ask = stop.holder.visit, stop.ask
        return Record(
            at=self.now(),
            event=Event.FAILURE if stop.failed else Event.REFUSAL,
            subject=stop.holder.subject.name if stop.holder is not NOBODY else ANONYMOUS.name,
            archive=None if ask is None else ask.resource.archive,
            study=None if ask is None else ask.resource.study,
            action=None if ask is None else ask.action,
            reason=stop.reason,
            share=None if visit is None else visit.share,
            # What a stranger claims is worth its name only when it stood in the path and was a visit's.
            visit=visit.id if visit else request.visit,
            personal=request.client.personal(),
        )


class _Tally:
    """What has been sent of one answer, told to the ledger at its end and now and then before."""

    def __init__(self, ledger: Ledger, access: Record, answer: Answer) -> None:
        self._ledger = ledger
        self._access = access
        self._answer = answer
        self._images = 0
        self._bytes = 0
        self._at = time.monotonic()

    def add(self, size: int) -> None:
        self._bytes += size
        if time.monotonic() - self._at >= _COUNTED_EVERY:
            self.settle()

    def settle(self) -> None:
        images = self._answer.images() - self._images
        if images or self._bytes:
            self._ledger.count(self._access, images, self._bytes)
        self._images += images
        self._bytes = 0
        self._at = time.monotonic()


def _named(error: BaseException | None) -> Reason:
    return next((reason for kind, reason in FAILURES.items() if isinstance(error, kind)), Reason.ARCHIVE_FAILED)
