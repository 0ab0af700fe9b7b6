"""Shares in their tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, literal, select, tuple_, update

from keyhole.access.decision import Record
from keyhole.access.mail import Mail
from keyhole.access.share import Share, ShareChange
from keyhole.store import codes, mails, schema, visits
from keyhole.store.chain import micros
from keyhole.store.rows import share_values, to_share
from keyhole.store.rules import changed, ends_codes
from keyhole.store.sql import Statement, Transaction
from keyhole.store.writer import Change

_s = schema.shares.c
_ONE = Statement(select(schema.shares).where(_s.id == bindparam("share")))
_ONE_TO_CHANGE = Statement(select(schema.shares).where(_s.id == bindparam("share")).with_for_update())
_ADD = Statement(insert(schema.shares))
_ADD_STUDY = Statement(insert(schema.share_studies))
_REMOVE_STUDIES = Statement(delete(schema.share_studies).where(schema.share_studies.c.share == bindparam("of_share")))
_NEVER = {"id", "archive", "kind", "creator", "created_at", "deidentification", "origin", "token_type"}
_CHANGEABLE = tuple(column.name for column in schema.shares.columns if column.name not in _NEVER)
_CHANGE = Statement(
    update(schema.shares)
    .where(_s.id == bindparam("share"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)


def one(tx: Transaction, share_id: str) -> Share | None:
    """The share with this id."""
    row = tx.row(_ONE, {"share": share_id})
    return None if row is None else to_share(row)


def some(tx: Transaction, *, creator: str | None, study: str | None, after: str | None, limit: int) -> list[Share]:
    """Shares, newest first, after the one called *after*; nothing when that one does not exist."""
    query = select(schema.shares).order_by(_s.created_at.desc(), _s.id.desc()).limit(limit)
    if creator is not None:
        query = query.where(_s.creator == creator)
    if study is not None:
        of_study = schema.share_studies.c
        query = query.where(_s.id.in_(select(of_study.share).where(of_study.study == study)))
    if after is not None:
        last = tx.select(select(_s.created_at).where(_s.id == after))
        if not last:
            return []
        there = tuple_(literal(last[0][0], _s.created_at.type), literal(after))
        query = query.where(tuple_(_s.created_at, _s.id) < there)
    return [to_share(row) for row in tx.select(query)]


def link_keys(tx: Transaction, now: datetime) -> dict[str, int]:
    """How many shares that are not over at *now* have a link of each key."""
    live = (_s.withdrawn_at.is_(None), _s.expires_at > micros(now))
    return dict(tx.select(select(_s.key_id, func.count()).where(*live).group_by(_s.key_id)))


def of_paper(tx: Transaction, digests: Sequence[bytes]) -> Share | None:
    """The share whose code for paper has one of *digests*."""
    rows = tx.select(select(schema.shares).where(_s.paper.in_(digests)).limit(1)) if digests else []
    return to_share(rows[0]) if rows else None


def add(tx: Change, share: Share, record: Record, posted: Sequence[Mail]) -> None:
    """Keep a new share, and mails to be sent."""
    tx.count(_ADD, share_values(share))
    _add_studies(tx, share)
    mails.add(tx, posted)
    tx.changed(record)


def _add_studies(tx: Change, share: Share) -> None:
    studies = sorted({resource.path[0] for resource in share.resources})
    tx.many(_ADD_STUDY, [{"share": share.id, "study": study} for study in studies])


def change(tx: Change, share_id: str, what: ShareChange, record: Record, posted: Sequence[Mail]) -> Share | None:
    """The share after *what*; a change that changes nothing, and posts nothing, leaves no record."""
    row = tx.row(_ONE_TO_CHANGE, {"share": share_id})
    if row is None:
        return None
    before = to_share(row)
    values = share_values(changed(before, what))
    after = to_share(tuple(values.values()))
    mails.add(tx, posted)
    if after == before:
        tx.append((record,) if posted else ())
        return before
    tx.count(_CHANGE, {"share": share_id, **{f"new_{name}": values[name] for name in _CHANGEABLE}})
    tx.changed(record)
    _follow(tx, before, after, record)
    return after


def _follow(tx: Change, before: Share, after: Share, record: Record) -> None:
    """Change what rests on the share."""
    if after.resources != before.resources:
        tx.count(_REMOVE_STUDIES, {"of_share": after.id})
        _add_studies(tx, after)
    if ends_codes(before, after):
        codes.drop(tx, after.id)
    if after.withdrawn_at is not None:
        visits.end_of_share(tx, after.id, after.withdrawn_at, record)
