"""Figures for a monitor. No label holds an id: not of a study, a share, a visit, a key or an address.

With several workers, ``PROMETHEUS_MULTIPROC_DIR`` names an empty folder that they share their figures in; it has to be
set before this module is imported.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyhole.access.decision import Event, Record
from keyhole.archive.answer import Archive, ArchiveAnswer

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_WORTH_COUNTING = 1 << 20
"""Bytes of a long answer after which they are counted, though it has not ended."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._registry = CollectorRegistry()
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
        self.images = Counter("keyhole_images", "Images that left", registry=self._registry)
        self.events = Counter("keyhole_trail", "Rows of the trail, by event", ("event",), registry=self._registry)
        self.archive_seconds = Histogram(
            "keyhole_archive_seconds",
            "Time until an archive began to answer",
            ("archive",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def decided(self, outcome: str) -> None:
        """Count a request for images: ``allowed``, or the reason why not."""
        self.decisions.labels(str(outcome)).inc()

    def recorded(self, records: Iterable[Record]) -> None:
        """Count what has been written on the trail."""
        for record in records:
            self.events.labels(record.event.value).inc(record.times if record.event is Event.REFUSAL else 1)
            self.images.inc(record.images)

    def exposition(self) -> bytes:
        """All figures, of all workers, in Prometheus' text format."""
        if _SHARED not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


class Counted:
    """ASGI. Counts what passes through one listener."""

    def __init__(self, app: ASGIApp, listener: str, metrics: Metrics) -> None:
        """Stand before *app*."""
        self._app = app
        self._answered = lru_cache(maxsize=64)(lambda status: metrics.requests.labels(listener, str(status)))
        self._open = metrics.open.labels(listener)
        self._bytes = metrics.sent_bytes.labels(listener)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        sent = 0

        async def counting(message: Message) -> None:
            nonlocal sent
            await send(message)
            if message["type"] == "http.response.start":
                self._answered(message["status"]).inc()
            else:
                sent += len(message.get("body", b""))
                if sent >= _WORTH_COUNTING:
                    self._bytes.inc(sent)
                    sent = 0

        self._open.inc()
        try:
            await self._app(scope, receive, counting)
        finally:
            self._open.dec()
            self._bytes.inc(sent)


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
        return self._timed(self._archive.get(path, query, accept))

    @asynccontextmanager
    async def _timed(self, asking: AbstractAsyncContextManager[ArchiveAnswer]) -> AsyncIterator[ArchiveAnswer]:
        begun = time.monotonic()
        answered = False
        try:
            async with asking as answer:
                answered = True
                self._seconds.observe(time.monotonic() - begun)
                yield answer
        finally:
            if not answered:
                self._seconds.observe(time.monotonic() - begun)
