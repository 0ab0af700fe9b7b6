"""A desk that works, over a store in memory and an archive of two patients, for tests of what is built on it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from keyhole.access.decision import Deny, Reason, Record, Scope
from keyhole.access.limit import Bucket
from keyhole.access.mail import Mail
from keyhole.access.resource import Action
from keyhole.access.secret import Secret
from keyhole.access.share import ApiKey, Share, ShareChange, Visit
from keyhole.access.subject import ANONYMOUS, Subject
from keyhole.errors import ArchiveFailed, StoreFailed
from keyhole.gateway.attendance import Attendance
from keyhole.gateway.current import Current
from keyhole.gateway.decisions import Decisions
from keyhole.gateway.desk import Desk
from keyhole.gateway.identify import Holder, Identity
from keyhole.gateway.judge import Judge
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.policy import Policy
from keyhole.gateway.question import Understanding
from keyhole.gateway.throttle import Throttle
from keyhole.identity import apikey, credential
from keyhole.sharing.link import KeyRing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CT, MR, OTHER = "1.2.3", "1.2.4", "9.9"

ARCHIVE: list[dict[str, Any]] = [
    {
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00080020": {"vr": "DA", "Value": [date]},
        "00080030": {"vr": "TM", "Value": ["101500.250"]},
        "00080050": {"vr": "SH"},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00081030": {"vr": "LO", "Value": ["Thorax"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": patient}]},
        "00100020": {"vr": "LO", "Value": [patient[:3]]},
        "00100030": {"vr": "DA", "Value": ["unknown"]},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [120]},
    }
    for uid, date, patient in ((CT, "20260214", "Doe^Jane"), (MR, "20250110", "Doe^Jane"), (OTHER, "", "Roe^Rick"))
]


@dataclass(frozen=True)
class Row:
    seq: int
    record: Record
    erased: bool = False


@dataclass
class Rows:
    """The store, as far as a desk needs it."""

    held: dict[str, Share] = field(default_factory=dict)
    held_visits: dict[str, Visit] = field(default_factory=dict)
    held_keys: dict[str, ApiKey] = field(default_factory=dict)
    held_mails: list[Mail] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    trail: list[Row] = field(default_factory=list)
    broken: bool = False

    async def append(self, records: Sequence[Record]) -> None:
        if self.broken:
            raise StoreFailed("the disk at /var/lib/keyhole is full")
        self.trail += [Row(seq, record) for seq, record in enumerate(records, len(self.trail) + 1)]

    async def share(self, share_id: str) -> Share | None:
        return self.held.get(share_id)

    async def shares(
        self, *, creator: str | None = None, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        newest = [
            share
            for share in reversed(self.held.values())
            if (creator is None or share.creator == creator)
            and (study is None or any(node.study == study for node in share.resources))
        ]
        if after is not None:
            newest = list(itertools.dropwhile(lambda share: share.id != after, newest))[1:]
        return newest[:limit]

    async def add_share(self, share: Share, record: Record, mails: Sequence[Mail] = ()) -> None:
        await self.append([record])
        self.held[share.id] = share
        self.held_mails += mails

    async def mails(self, share_id: str) -> Sequence[Mail]:
        return [mail for mail in self.held_mails if mail.share == share_id]

    async def failed_mails(self, limit: int = 100) -> Sequence[Mail]:
        return [mail for mail in self.held_mails if mail.failed_at is not None][:limit]

    async def take(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """Without what drips in later."""
        taken = {bucket.name: self.taken.get(bucket.name, 0) + 1 for bucket in buckets}
        if any(taken[bucket.name] > bucket.at_once for bucket in buckets):
            return {bucket.name: bucket.every for bucket in buckets}
        self.taken |= taken
        return {}

    async def change_share(
        self, share_id: str, change: ShareChange, record: Record, mails: Sequence[Mail] = ()
    ) -> Share | None:
        await self.append([record])
        self.held_mails += mails
        share = self.held[share_id]
        self.held[share_id] = replace(
            share,
            expires_at=change.expires_at or share.expires_at,
            not_before=change.not_before or share.not_before,
            max_visits=share.max_visits and share.max_visits + change.more_visits,
            recipient=change.recipient or share.recipient,
            note=change.note or share.note,
            generation=share.generation + bool(change.new_link_key),
            withdrawn_at=share.withdrawn_at or change.withdrawn_at,
            conditions=change.conditions or share.conditions,
            mail_to=change.mail_to or share.mail_to,
            notify=change.notify or share.notify,
            language=change.language or share.language,
        )
        return self.held[share_id]

    async def visits(self, share_id: str) -> Sequence[Visit]:
        return [visit for visit in self.held_visits.values() if visit.share == share_id]

    async def visits_of_staff(self, since: datetime) -> Sequence[Visit]:
        return [visit for visit in self.held_visits.values() if visit.share is None and visit.created_at >= since]

    async def generation(self) -> int:
        return 1

    async def visit(self, visit_id: str) -> Visit | None:
        return self.held_visits.get(visit_id)

    async def timeline(self, share_id: str) -> Sequence[Row]:
        return [row for row in self.trail if row.record.share == share_id]

    async def prepare_visit(self, visit: Visit, record: Record) -> None:
        await self.append([record])
        self.held_visits[visit.id] = visit

    async def key(self, key_id: str) -> ApiKey | None:
        return self.held_keys.get(key_id)

    async def keys(self) -> Sequence[ApiKey]:
        return list(self.held_keys.values())

    async def add_key(self, key: ApiKey, record: Record) -> None:
        await self.append([record])
        self.held_keys[key.id] = key

    async def revoke_key(self, key_id: str, now: datetime, record: Record) -> ApiKey | None:
        await self.append([record])
        self.held_keys[key_id] = replace(self.held_keys[key_id], revoked_at=now)
        return self.held_keys[key_id]


@dataclass
class World:
    """A desk, what it rests on, and who asks."""

    rows: Rows = field(default_factory=Rows)
    ring: KeyRing = field(default_factory=KeyRing.new)
    now: datetime = NOW
    queries: list[bytes] = field(default_factory=list)
    archive_error: ArchiveFailed | None = None
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.rows, lambda: self.now)
        current = Current(self.rows, time.monotonic)  # type: ignore[arg-type]
        identity = Identity(current, Attendance(self.rows), ("main", "research"), lambda: self.now)  # type: ignore[arg-type]
        self.decisions = Decisions(
            store=self.rows,  # type: ignore[arg-type]
            archives=("main", "research"),
            ledger=self.ledger,
            judge=Judge(identity=identity, understanding=Understanding("main", {}), now=lambda: self.now),
            throttle=Throttle(at_once=1000, per_second=100),
            now=lambda: self.now,
        )

    @property
    def desk(self) -> Desk:
        return Desk(
            store=self.rows,  # type: ignore[arg-type]
            archives=("main", "research"),
            ledger=self.ledger,
            ring=self.ring,
            public_url="https://images.example.org",
            longest_share=timedelta(days=30),
            policy=self.policy,
            find=self.find,
            find_series=self.find_series,
            now=lambda: self.now,
        )

    async def find(self, archive: str, reach: Scope, raw_query: bytes) -> list[dict[str, Any]]:
        if self.archive_error is not None:
            raise self.archive_error
        self.queries.append(raw_query)
        asked = parse_qs(raw_query.decode())
        wanted = (asked.get("StudyInstanceUID") or asked.get("0020000D") or [""])[0].split(",")
        return [item for item in ARCHIVE if wanted == [""] or item["0020000D"]["Value"][0] in wanted]

    async def find_series(self, archive: str, reach: Scope, study: str) -> list[dict[str, Any]]:
        return [{"0020000E": {"vr": "UI", "Value": [f"{study}.1"]}}]

    def key(self, *roles: str, ceiling: frozenset[Action] = frozenset(Action), **more: Any) -> str:
        """A new key of these roles, as its program shows it."""
        order: dict[str, Any] = {"name": "test", "creator": "user:anna", "created_at": NOW, **more}
        row, text = apikey.mint(roles=frozenset(roles), ceiling=ceiling, **order)
        self.rows.held_keys[row.id] = row
        return text

    async def holder(self, headers: credential.Headers, visit_id: str | None) -> Holder | Deny:
        """As :class:`keyhole.gateway.identify.Identity` does it."""
        if self.rows.broken:
            raise StoreFailed("the disk at /var/lib/keyhole is full")
        match credential.read(headers, visit_id):
            case Deny() as refusal:
                return refusal
            case credential.Shown(id=name, secret=secret):
                return self._holder(name, secret)
            case _:
                return Holder(ANONYMOUS, ())

    def _holder(self, name: str, secret: Secret) -> Holder | Deny:
        if name in self.rows.held_visits:
            return Holder(self.rows.held_visits[name].as_subject(), ())
        key = self.rows.held_keys.get(name)
        who = Reason.BAD_CREDENTIAL if key is None else apikey.verify(key, secret, self.now)
        return Holder(who, ()) if isinstance(who, Subject) else Deny(who)
