"""Openings of shares, and attempts at them: one statement decides each, so that no two win together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, false, func, insert, or_, select, update

from keyhole.access.condition import NO_CONDITIONS, Answered
from keyhole.access.decision import Reason, Record
from keyhole.access.mail import Mail
from keyhole.access.share import Share, Visit
from keyhole.store import codes, mails, schema
from keyhole.store.chain import micros
from keyhole.store.rows import condition_values, to_share, visit_values
from keyhole.store.rules import attempted, failed, unopenable
from keyhole.store.sql import Statement, Transaction
from keyhole.store.writer import Change

_s = schema.shares.c
_c = schema.mail_codes.c
_now = bindparam("now", type_=_s.created_at.type)
_generation = bindparam("link_generation", type_=_s.generation.type)
_passes = bindparam("passes", type_=_s.passed.type)

_OPEN: ColumnElement[bool] = and_(
    _s.id == bindparam("share"),
    _s.withdrawn_at.is_(None),
    _s.expires_at > _now,
    or_(_s.not_before.is_(None), _s.not_before <= _now),
    _s.locked_at.is_(None),
    or_(_s.max_visits.is_(None), _s.visits < _s.max_visits),
    or_(_generation.is_(None), _s.generation == _generation),
)
_ANSWERED: ColumnElement[bool] = and_(
    _s.passcode.is_not_distinct_from(bindparam("passcode", type_=_s.passcode.type)),
    _s.birth_date.is_not_distinct_from(bindparam("birth_date", type_=_s.birth_date.type)),
    _s.mail_code == bindparam("mail_code", type_=_s.mail_code.type),
    _s.terms == bindparam("terms", type_=_s.terms.type),
    _s.passed + _passes <= _s.attempts,
    or_(
        _s.mail_code == false(),
        exists().where(
            _c.share == _s.id,
            _c.generation == _s.generation,
            _c.nonce == bindparam("nonce", type_=_c.nonce.type),
            _c.ends_at > _now,
        ),
    ),
)

_SHARE = Statement(select(schema.shares).where(_s.id == bindparam("share")))
_COUNT = Statement(
    update(schema.shares)
    .where(_OPEN, _ANSWERED)
    .values(
        visits=_s.visits + 1,
        first_opened_at=func.coalesce(_s.first_opened_at, _now),
        last_opened_at=_now,
        passed=_s.passed + _passes,
    )
    .returning(schema.shares)
)
_ADD = Statement(insert(schema.visits))
_ATTEMPT = Statement(
    update(schema.shares)
    .where(_OPEN, _s.attempts - _s.passed < bindparam("most"))
    .values(attempts=_s.attempts + 1, tried_at=case((_s.tried_at > _now, _s.tried_at), else_=_now))
    .returning(schema.shares)
)
_LOCK = Statement(
    update(schema.shares).where(_s.id == bindparam("share"), _s.locked_at.is_(None)).values(locked_at=_now)
)


@dataclass(frozen=True, slots=True)
class Locking:
    """What is kept when a share is locked: a record, and mails."""

    record: Record
    mails: Sequence[Mail]


def begin(
    tx: Change,
    visit: Visit,
    now: datetime,
    record: Record,
    link_generation: int | None,
    answered: Answered | None,
    first: Sequence[Mail],
) -> Share | Reason:
    """Count an opening, keep *visit* and spend the code, or say why not."""
    conditions = NO_CONDITIONS if answered is None else answered.conditions
    wanted = {
        "share": visit.share,
        "now": micros(now),
        "link_generation": link_generation,
        **condition_values(conditions),
        "passes": int(bool(conditions)),
        "nonce": answered and answered.code,
    }
    row = tx.row(_COUNT, wanted)
    if row is None:
        return _why_not(tx, visit.share, now, link_generation, answered)
    share = to_share(row)
    tx.count(_ADD, visit_values(visit))
    if conditions.mail_code:
        codes.drop(tx, share.id)
    if share.visits == 1:
        mails.add(tx, first)
    tx.changed(record)
    return share


def _why_not(
    tx: Transaction, share_id: str | None, now: datetime, link_generation: int | None, answered: Answered | None
) -> Reason:
    code = None if share_id is None else codes.newest(tx, share_id)
    return unopenable(_held(tx, share_id), now, link_generation, answered, code) or Reason.WITHDRAWN


def _held(tx: Transaction, share_id: str | None) -> Share | None:
    row = tx.row(_SHARE, {"share": share_id})
    return None if row is None else to_share(row)


def begin_attempt(
    tx: Change, share_id: str, link_generation: int, most: int, now: datetime, locking: Locking
) -> Share | Reason:
    """Take up an attempt to answer, or say why not; the share is locked when all were in vain."""
    row = tx.row(_ATTEMPT, {"share": share_id, "now": micros(now), "link_generation": link_generation, "most": most})
    if row is not None:
        return to_share(row)
    share = _held(tx, share_id)
    outcome = attempted(share, link_generation, most, now)
    if outcome is Reason.LOCKED:
        _lock(tx, share_id, now, locking)
    return outcome if isinstance(outcome, Reason) else Reason.TOO_MANY


def fail_attempt(
    tx: Change, share_id: str, link_generation: int, most: int, now: datetime, refusal: Record, locking: Locking
) -> Share | None:
    """Record a wrong answer, and lock the share with the last."""
    share = _held(tx, share_id)
    if share is None:
        return None
    tx.append((refusal,))
    after = failed(share, link_generation, most, now)
    if after.locked_at is not None:
        _lock(tx, share_id, now, locking)
    return after


def _lock(tx: Change, share_id: str, now: datetime, locking: Locking) -> None:
    """Lock the share; one that is locked stays as it is."""
    if tx.count(_LOCK, {"share": share_id, "now": micros(now)}):
        mails.add(tx, locking.mails)
        tx.changed(locking.record)
