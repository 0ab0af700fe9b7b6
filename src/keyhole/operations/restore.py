"""The way back of a backup.

It is prepared as a database of its own before anything of the present one is touched: the stricter of both states is
taken, visits are ended, the restore is written on its trail. Only then does it take the present one's place.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from keyhole.access.decision import Event, Record
from keyhole.access.subject import Subject
from keyhole.app import database_url, now, prepare, signing
from keyhole.errors import Refused, StoreFailed
from keyhole.gateway import keys_file
from keyhole.operations.backup import Bar
from keyhole.operations.opened import record
from keyhole.settings import Settings
from keyhole.sharing.link import KeyRing
from keyhole.store import heads, portable, seal, stricter
from keyhole.store.chain import micros
from keyhole.store.database import DatabaseStore, open_store
from keyhole.store.migrations import Schema, check_schema, migrate
from keyhole.store.place import Present, alone_at
from keyhole.store.stricter import Kept, LiveKey, LiveShare
from keyhole.store.verify import Broken, Intact

Withdraw = Literal["none", "limited", "all"]
"""Which of the shares that would live again are withdrawn; ``all``: keys of programs are revoked as well."""

_NAME = "restore.unfinished"


@dataclass(frozen=True, slots=True)
class Plan:
    """What restoring would do.

    ``known``: the present database can be read, so that what came to be since is kept. ``shares`` and ``keys`` would
    live again, and as far as is known do not now. ``rows`` are the backup's; ``rows_now`` what is known of the present
    trail, 0 for nothing.
    """

    made_at: str
    rows: int
    rows_now: int
    known: bool
    empty: bool
    chain: Intact | Broken
    kept: Kept
    shares: Sequence[LiveShare]
    keys: Sequence[LiveKey]
    without_key: int
    """How many of the backup's live links cannot be opened with the keys that are here."""

    @property
    def limited(self) -> Sequence[LiveShare]:
        """Those of which it is not known how often they were opened since."""
        return [share for share in self.shares if share.max_visits is not None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What restoring did. ``mails_stopped`` had waited to be sent; ``aside`` is the database from before, if any."""

    visits_ended: int
    mails_stopped: int
    withdrawn: int
    revoked: int
    aside: str | None


@dataclass(frozen=True, slots=True)
class Restoration:
    """A backup as a database of its own, in a folder of its own, brought up to this version's schema."""

    settings: Settings
    folder: Path
    ring: KeyRing
    seal: seal.Seal

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / "keyhole.db"

    def plan(self, bar: Bar) -> Plan:
        """What would happen. Nothing outside the folder is touched."""
        chain = asyncio.run(self._verified(bar("verifying the trail")))
        with alone_at(database_url(self.settings)) as present:
            return self._plan(present, chain)

    def _plan(self, present: Present, chain: Intact | Broken, *, keep: bool = False) -> Plan:
        """What would happen; with *keep*, what the present database tells is taken over for good."""
        at = micros(now())
        with portable.opened(self.file) as kept:
            kept.execute("BEGIN")
            stricter.know(kept, present.rows)
            taken = stricter.tighten(kept)
            shares, keys = stricter.live_shares(kept, at), stricter.live_keys(kept, at)
            kept.execute("COMMIT" if keep else "ROLLBACK")
        return Plan(
            made_at=self.seal.made_at,
            rows=self.seal.rows,
            rows_now=self._rows_now(present),
            known=present.rows is not None,
            empty=present.empty,
            chain=chain,
            kept=taken,
            shares=shares,
            keys=keys,
            without_key=sum(share.key_id not in self.ring.keys for share in shares),
        )

    def _rows_now(self, present: Present) -> int:
        """The furthest row of the present trail that anything tells of."""
        outside = heads.Heads(self.settings.data).read().heads
        database = 0 if present.rows is None else portable.last_row(present.rows)
        return max([database, *(head.seq for head in outside)])

    async def _verified(self, progress: portable.Progress) -> Intact | Broken:
        async with self._store() as store:
            return await store.verify(progress)

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[DatabaseStore]:
        store = open_store(f"sqlite:///{self.file}", signing(self.ring), self.folder)
        try:
            yield store
        finally:
            await store.close()

    def run(self, subject: Subject, plan: Plan, withdraw: Withdraw, bar: Bar) -> Restored:
        """Put the backup in the place of the present database, and end all visits.

        Refused when something lives again that was not in *plan*. Killed at any moment, it leaves one or the other.
        """
        at = now()
        stamp = f"before-restore-{at:%Y%m%dT%H%M%S%fZ}"
        with alone_at(database_url(self.settings)) as present:
            found = self._plan(present, plan.chain, keep=True)
            _same(plan, found)
            done = self._prepare(subject, found, withdraw, present, at)
            heads.promise(self.settings.data, portable.head_of(self.file), stamp)
            aside = present.replace(self.file, stamp, bar("restoring"))
        prepare(self.settings)
        return Restored(*done, aside)

    def _prepare(
        self, subject: Subject, plan: Plan, withdraw: Withdraw, present: Present, at: datetime
    ) -> tuple[int, int, int, int]:
        """End visits, withdraw, move the generation and say so on the trail."""
        shares = {"none": [], "limited": plan.limited, "all": plan.shares}[withdraw]
        keys = plan.keys if withdraw == "all" else []
        share_ids, key_ids = [share.id for share in shares], [key.id for key in keys]
        with portable.opened(self.file) as kept:
            ended = stricter.end_visits(kept, micros(at))
            stopped = stricter.stop_mails(kept, micros(at))
            stricter.withdraw(kept, share_ids, key_ids, micros(at))
            portable.move_generation(kept, present.rows)
        detail = {
            "made_at": plan.made_at,
            "rows": str(plan.rows),
            "rows_before": str(plan.rows_now or "unknown"),
            "visits_ended": str(ended),
            "mails_stopped": str(stopped),
            "live_again": str(len(plan.shares) - len(share_ids)),
            "stricter": "known" if plan.known else "unknown",
            "trail": "whole" if isinstance(plan.chain, Intact) else plan.chain.fault.value,
        }
        records = [
            record(Event.RESTORED, subject, **detail),
            *(_by_restore(Event.SHARE_WITHDRAWN, subject, share=name) for name in (*plan.kept.withdrawn, *share_ids)),
            *(_by_restore(Event.SHARE_LOCKED, subject, share=name) for name in plan.kept.locked),
            *(_by_restore(Event.KEY_REVOKED, subject, key=name) for name in (*plan.kept.revoked, *key_ids)),
        ]
        asyncio.run(self._tell(records))
        return ended, stopped, len(share_ids), len(key_ids)

    async def _tell(self, records: Sequence[Record]) -> None:
        async with self._store() as store:
            await store.append(records)


def _by_restore(event: Event, subject: Subject, *, share: str | None = None, key: str | None = None) -> Record:
    """What became known, or was done, with the restore."""
    detail = {"by": "restore"} if key is None else {"by": "restore", "key": key}
    return replace(record(event, subject, **detail), share=share)


def _same(before: Plan, found: Plan) -> None:
    """Refuse what nobody has said yes to."""
    more = {share.id for share in found.shares} - {share.id for share in before.shares}
    if more or (found.known, found.empty) != (before.known, before.empty):
        raise Refused("the database was changed meanwhile", "look at what would live again, and try again")


@contextmanager
def restoration(settings: Settings, file: Path) -> Iterator[Restoration]:
    """Look at the backup in *file*; nothing that is there is touched.

    Refused when it is no whole backup of ours, and when the key ring that belongs to it is not in the data folder.
    """
    if not keys_file.exists(settings.data):
        raise Refused(
            f"the keys are not in {settings.data}, and a backup does not hold them",
            f"put the backup of {keys_file.NAME} there first",
        )
    ring = keys_file.load(settings.data)
    with _told(), _folder(settings.data) as folder:
        database = folder / "keyhole.db"
        found = seal.unpack(file, signing(ring), database)
        url = f"sqlite:///{database}"
        if check_schema(url) is Schema.AHEAD:
            raise Refused(f"the backup was made by a newer version, {found.version}", "restore it with that version")
        migrate(url)
        yield Restoration(settings, folder, ring, found)


@contextmanager
def _told() -> Iterator[None]:
    """A folder that cannot be written is broken, and no fault of ours."""
    try:
        yield
    except OSError as error:
        raise StoreFailed(f"the data folder cannot be written: {error.strerror}") from None


@contextmanager
def _folder(data: Path) -> Iterator[Path]:
    """A folder for one restore at a time; what one that was killed has left in it goes."""
    folder = data / _NAME
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(lock)
        for left in folder.iterdir():
            left.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(folder: int) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused("another restore is under way", "wait for its end") from None
