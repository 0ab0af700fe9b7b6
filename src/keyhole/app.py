"""Wiring: what stands behind each Protocol, and the clock. Nothing is decided here."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette import types
from starlette.types import ASGIApp, Receive, Send

from keyhole.access.decision import Event, Record, Scope
from keyhole.access.secret import Secret
from keyhole.archive.answer import Archive
from keyhole.archive.folder import FolderArchive
from keyhole.errors import Misconfigured
from keyhole.gateway import capabilities_file, keys_file
from keyhole.gateway.attempts import Attempts
from keyhole.gateway.attendance import Attendance
from keyhole.gateway.client import client_of
from keyhole.gateway.current import Current
from keyhole.gateway.decisions import AT_ONCE, PER_SECOND, Decisions
from keyhole.gateway.desk import Desk
from keyhole.gateway.dicomjson import Item
from keyhole.gateway.fetch import Fetcher
from keyhole.gateway.finding import Finder
from keyhole.gateway.identify import Identity
from keyhole.gateway.incoming import Incoming, incoming
from keyhole.gateway.judge import Judge
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.openings import Openings
from keyhole.gateway.orthanc_rest import Fetchers, OrthancFetcher
from keyhole.gateway.passcode import Passcodes
from keyhole.gateway.passcode_apart import Apart
from keyhole.gateway.patients import Growth
from keyhole.gateway.pep import Gateway
from keyhole.gateway.ports import Trail
from keyhole.gateway.post.queue import PACE, Pace
from keyhole.gateway.question import Understanding
from keyhole.gateway.ring_file import RingFile
from keyhole.gateway.seats import Seats
from keyhole.gateway.streams import Streams
from keyhole.gateway.throttle import Throttle
from keyhole.gateway.withdrawal import enforce
from keyhole.serving.listeners import Apps
from keyhole.settings import Settings
from keyhole.sharing.link import KeyRing
from keyhole.store import heads
from keyhole.store.chain import Signing
from keyhole.store.database import DatabaseStore, open_store
from keyhole.store.migrations import Schema, check_schema, migrate
from keyhole.store.portable import holds
from keyhole.web.api import staff
from keyhole.web.internal import Internal
from keyhole.web.metrics import Counted, Metrics, TimedArchive
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.quiet import Quiet
from keyhole.web.viewer import ViewerFiles
from keyhole.wiring.archives import Archives, at_once, open_archive, open_archives, seats
from keyhole.wiring.asking import asking
from keyhole.wiring.background import in_background
from keyhole.wiring.identity import Directory, directory
from keyhole.wiring.mail import mail_queue, mail_site
from keyhole.wiring.paper import letterhead, paper_openings
from keyhole.wiring.policy import policy
from keyhole.wiring.readiness import Readiness

_SUBJECT = "keyhole"

Progress = Callable[[int, int], None]


def now() -> datetime:
    """The time, for whoever is handed this function."""
    return datetime.now(UTC)


def database_url(settings: Settings) -> str:
    """Where the database is: the one that was set, or SQLite in the data folder."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{settings.data / 'keyhole.db'}"


def prepare(settings: Settings) -> None:
    """Make what a first start needs, once, before any worker: the key ring, and the database's schema.

    Any number of processes may do so at once. Raises Misconfigured when there is a database and no key ring: a new
    one would silently end every link given out, and could not verify the trail.
    """
    url = database_url(settings)
    # Looked at first: whoever makes a database has made its keys before.
    found = check_schema(url)
    if found is not Schema.BEHIND and not keys_file.exists(settings.data):
        raise Misconfigured(
            f"there is a database, but its keys are not in {settings.data}: put the backup of {keys_file.NAME} there, "
            "or copy it from another node"
        )
    keys_file.load(settings.data)
    if found is not Schema.CURRENT:
        migrate(url)
    heads.settle(settings.data, lambda head: holds(url, head))


def signing(ring: KeyRing) -> Signing:
    """The keys of the trail: the current one signs, and those of dropped keys still verify."""
    return Signing(ring.current, ring.trail_keys())


