"""The one way through to the images: who asks, what is asked, may they, write it down, then ask the archive.

A plain ASGI application for ``/v/<visit>/dicom-web/…`` (a visit's cookie or bearer), and for ``/dicom-web/…``,
``/orthanc/…`` and the same below ``/archives/<name>`` (bearers of API keys and visits). It judges the raw target;
nothing in front of it may have changed that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, assert_never

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope
from keyhole.access.pdp import scope
from keyhole.access.resource import Action, Level
from keyhole.access.subject import ANONYMOUS
from keyhole.dicom.route import Kind
from keyhole.gateway import fault
from keyhole.gateway.answer import Answer
from keyhole.gateway.fetch import Fetch, Order, Unanswerable
from keyhole.gateway.identify import NOBODY, Holder, Identity
from keyhole.gateway.incoming import Api, Incoming
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.question import READING, Question, Unasked, Understanding
from keyhole.gateway.relay import ALWAYS, Begun, Cut, Receive, Send, SenderLeft, body_of, refuse, stream, watched, whole
from keyhole.gateway.seats import Pace, Seats
from keyhole.gateway.streams import Stream, Streams, TooMany

_COUNTED_EVERY = 1.0
"""Seconds after which what was sent of a long answer is counted, though it has not ended."""


_ELSEWHERE = frozenset({"cross-site", "same-site"})
"""What a browser says of a request that another origin made it send, with the cookie of a visit whose id is known."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A request that ends here: why, and what is known of it by then."""

    reason: Reason
    holder: Holder = NOBODY
    ask: Ask | None = None
    allow: tuple[str, ...] = ()
    failed: bool = False
    """It was allowed, and then something broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One per process. ``decided`` is told the outcome of each request (``allowed`` or a reason), for the figures."""

    understanding: Understanding
    identity: Identity
    ledger: Ledger
    streams: Streams
    fetch: Fetch
    public_url: str
    incoming: Callable[[Mapping[str, Any]], Incoming]
    now: Callable[[], datetime]
    decided: Callable[[str], None]
    seats: Mapping[str, Seats] = field(default_factory=dict)
    """By archive: of those that are asked over a limited number of connections."""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request or refuse it; nothing leaves before the decision is on record."""
        request = self.incoming(scope)
        begun = Begun(send)
        try:
            stop = await self._pass_through(request, receive, begun)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to nobody and yet on record
            stop = Stop(fault.named(error), failed=True)
        if stop is None:
            self.decided("allowed")
            return
        self.decided(stop.reason)
        self.ledger.refuse(self._refusal(request, stop))
        if not begun.yet:
            extra = {"allow": ", ".join(stop.allow)} if stop.allow else None
            below_visit, head = request.visit is not None, request.method == "HEAD"
            await refuse(send, stop.reason, below_visit=below_visit, head=head, extra=extra)

    async def _pass_through(self, request: Incoming, receive: Receive, send: Begun) -> Stop | None:
        """The way of one request (design section 4), and what became of it."""
        holder = await self._holder(request)
        if isinstance(holder, Stop):
            return holder
        if request.method == "OPTIONS":
            return await self._options(request, holder, send)
        question = await self._understood(request, holder)
        if isinstance(question, Stop):
            return question
        match question.decided(holder, self.now()):
            case Deny(reason):
                return Stop(reason, holder, question.ask)
            case Allow(reach):
                return await self._release(request, holder, question, reach, receive, send)
            case never:
                assert_never(never)

    async def _holder(self, request: Incoming) -> Holder | Stop:
        if request.visit is not None and request.field(b"sec-fetch-site") in _ELSEWHERE:
            return Stop(Reason.CROSS_SITE)
        holder = await self.identity.holder(request.headers, request.visit)
        if isinstance(holder, Deny):
            return Stop(holder.reason)
        return Stop(Reason.NO_CREDENTIAL) if holder is NOBODY else holder

    async def _understood(self, request: Incoming, holder: Holder) -> Question | Stop:
        try:
            question = await self._in_turn(request, holder)
        except TooMany:
            return Stop(Reason.TOO_MANY, holder)
        except Exception as error:  # noqa: BLE001 - as in the end, where it is known who asks
            return Stop(fault.named(error), holder, failed=True)
        if isinstance(question, Unasked):
            return Stop(question.reason, holder, question.ask, question.allow)
        return question

    async def _in_turn(self, request: Incoming, holder: Holder) -> Question | Unasked:
        """What is asked. Looking up Orthanc's names asks the archive, in turn like everything that does."""
        if request.api is Api.DICOMWEB:
            return await self.understanding(request, holder)
        question: Question | Unasked = Unasked(Reason.VISIT_ENDED)
        async with self.streams.open(holder.subject.name) as running, self.streams.turn(_source(holder)):
            question = await self.understanding(request, holder)
        return question if running.ended is None else Unasked(running.ended)

    async def _options(self, request: Incoming, holder: Holder, send: Send) -> Stop | None:
        offered = self.understanding.offered(request, holder)
        if isinstance(offered, Unasked):
            return Stop(offered.reason, holder)
        await whole(send, HTTPStatus.NO_CONTENT, None, None, {**ALWAYS, "allow": ", ".join(offered)})
        return None

    async def _release(
        self, request: Incoming, holder: Holder, question: Question, reach: Scope, receive: Receive, send: Begun
    ) -> Stop | None:
        """Record, then release; end when the reader leaves, when the right ends, or when something breaks."""
        access = self._access(request, holder, question.ask)
        reading = request.method in READING
        held = scope(question.ask.action, holder.subject, holder.grants, self.now())
        order = Order(
            archive=question.ask.resource.archive,
            found=question.found,
            query=question.query,
            reach=reach,
            accept=request.field(b"accept"),
            public_root=f"{self.public_url}{request.root}",
            content_type=request.field(b"content-type"),
            body=None if reading else body_of(receive),
            resource=question.ask.resource,
            held=held,
            pictures_only=holder.pictures_only,
        )
        name = holder.subject.name
        try:
            async with self.streams.open(name) as running:
                with watched(receive, running) if reading else nullcontext():
                    turn = self.streams.turn(_source(holder), long=_many_files(question.ask))
                    async with turn, self._seat(order.archive, _source(holder), running) as pace:
                        await self.ledger.release(access)
                        await self._answer(request, order, access, send if pace is None else pace.keeping(send))
        except TooMany:
            return Stop(Reason.TOO_MANY, holder, question.ask)
        except Unanswerable as error:
            return Stop(error.reason, holder, question.ask, allow=error.allow)
        except SenderLeft:
            return None
        except Exception as error:  # noqa: BLE001 - the same as above, where it is known who asked for what
            broken = error.__cause__ if isinstance(error, Cut) else error
            return Stop(fault.named(broken), holder, question.ask, failed=True)
        return None if running.ended is None else Stop(running.ended, holder, question.ask)

    def _seat(self, archive: str, source: str, running: Stream) -> AbstractAsyncContextManager[Pace | None]:
        """A seat at *archive*, or none where there is room for everybody."""
        seats = self.seats.get(archive)
        return nullcontext() if seats is None else seats.taken(source, running)

    async def _answer(self, request: Incoming, order: Order, access: Record, send: Send) -> None:
        async with self.fetch(order) as answer:
            if answer.foreign:
                self.ledger.refuse(
                    replace(access, event=Event.FAILURE, reason=Reason.FOREIGN_ANSWER, times=answer.foreign)
                )
            fields = {**ALWAYS, **answer.fields}
            if request.method == "HEAD":
                if order.found.route.kind is Kind.METADATA:
                    await anext(answer.body, None)  # what is told of something else is told from its first item on
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
            event=_event(request, ask),
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
            # A stranger's word, but the only one there is: whose visit somebody tried.
            visit=visit.id if visit else request.visit,
            personal=request.client.personal(),
        )


