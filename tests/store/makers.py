"""Values that the store's tests keep."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from keyhole.access.decision import Event, Record
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


async def added(store: Store, **changes: Any) -> Share:
    one = share(**changes)
    await store.add_share(one, record(Event.SHARE_CREATED, share=one.id))
    return one