async def index_folders(settings: Settings, progress: Callable[[str], Progress]) -> None:
    """Index the folders among the archives, unless a running process does; *progress* gives each a bar."""
    for name, each in settings.every_archive().items():
        archive = open_archive(name, each, settings)
        if isinstance(archive, FolderArchive):
            try:
                await archive.rescan(progress(name))
            finally:
                await archive.close()


@dataclass(frozen=True, slots=True)
class Base:
    """What the desk and the listeners share."""

    store: DatabaseStore
    ledger: Ledger
    archives: Archives
    desk: Desk
    finder: Finder
    people: Directory
    passcodes: Passcodes


@asynccontextmanager
async def _base(
    settings: Settings, measured: Callable[[Archive], Archive], trail_of: Callable[[DatabaseStore], Trail]
) -> AsyncIterator[Base]:
    ring = RingFile(settings.data, time.monotonic)
    async with AsyncExitStack() as stack:
        store = open_store(database_url(settings), lambda: signing(ring.ring()), settings.data)
        stack.push_async_callback(store.close)
        archives = await stack.enter_async_context(open_archives(settings, measured))
        ledger = Ledger(trail_of(store), now)
        finder = Finder(archives.sources, ledger, now)
        people = directory(settings, now, time.monotonic)
        stack.push_async_callback(people.close)
        apart = Apart()
        stack.callback(apart.close)
        passcodes = Passcodes(apart=apart)
        desk = Desk(
            store=store,
            archives=archives.names,
            ledger=ledger,
            ring=ring,
            public_url=settings.public_url,
            longest_share=settings.longest_share,
            policy=policy(settings),
            find=finder.studies,
            find_series=finder.series,
            mail_site=mail_site(settings),
            hashed=passcodes.hashed,
            known_roles=people.roles,
            now=now,
        )
        yield Base(store, ledger, archives, desk, finder, people, passcodes)


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """The desk for a command: the database brought up to date, and a folder before it is searched."""
    prepare(settings)
    async with _base(settings, lambda archive: archive, lambda store: store) as base:
        looked_over: set[str] = set()

        async def find(archive: str, scope: Scope, raw_query: bytes) -> list[Item]:
            folder = base.archives.folders.get(archive)
            if folder is not None and archive not in looked_over:
                await folder.rescan()  # nothing to do where a server runs: that is its task then
                looked_over.add(archive)
            return await base.finder.studies(archive, scope, raw_query)

        try:
            yield replace(base.desk, find=find)
        finally:
            await base.ledger.flush()


@asynccontextmanager
async def open_judge(settings: Settings) -> AsyncIterator[tuple[Desk, Judge]]:
    """The desk, and who judges as the gateway does, for a command."""
    prepare(settings)
    async with _base(settings, lambda archive: archive, lambda store: store) as base:
        current = Current(base.store, time.monotonic)
        identity = Identity(current, Attendance(base.store), base.archives.names, now)
        yield base.desk, _judge(base, identity, settings)


def _judge(base: Base, identity: Identity, settings: Settings) -> Judge:
    return Judge(identity=identity, understanding=_understanding(base, settings), now=now)


def _understanding(base: Base, settings: Settings) -> Understanding:
    return Understanding(settings.archive_name, base.archives.lineage())


def build(settings: Settings, pace: Pace = PACE) -> Apps:
    """The applications of one process. To be called in its event loop, after :func:`prepare`."""
    process = Process(settings, pace)
    return Apps(process.app("public"), process.app("staff"), process.app("internal"), process.lifespan())


