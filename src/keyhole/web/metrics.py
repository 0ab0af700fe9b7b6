"""Figures for a monitor. No label holds an id: not of a study, a share, a visit, a key or an address.

With several workers, ``PROMETHEUS_MULTIPROC_DIR`` names an empty folder that they share their figures in; it has to be
set before this module is imported.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from types import TracebackType

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyhole.access.decision import Event, Record
from keyhole.archive.answer import Archive, ArchiveAnswer

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
LATE = 0.2
"""Seconds after which what was counted is among the figures, at the latest."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._registry = CollectorRegistry()
        self.counting: list[Callable[[], None]] = []
        """What has figures that are not among these yet, and adds them when called."""
        self.requests = Counter(
            "keyhole_requests", "Requests answered", ("listener", "status"), registry=self._registry
        )
        self.open = Gauge(
            "keyhole_requests_open",
            "Requests and streams under way",
            ("listener",),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.sent_bytes = Counter("keyhole_sent_bytes", "Bytes of bodies sent", ("listener",), registry=self._registry)
        self.decisions = Counter(
            "keyhole_decisions",
            "Requests for images, by outcome: allowed, or why not",
            ("outcome",),
            registry=self._registry,
        )
        self._outcomes = lru_cache(maxsize=64)(self.decisions.labels)
        self.images = Counter("keyhole_images", "Images that left", registry=self._registry)
        self.events = Counter("keyhole_trail", "Rows of the trail, by event", ("event",), registry=self._registry)
        self.paper = Counter(
            "keyhole_paper_codes",
            "Codes for paper that were typed: known, unknown, slowed while somebody searches, or refused",
            ("outcome",),
            registry=self._registry,
        )
        self.answers = Counter(
            "keyhole_answers",
            "Answers to what links ask: right, wrong, slowed while everybody answers too often, or refused",
            ("outcome",),
            registry=self._registry,
        )
        self.archive_seconds = Histogram(
            "keyhole_archive_seconds",
            "Time until an archive began to answer",
            ("archive",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def decided(self, outcome: str) -> None:
        """Count a request for images: ``allowed``, or the reason why not."""
        self._outcomes(str(outcome)).inc()

    def typed(self, outcome: str) -> None:
        """Count a code for paper that somebody typed."""
        self.paper.labels(outcome).inc()

    def answered(self, outcome: str) -> None:
        """Count an answer to what a link asks."""
        self.answers.labels(outcome).inc()

    def recorded(self, records: Iterable[Record]) -> None:
        """Count what has been written on the trail."""
        for record in records:
            self.events.labels(record.event.value).inc(record.times if record.event is Event.REFUSAL else 1)
            self.images.inc(record.images)

    def exposition(self) -> bytes:
        """All figures, of all workers, in Prometheus' text format. Those of others may be :data:`LATE` seconds old."""
        for tell in self.counting:
            tell()
        if _SHARED not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


class Counted:
    """ASGI. Counts what passes through one listener.

    It counts in numbers of its own, and adds them to the figures now and then: these are locked each time.
    """

    def __init__(self, app: ASGIApp, listener: str, metrics: Metrics) -> None:
        """Stand before *app*."""
        self._app = app
        self._answers = lru_cache(maxsize=64)(lambda status: metrics.requests.labels(listener, str(status)))
        self._figure = metrics.open.labels(listener)
        self._sum = metrics.sent_bytes.labels(listener)
        self._answered: dict[int, int] = {}
        self._open = self._sent = 0
        self._due = False
        metrics.counting.append(self._tell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        def counting(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                status = message["status"]
                self._answered[status] = self._answered.get(status, 0) + 1
            else:
                self._sent += len(message.get("body", b""))
                if not self._due:
                    self._soon()
            return send(message)

        self._open += 1
        if not self._due:
            self._soon()
        try:
            await self._app(scope, receive, counting)
        finally:
            self._open -= 1
            if not self._due:
                self._soon()

    def _soon(self) -> None:
        self._due = True
        asyncio.get_running_loop().call_later(LATE, self._tell)

    def _tell(self) -> None:
        self._due = False
        self._figure.set(self._open)
        self._sum.inc(self._sent)
        self._sent = 0
        for status, times in self._answered.items():
            self._answers(status).inc(times)
        self._answered.clear()


class TimedArchive:
    """An archive whose time to answer is measured."""

    def __init__(self, archive: Archive, metrics: Metrics) -> None:
        """Ask *archive*."""
        self._archive = archive
        self._seconds = metrics.archive_seconds.labels(archive.name)
        self.post = archive.post
        self.close = archive.close

    @property
    def name(self) -> str:
        """The archive's name."""
        return self._archive.name

    @property
    def root(self) -> str:
        """What the archive's own links start with."""
        return self._archive.root

    def get(self, path: str, query: str, accept: str) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask, and note when the answer begins; one that never does counts with the time it was waited for."""
        return _Timed(self._archive.get(path, query, accept), self._seconds)


class _Timed(AbstractAsyncContextManager[ArchiveAnswer]):
    """An asking whose beginning is timed. On the way of every image: a generator would cost twice as much."""

    def __init__(self, asking: AbstractAsyncContextManager[ArchiveAnswer], seconds: Histogram) -> None:
        self._asking = asking
        self._seconds = seconds

    async def __aenter__(self) -> ArchiveAnswer:
        begun = time.monotonic()
        try:
            return await self._asking.__aenter__()
        finally:
            self._seconds.observe(time.monotonic() - begun)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool | None:
        return await self._asking.__aexit__(kind, error, where)