def _event(request: Incoming, ask: Ask) -> Event:
    if ask.action is Action.SEARCH:
        return Event.SEARCH
    return Event.EXPORT if ask.action is Action.DOWNLOAD and request.method != "HEAD" else Event.ACCESS


def _many_files(ask: Ask) -> bool:
    """Whether the answer is a whole series or study, which takes minutes rather than moments."""
    return ask.action is Action.DOWNLOAD and ask.resource.level < Level.INSTANCE


def _source(holder: Holder) -> str:
    """Whose flood a flood of *holder*'s is: all visits of one link are one."""
    share = None if holder.visit is None else holder.visit.share
    return holder.subject.name if share is None else f"share:{share}"


class _Tally:
    """What has been sent of one answer, told to the ledger at its end and now and then before."""

    def __init__(self, ledger: Ledger, access: Record, answer: Answer) -> None:
        self._ledger = ledger
        self._access = access
        self._answer = answer
        self._images = 0
        self._told = 0
        self._bytes = 0
        self._at = time.monotonic()

    def add(self, size: int) -> None:
        """*size* bytes have been taken by the reader's side, and with them the images begun so far."""
        self._bytes += size
        self._images = self._answer.images()
        if time.monotonic() - self._at >= _COUNTED_EVERY:
            self.settle()

    def settle(self) -> None:
        """Tell what has been added since the last time."""
        if self._bytes:
            self._ledger.count(self._access, self._images - self._told, self._bytes)
        self._told, self._bytes = self._images, 0
        self._at = time.monotonic()