class Process:
    """One serving process: the applications, which answer only within :meth:`lifespan`."""

    def __init__(self, settings: Settings, pace: Pace = PACE) -> None:
        """Nothing is opened yet. *pace* is that of the queue of mail."""
        self._settings = settings
        self._pace = pace
        self._metrics = Metrics()
        self._apps: dict[str, ASGIApp] = {}

    def app(self, name: str) -> ASGIApp:
        """The application of the listener *name*, for whoever has to have it before it is wired."""

        def answer(scope: types.Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return self._apps[name](scope, receive, send)

        return answer

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open everything, run what runs in the background, and write down what is counted before letting go."""
        async with _base(self._settings, self._timed, self._measured) as base:
            current = Current(base.store, time.monotonic)
            attendance = Attendance(base.store)
            identity = Identity(current, attendance, base.archives.names, now)
            streams = Streams(at_once=at_once(self._settings))
            await base.ledger.write(Record(at=now(), event=Event.STARTED, subject=_SUBJECT))
            for folder in base.archives.folders.values():
                await folder.start()
            self._wire(base, current, identity, streams)
            queue = mail_queue(self._settings, base.store, base.desk, self._pace)
            work = (
                current.follow,
                base.ledger.run,
                attendance.run,
                partial(enforce, streams, identity),
                partial(capabilities_file.follow, self._settings.data, base.archives.probed()),
                *(() if queue is None else (queue.run,)),
            )
            try:
                async with in_background(*work):
                    yield
            finally:
                await attendance.write()
                await base.ledger.flush()
                await base.ledger.write(Record(at=now(), event=Event.STOPPED, subject=_SUBJECT))

    def _timed(self, archive: Archive) -> Archive:
        return TimedArchive(archive, self._metrics)

    def _measured(self, store: DatabaseStore) -> Trail:
        return _Measured(store, self._metrics)

    def _wire(self, base: Base, current: Current, identity: Identity, streams: Streams) -> None:
        settings = self._settings
        openings = _openings(settings, base, current, identity, self._metrics)
        gateway = Gateway(
            understanding=_understanding(base, settings),
            identity=identity,
            ledger=base.ledger,
            streams=streams,
            fetch=Fetchers(Fetcher(base.archives.sources), OrthancFetcher(base.archives.orthanc)),
            public_url=settings.public_url.rstrip("/"),
            incoming=_incoming,
            now=now,
            decided=self._metrics.decided,
            seats={name: Seats(seats(settings)) for name in base.archives.servers},
        )
        decisions = Decisions(
            store=base.store,
            archives=base.archives.names,
            ledger=base.ledger,
            judge=_judge(base, identity, settings),
            throttle=Throttle(at_once=AT_ONCE, per_second=PER_SECOND),
            now=now,
        )
        token = None if settings.metrics_token is None else Secret(settings.metrics_token.get_secret_value())
        pages = PublicPages(settings.public_url, settings.frame_ancestors, settings.site())
        asked_by_orthanc = _plugin(settings, base, current)
        apps: dict[str, ASGIApp] = {
            "public": public_app(
                openings,
                paper_openings(openings, self._metrics.typed, now),
                ViewerFiles(settings.viewer, pages.framing),
                gateway,
                pages,
                now,
            ),
            "staff": staff(
                base.desk, decisions, identity, base.ledger.refuse, settings.archive_name, letterhead(settings)
            ),
            "internal": Internal(Readiness(current, base.archives.sources), self._metrics, token, asked_by_orthanc),
        }
        self._apps = {name: Quiet(Counted(app, name, self._metrics), name) for name, app in apps.items()}


def _openings(settings: Settings, base: Base, current: Current, identity: Identity, metrics: Metrics) -> Openings:
    ring, find, ledger = base.desk.ring, base.finder.studies, base.ledger
    return Openings(
        store=base.store,
        current=current,
        ledger=ledger,
        ring=ring,
        find=find,
        find_series=base.finder.series,
        identify=identity.visit,
        attempts=Attempts(
            store=base.store,
            ring=ring,
            now=now,
            noted=metrics.answered,
            asking=asking(settings),
            passcodes=base.passcodes,
        ),
        refresh=Growth(shares=base.store, find=find, ring=ring, ledger=ledger, now=now).grown,
        now=now,
    )


def _plugin(settings: Settings, base: Base, current: Current) -> ASGIApp | None:
    if not settings.every_caller():
        return None
    from keyhole.wiring.plugin import plugin  # noqa: PLC0415 - some MB that serve who has an Orthanc to ask here

    return plugin(settings, base.desk, current, base.archives.lineage(), base.people)


def _incoming(scope: Mapping[str, Any]) -> Incoming:
    return incoming(scope, client_of)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The trail, with its rows counted once they are durable."""

    store: DatabaseStore
    metrics: Metrics

    async def append(self, records: Sequence[Record]) -> None:
        await self.store.append(records)
        self.metrics.recorded(records)
