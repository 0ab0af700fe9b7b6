"""Mails in their table: those that wait are claimed by one process for a while, and settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, insert, select, update

from keyhole.access.decision import Record
from keyhole.access.mail import Mail, MailKind
from keyhole.store import schema
from keyhole.store.chain import micros
from keyhole.store.rows import mail_values, to_mail
from keyhole.store.sql import Statement, Transaction
from keyhole.store.writer import Change

_m, _s = schema.mails.c, schema.shares.c
_ONE = Statement(select(schema.mails).where(_m.id == bindparam("mail")))
_OF_SHARE = Statement(select(schema.mails).where(_m.share == bindparam("of_share")).order_by(_m.created_at, _m.id))
_FAILED = Statement(
    select(schema.mails)
    .where(_m.failed_at.is_not(None))
    .order_by(_m.failed_at.desc(), _m.id.desc())
    .limit(bindparam("most"))
)
_DUE = Statement(
    select(schema.mails)
    .where(_m.sent_at.is_(None), _m.failed_at.is_(None), _m.due_at <= bindparam("now"))
    .order_by(_m.kind != MailKind.CODE, _m.due_at, _m.id)
    .limit(bindparam("most"))
)
"""Codes before all others: they are good for minutes, and somebody waits for each."""
_ADD = Statement(insert(schema.mails))
_CLAIM = Statement(
    update(schema.mails).where(_m.id == bindparam("mail")).values(due_at=bindparam("until"), tries=bindparam("tried"))
)
_CHANGEABLE = ("due_at", "sent_at", "failed_at", "problem")
_SETTLE = Statement(
    update(schema.mails)
    .where(_m.id == bindparam("mail"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)


def waits(mail: Mail) -> bool:
    """Whether *mail* is still to be sent."""
    return mail.sent_at is None and mail.failed_at is None


def turn(mail: Mail) -> tuple[bool, datetime, str]:
    """What due mails are sent by the order of."""
    return mail.kind is not MailKind.CODE, mail.due_at, mail.id


def settles(outcome: Mail, kept: Mail) -> bool:
    """Whether *outcome* is to be kept of *kept*: not from whoever has lost it to another claim since.

    But a mail that was sent was sent, whatever others say.
    """
    if outcome.sent_at is not None:
        return kept.sent_at is None
    return waits(kept) and outcome.tries == kept.tries


def settled(kept: Mail, outcome: Mail) -> Mail:
    """*kept* as *outcome* says."""
    return replace(
        kept,
        due_at=outcome.due_at,
        sent_at=outcome.sent_at,
        failed_at=outcome.failed_at,
        problem=outcome.problem,
    )


def of_share(tx: Transaction, share_id: str) -> list[Mail]:
    """The mails about a share, oldest first."""
    return [to_mail(row) for row in tx.rows(_OF_SHARE, {"of_share": share_id})]


def that_failed(tx: Transaction, most: int) -> list[Mail]:
    """The last *most* mails that could not be sent, newest first."""
    return [to_mail(row) for row in tx.rows(_FAILED, {"most": most})]


def any_due(tx: Transaction, now: datetime) -> bool:
    """Whether a mail is due: asked again and again, so it takes no writer's turn."""
    return bool(tx.rows(_DUE, {"now": micros(now), "most": 1}))


@dataclass(frozen=True, slots=True)
class MailStanding:
    """How mail stands: what is due, what waits that was tried in vain, and the open links that ask for mailed codes."""

    due: int
    tried: int
    asking: int


def standing(tx: Transaction, now: datetime) -> MailStanding:
    """How mail stands at *now*."""
    due = (_m.sent_at.is_(None), _m.failed_at.is_(None), _m.due_at <= micros(now))
    tried = (_m.sent_at.is_(None), _m.failed_at.is_(None), _m.problem.is_not(None))
    asking = (_s.mail_code, _s.withdrawn_at.is_(None), _s.expires_at > micros(now))
    counts = [_count(tx, *where) for where in (due, tried, asking)]
    return MailStanding(*counts)


def _count(tx: Transaction, *where: ColumnElement[bool]) -> int:
    return int(tx.select(select(func.count()).where(*where))[0][0])


def add(tx: Transaction, mails: Sequence[Mail]) -> None:
    """Keep *mails* to be sent."""
    tx.many(_ADD, [mail_values(mail) for mail in mails])


def claim(tx: Transaction, now: datetime, until: datetime, most: int) -> list[Mail]:
    """Up to *most* mails that are due, codes and then the longest due first, which nobody else gets until *until*.

    All writers take turns before this.
    """
    due = [to_mail(row) for row in tx.rows(_DUE, {"now": micros(now), "most": most})]
    claimed = [replace(mail, due_at=until, tries=mail.tries + 1) for mail in due]
    tx.many(_CLAIM, [{"mail": mail.id, "until": micros(until), "tried": mail.tries} for mail in claimed])
    return claimed


def settle(tx: Change, mail: Mail, record: Record | None) -> None:
    """Keep what became of a claimed mail."""
    row = tx.row(_ONE, {"mail": mail.id})
    if row is None or not settles(mail, to_mail(row)):
        return
    values = mail_values(mail)
    tx.count(_SETTLE, {"mail": mail.id, **{f"new_{name}": values[name] for name in _CHANGEABLE}})
    if record is not None:
        tx.append((record,))
