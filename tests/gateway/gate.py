"""The whole gateway in one process: a store in memory, a small archive, a clock that is set, and its readers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import Secret, new_id
from keyhole.access.share import ApiKey, Share, ShareKind, Visit
from keyhole.access.subject import Kind, Subject
from keyhole.gateway import withdrawal
from keyhole.gateway.attempts import Asking, Attempts
from keyhole.gateway.attendance import Attendance
from keyhole.gateway.client import Client, client_of
from keyhole.gateway.current import Current
from keyhole.gateway.desk import Desk
from keyhole.gateway.fetch import Fetcher, Source
from keyhole.gateway.finding import Finder
from keyhole.gateway.identify import Identity
from keyhole.gateway.incoming import incoming
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.opening import Opened
from keyhole.gateway.openings import Openings
from keyhole.gateway.orthanc_rest import Fetchers, OrthancFetcher, OrthancSource
from keyhole.gateway.pep import Gateway
from keyhole.gateway.question import Understanding
from keyhole.gateway.scoping import Capabilities
from keyhole.gateway.streams import Streams
from keyhole.identity import apikey
from keyhole.sharing import link
from keyhole.sharing.condition import NO_ANSWERS
from keyhole.sharing.visit import COOKIE, bearer
from keyhole.store.memory import MemoryStore
from keyhole.store.trail import TrailQuery
from tests.asgi import Answer, Caller
from tests.gateway.small_archive import SmallArchive

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PUBLIC = "https://images.example.org"

OK, SECOND, SIBLING, BAD = "1.2.1", "1.2.2", "1.2.3", "9.9.9"
SERIES, OTHER_SERIES = "1.2.1.1", "1.2.1.2"
INSTANCE = f"/studies/{OK}/series/{SERIES}/instances/{SERIES}.1"
FRAME = f"{INSTANCE}/frames/1"

HERE = Client("192.0.2.7", "test")
OPERATOR = Subject(Kind.OPERATOR, "user:anna", frozenset({"user:anna", "role:administrator"}))


def staff(*roles: str, name: str = "a", ceiling: frozenset[Action] = frozenset(Action)) -> Subject:
    """A program of staff's."""
    principal = f"key:{name * 16}"
    return Subject(Kind.API_KEY, principal, frozenset({principal, *(f"role:{role}" for role in roles)}), ceiling)


def archive() -> SmallArchive:
    small = SmallArchive()
    small.holding(OK, SERIES, OTHER_SERIES).holding(SECOND, "1.2.2.1").holding(SIBLING, "1.2.3.1")
    return small.holding(BAD, "9.9.9.1")


class Rows(MemoryStore):
    """A store that can be lost, and held up."""

    lost: Exception | None = None

    def _append(self, records: Any) -> None:
        if self.lost is not None:
            raise self.lost
        super()._append(records)

    async def generation(self) -> int:
        if self.lost is not None:
            raise self.lost
        return await super().generation()


@dataclass
class Visitor:
    """A visit's holder."""

    visit: Visit
    secret: Secret

    @property
    def root(self) -> str:
        return f"/v/{self.visit.id}/dicom-web"

    @property
    def cookie(self) -> dict[str, str]:
        return {"cookie": f"{COOKIE}={self.secret.reveal()}"}

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {bearer(self.visit, self.secret)}"}


