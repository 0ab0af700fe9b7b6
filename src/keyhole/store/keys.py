"""API keys in their table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from keyhole.access.decision import Record
from keyhole.access.share import ApiKey
from keyhole.store import schema, visits
from keyhole.store.chain import micros
from keyhole.store.rows import key_values, to_key
from keyhole.store.sql import Statement, Transaction
from keyhole.store.writer import Change

_k = schema.keys.c
_ONE = Statement(select(schema.keys).where(_k.id == bindparam("key")))
_ALL = Statement(select(schema.keys).order_by(_k.created_at, _k.id))
_ADD = Statement(insert(schema.keys))
_REVOKE = Statement(
    update(schema.keys).where(_k.id == bindparam("key"), _k.revoked_at.is_(None)).values(revoked_at=bindparam("now"))
)


def one(tx: Transaction, key_id: str) -> ApiKey | None:
    """The key with this id."""
    row = tx.row(_ONE, {"key": key_id})
    return None if row is None else to_key(row)


def every(tx: Transaction) -> list[ApiKey]:
    """All keys, oldest first."""
    return [to_key(row) for row in tx.rows(_ALL)]


def add(tx: Change, key: ApiKey, record: Record) -> None:
    """Keep a new key."""
    tx.count(_ADD, key_values(key))
    tx.changed(record)


def revoke(tx: Change, key_id: str, now: datetime, record: Record) -> ApiKey | None:
    """End a key and the visits it made; a key that has ended stays as it is."""
    key = one(tx, key_id)
    if key is None or not tx.count(_REVOKE, {"key": key_id, "now": micros(now)}):
        return key
    tx.changed(record)
    visits.end_of_subject(tx, key.principal, now, record)
    return replace(key, revoked_at=now)
