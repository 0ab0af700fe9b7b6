"""Visits in their table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, insert, or_, select, update

from keyhole.access.decision import Record
from keyhole.access.share import Visit
from keyhole.store import schema
from keyhole.store.chain import micros
from keyhole.store.rows import to_visit, visit_values
from keyhole.store.rules import ends
from keyhole.store.sql import Statement, Transaction
from keyhole.store.writer import Change

_v = schema.visits.c
_now = bindparam("now", type_=_v.created_at.type)

_ONE = Statement(select(schema.visits).where(_v.id == bindparam("visit")))
_OF_SHARE = Statement(select(schema.visits).where(_v.share == bindparam("of_share")).order_by(_v.created_at, _v.id))
_OF_STAFF = Statement(
    select(schema.visits).where(_v.share.is_(None), _v.created_at >= _now).order_by(_v.created_at, _v.id)
)
_ADD = Statement(insert(schema.visits))
_REDEEM = Statement(
    update(schema.visits)
    .where(_v.digest == bindparam("code_digest"), _v.begun_at.is_(None), _v.ended_at.is_(None), _v.ends_at > _now)
    .values(digest=bindparam("new_digest"), begun_at=_now, seen_at=_now, ends_at=bindparam("new_end"))
    .returning(schema.visits)
)
_seen = bindparam("now_seen", type_=_v.seen_at.type)
_SEEN = Statement(
    update(schema.visits)
    .where(_v.id == bindparam("visit"), or_(_v.seen_at.is_(None), _v.seen_at < _seen))
    .values(seen_at=_seen)
)
_END = Statement(update(schema.visits).where(_v.id == bindparam("visit"), _v.ended_at.is_(None)).values(ended_at=_now))
_END_OF_SHARE = Statement(
    update(schema.visits)
    .where(_v.share == bindparam("of_share"), _v.ended_at.is_(None))
    .values(ended_at=_now)
    .returning(schema.visits)
)
_END_OF_SUBJECT = Statement(
    update(schema.visits)
    .where(_v.subject == bindparam("of_subject"), _v.ended_at.is_(None))
    .values(ended_at=_now)
    .returning(schema.visits)
)


def one(tx: Transaction, visit_id: str) -> Visit | None:
    """The visit with this id."""
    row = tx.row(_ONE, {"visit": visit_id})
    return None if row is None else to_visit(row)


def of_share(tx: Transaction, share_id: str) -> list[Visit]:
    """The visits of a share, oldest first."""
    return [to_visit(row) for row in tx.rows(_OF_SHARE, {"of_share": share_id})]


def of_staff(tx: Transaction, since: datetime) -> list[Visit]:
    """The visits without a share that were made at *since* or later, oldest first."""
    return [to_visit(row) for row in tx.rows(_OF_STAFF, {"now": micros(since)})]


def prepare(tx: Change, visit: Visit, record: Record) -> None:
    """Keep a visit that somebody else will begin."""
    tx.count(_ADD, visit_values(visit))
    tx.changed(record)


def redeem(
    tx: Change, code_digest: bytes, digest: bytes, now: datetime, ends_at: datetime, record: Record
) -> Visit | None:
    """Begin a prepared visit, once."""
    values = {"code_digest": code_digest, "new_digest": digest, "now": micros(now), "new_end": micros(ends_at)}
    row = tx.row(_REDEEM, values)
    if row is None:
        return None
    visit = to_visit(row)
    tx.changed(replace(record, visit=visit.id))
    return visit


def seen(tx: Transaction, times: Mapping[str, datetime]) -> None:
    """Move ``seen_at`` forward; in the order of ids, as every writer does."""
    tx.many(_SEEN, [{"visit": visit, "now_seen": micros(at)} for visit, at in sorted(times.items())])


def end(tx: Change, visit_id: str, now: datetime, record: Record) -> None:
    """End a visit that has not ended; otherwise nothing happened, and nothing is recorded."""
    if tx.count(_END, {"visit": visit_id, "now": micros(now)}):
        tx.changed(record)


def end_of_share(tx: Change, share_id: str, now: datetime, record: Record) -> None:
    """End all visits of a share, because of what *record* tells; those that were running are on the trail."""
    ended = map(to_visit, tx.rows(_END_OF_SHARE, {"of_share": share_id, "now": micros(now)}))
    tx.append(ends(record, ended, now))


def end_of_subject(tx: Change, subject: str, now: datetime, record: Record) -> None:
    """End all visits that *subject* made, as :func:`end_of_share` does."""
    ended = map(to_visit, tx.rows(_END_OF_SUBJECT, {"of_subject": subject, "now": micros(now)}))
    tx.append(ends(record, ended, now))
