"""Values that the store's tests keep."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from keyhole.access.condition import Answered, Conditions
from keyhole.access.decision import Event, Reason, Record
from keyhole.access.limit import Bucket
from keyhole.access.mail import Mail, MailCode, MailKind
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import new_id
from keyhole.access.share import ApiKey, Share, ShareKind, Visit
from keyhole.store.chain import Signing
from keyhole.store.database import DatabaseStore
from keyhole.store.memory import MemoryStore
from keyhole.store.trail import TrailQuery

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIGNING = Signing("first", {"first": b"k" * 32})
EVERYTHING = TrailQuery()
MINUTE = timedelta(minutes=1)
ASKED = Conditions(passcode="$argon2id$v=19$x", birth_date=b"d" * 32)
MAILED = Conditions(mail_code=True)
REFUSAL = Record(at=NOW, event=Event.REFUSAL, subject="anonymous")
LOCK = Record(at=NOW, event=Event.SHARE_LOCKED, subject="keyhole")
PERSONAL = {"address": "192.0.2.7", "agent": "Mozilla/5.0 (Zürich)"}

Store = MemoryStore | DatabaseStore

_count = itertools.count()


def share(**changes: Any) -> Share:
    values: dict[str, Any] = {
        "id": new_id(),
        "archive": "main",
        "resources": (Resource.of("main", "1.2.3"), Resource.of("main", "1.2.4", "1.2.4.1")),
        "kind": ShareKind.VIEW,
        "creator": "user:anna",
        "created_at": NOW + timedelta(microseconds=next(_count)),
        "expires_at": NOW + 24 * HOUR,
        "key_id": "ring-1",
    }
    return Share(**{**values, **changes})


def visit(of: Share | None = None, **changes: Any) -> Visit:
    values: dict[str, Any] = {
        "id": new_id(),
        "digest": bytes(range(32)),
        "subject": "user:anna" if of is None else of.principal,
        "archive": "main",
        "created_at": NOW + timedelta(microseconds=next(_count)),
        "ends_at": NOW + 12 * HOUR,
        "share": of and of.id,
        "limited": of is not None and of.max_visits is not None,
        "begun_at": NOW,
        "seen_at": NOW,
    }
    return Visit(**{**values, **changes})


def mail(of: Share | str, **changes: Any) -> Mail:
    created = NOW + timedelta(microseconds=next(_count))
    values: dict[str, Any] = {
        "id": new_id(),
        "share": of if isinstance(of, str) else of.id,
        "generation": 1,
        "kind": MailKind.LINK,
        "to": "mara@example.org",
        "created_at": created,
        "due_at": created,
        "give_up_at": created + 24 * HOUR,
    }
    return Mail(**{**values, **changes})


def code(of: Share, **changes: Any) -> MailCode:
    values: dict[str, Any] = {
        "share": of.id,
        "generation": of.generation,
        "nonce": new_id(),
        "ticket": b"t" * 32,
        "created_at": NOW,
        "ends_at": NOW + 10 * MINUTE,
    }
    return MailCode(**{**values, **changes})


def bucket(name: str = "somebody", at_once: int = 3, every: timedelta = MINUTE) -> Bucket:
    return Bucket(name, at_once, every)


def prepared(code: bytes, **changes: Any) -> Visit:
    values: dict[str, Any] = {
        "digest": code,
        "begun_at": None,
        "seen_at": None,
        "ends_at": NOW + timedelta(seconds=60),
        "resources": (Resource.of("main", "1.2.3"),),
    }
    return visit(**{**values, **changes})


def key(**changes: Any) -> ApiKey:
    values: dict[str, Any] = {
        "id": new_id(),
        "name": "PACS script",
        "digest": bytes(32),
        "roles": frozenset({"sender", "auditor"}),
        "ceiling": frozenset({Action.SEARCH, Action.SHARE}),
        "creator": "user:anna",
        "created_at": NOW + timedelta(microseconds=next(_count)),
        "expires_at": NOW + 24 * HOUR,
    }
    return ApiKey(**{**values, **changes})


def record(event: Event = Event.ACCESS, **changes: Any) -> Record:
    values: dict[str, Any] = {"at": NOW, "event": event, "subject": "user:anna", "archive": "main"}
    return Record(**{**values, **changes})


async def events(store: Store) -> list[Event]:
    return [row.record.event for row in await store.trail(EVERYTHING)]


async def tried(store: Store, one: Share, most: int = 5, now: datetime = NOW) -> Share | Reason:
    """Take an attempt up."""
    return await store.begin_attempt(one.id, one.generation, most, now, LOCK)


async def failed(store: Store, one: Share, most: int = 5, now: datetime = NOW) -> Share | None:
    """Be wrong."""
    return await store.fail_attempt(one.id, one.generation, most, now, REFUSAL, LOCK)


async def right(
    store: Store, one: Share, answered: Answered | None = None, now: datetime = NOW, **more: Any
) -> Share | Reason:
    """Open the share with the right answers."""
    return await store.begin_visit(
        visit(one),
        now,
        record(Event.VISIT_BEGUN, share=one.id),
        link_generation=one.generation,
        answered=answered or Answered(one.conditions),
        **more,
    )


async def mailed(store: Store, one: Share, **changes: Any) -> MailCode:
    """Have a code mailed."""
    made = code(one, **changes)
    assert await store.add_code(made, mail(one, kind=MailKind.CODE, nonce=made.nonce), (), record()) == {}
    return made


async def added(store: Store, **changes: Any) -> Share:
    one = share(**changes)
    await store.add_share(one, record(Event.SHARE_CREATED, share=one.id))
    return one