@dataclass
class Gate:
    """Everything behind the public listener, and the desk."""

    archive: SmallArchive = field(default_factory=archive)
    now: datetime = NOW
    at_once: int = 4
    may_wait: int = 8
    orthanc: dict[str, OrthancSource] = field(default_factory=dict)
    """The archives that are Orthanc, by their REST API."""

    asking: Asking = field(default_factory=lambda: Asking(mail=True))
    answers: list[str] = field(default_factory=list)
    """What became of each set of answers."""
    pauses: list[float] = field(default_factory=list)
    """How long somebody was kept waiting each time, in seconds."""

    def __post_init__(self) -> None:
        ticks = itertools.count(step=10)
        self.store = Rows()
        self.ring = link.KeyRing.new()
        # A clock that jumps at each look: whatever is held in memory is confirmed before it is used.
        self.current = Current(self.store, lambda: next(ticks))
        self.ledger = Ledger(self.store, self.clock)
        self.attendance = Attendance(self.store)
        self.identity = Identity(self.current, self.attendance, ("main",), self.clock)
        self.streams = Streams(self.at_once, self.may_wait)
        self.sources = {"main": Source(self.archive, Capabilities(parents=True))}
        self.finder = Finder(self.sources, self.ledger, self.clock)
        self.outcomes: list[str] = []
        self.gateway = Gateway(
            understanding=Understanding("main", {name: each.lineage for name, each in self.orthanc.items()}),
            identity=self.identity,
            ledger=self.ledger,
            streams=self.streams,
            fetch=Fetchers(Fetcher(self.sources), OrthancFetcher(self.orthanc)),
            public_url=PUBLIC,
            incoming=partial(incoming, client_of=client_of),
            now=self.clock,
            decided=lambda outcome: self.outcomes.append(str(outcome)),
        )
        self.openings = Openings(
            store=self.store,
            current=self.current,
            ledger=self.ledger,
            ring=self.ring,
            find=self.finder.studies,
            find_series=self.finder.series,
            identify=self.identity.visit,
            attempts=Attempts(
                store=self.store,
                ring=self.ring,
                now=self.clock,
                noted=self.answers.append,
                asking=self.asking,
                pause=self.pause,
            ),
            now=self.clock,
        )
        self.desk = Desk(
            store=self.store,
            archives=("main",),
            ledger=self.ledger,
            ring=self.ring,
            public_url=PUBLIC,
            longest_share=30 * DAY,
            find=self.finder.studies,
            find_series=self.finder.series,
            now=self.clock,
        )
        self.caller = Caller(self.gateway, client=(HERE.address, 50000))

    def clock(self) -> datetime:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def after(self, time: timedelta) -> None:
        self.now += time

    # -- who asks

    async def share(self, *resources: tuple[str, ...], **more: Any) -> Share:
        values: dict[str, Any] = {
            "id": new_id(),
            "archive": "main",
            "resources": tuple(Resource.of(more.get("archive", "main"), *names) for names in resources or ((OK,),)),
            "kind": ShareKind.VIEW,
            "creator": "user:anna",
            "created_at": self.now,
            "expires_at": self.now + 7 * DAY,
            "key_id": self.ring.current,
        }
        share = Share(**{**values, **more})
        await self.store.add_share(share, Record(at=self.now, event=Event.SHARE_CREATED, subject="user:anna"))
        return share

    def secret(self, share: Share) -> str:
        return link.secret_of(share, self.ring).reveal()

    async def visitor(self, *resources: tuple[str, ...], **more: Any) -> Visitor:
        """Somebody who has opened a share of these resources."""
        return await self.open(await self.share(*resources, **more))

    async def open(self, share: Share) -> Visitor:
        opened = await self.openings.begin(share.id, self.secret(share), NO_ANSWERS, HERE)
        assert isinstance(opened, Opened), opened
        return Visitor(opened.visit, opened.secret)

    async def key(self, *roles: str, ceiling: frozenset[Action] = frozenset(Action), **more: Any) -> dict[str, str]:
        """The header of a new API key with these roles."""
        _, text = await self.new_key(*roles, ceiling=ceiling, **more)
        return {"authorization": f"Bearer {text}"}

    async def new_key(
        self, *roles: str, ceiling: frozenset[Action] = frozenset(Action), **more: Any
    ) -> tuple[ApiKey, str]:
        values = {"name": "test", "creator": "user:anna", "created_at": self.now} | more
        key, text = apikey.mint(roles=frozenset(roles), ceiling=ceiling, **values)
        await self.store.add_key(key, Record(at=self.now, event=Event.KEY_CREATED, subject="user:anna"))
        return key, text

    # -- what they ask

    async def get(self, visitor: Visitor, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("GET", visitor, path, headers)

    async def ask(
        self, method: str, visitor: Visitor, path: str, headers: Mapping[str, str] | None = None, *body: bytes
    ) -> Answer:
        return await self.caller.call(method, visitor.root + path, {**visitor.cookie, **(headers or {})}, body)

    def read(self, visitor: Visitor, path: str, **more: Any) -> Reader:
        """Begin to read what is at *path*."""
        return Reader(self.gateway, visitor.root + path, visitor.cookie, **more)

    @asynccontextmanager
    async def enforcing(self, every: float = 0.01) -> AsyncIterator[None]:
        """With withdrawals reaching what is on its way."""
        before, withdrawal.EVERY = withdrawal.EVERY, every
        task = asyncio.ensure_future(withdrawal.enforce(self.streams, self.identity))
        try:
            yield
        finally:
            withdrawal.EVERY = before
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # -- what is on record

    async def trail(self, *events: Event) -> list[Record]:
        """The records of these *events*, oldest first, with what was only counted yet."""
        await self.ledger.flush()
        rows = await self.store.trail(TrailQuery(limit=10_000))
        return [row.record for row in rows if not events or row.record.event in events]


class Reader:
    """A client that takes an answer piece by piece, as slowly as it likes, and may leave."""

    def __init__(
        self, app: Any, target: str, headers: Mapping[str, str], *, method: str = "GET", room: int = 1_000_000
    ) -> None:
        """Take *room* messages at most, until more is called for."""
        raw_path, _, query = target.partition("?")
        self.scope = {
            "type": "http",
            "method": method,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": (HERE.address, 1),
        }
        self.room = asyncio.Semaphore(room)
        self.gone = asyncio.Event()
        self.to_send: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.status = 0
        self.received = 0
        self.ended = False
        """Whether the answer came to its proper end."""
        self.task = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self.scope["method"] == "POST" and not self.gone.is_set():
            waits = {asyncio.ensure_future(self.to_send.get()), asyncio.ensure_future(self.gone.wait())}
            done, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            for task in done:
                if isinstance(task.result(), dict):
                    return task.result()  # type: ignore[return-value]
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.room.acquire()
        if message["type"] == "http.response.start":
            assert self.status == 0
            self.status = message["status"]
        else:
            assert not self.ended
            self.received += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)

    async def until(self, received: int) -> None:
        """Return when that many bytes have come."""
        async with asyncio.timeout(10):
            while self.received < received:  # noqa: ASYNC110 - what is waited for is a number
                await asyncio.sleep(0)

    def leave(self) -> None:
        self.gone.set()

    async def over(self) -> None:
        """Return when the application is done with it."""
        async with asyncio.timeout(10):
            await self.task


async def settled() -> None:
    """Return when everything that can go on without a timer has."""
    for _ in range(50):
        await asyncio.sleep(0)


def prepared(code: Secret, now: datetime, **more: Any) -> Visit:
    """A visit that an application made and nobody has redeemed."""
    values: dict[str, Any] = {
        "id": new_id(),
        "digest": code.digest(),
        "subject": "user:anna",
        "archive": "main",
        "created_at": now,
        "ends_at": now + timedelta(seconds=60),
        "resources": (Resource.of("main", OK),),
    }
    return Visit(**{**values, **more})
