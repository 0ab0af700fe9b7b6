"""What is to become of a mail whose time has come: what it was to say may not be so any more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keyhole.access.decision import Reason
from keyhole.access.mail import Mail, MailCode, MailKind
from keyhole.access.share import Share
from keyhole.gateway.post.rows import ENDS_SOON
from keyhole.sharing import visit

_CLOSED = {
    Reason.WITHDRAWN: "the share was withdrawn",
    Reason.EXPIRED: "the share has ended",
    Reason.LOCKED: "the link was locked",
    Reason.USED_UP: "the link was opened as often as it can be",
}
_NEW_LINK = "a new link was made"


class MailState(StrEnum):
    """How far a mail has come."""

    WAITING = "waiting"
    SENT = "sent"
    """Taken by the mail server; what becomes of it there is told by mail, to who it is from."""
    FAILED = "failed"
    """Refused for good, or not sent in its time."""
    DROPPED = "dropped"
    """Of no use any more before it could be sent."""


_DROPPED = f"{MailState.DROPPED}: "


def state(mail: Mail) -> MailState:
    """How far *mail* has come."""
    if mail.sent_at is not None:
        return MailState.SENT
    if mail.failed_at is None:
        return MailState.WAITING
    return MailState.DROPPED if (mail.problem or "").startswith(_DROPPED) else MailState.FAILED


def dropped(why: str) -> str:
    """The problem of a mail that is not sent, because of *why*."""
    return _DROPPED + why


def plain_problem(mail: Mail) -> str:
    """Why *mail* did not leave the last time, beside its state; empty for nothing."""
    return (mail.problem or "").removeprefix(_DROPPED)


def over(share: Share, now: datetime) -> str | None:
    """Why the link of *share* opens nothing any more, in words; None while it may."""
    closed = visit.closed(share, now)
    return None if closed is None else _CLOSED.get(closed)


@dataclass(frozen=True, slots=True)
class Send:
    """It is to be sent, and tried again until *until*."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Later:
    """Its time has not come after all, and comes at *due_at*."""

    due_at: datetime


@dataclass(frozen=True, slots=True)
class Drop:
    """It is of no use any more, and why in words."""

    why: str


@dataclass(frozen=True, slots=True)
class Beside:
    """What there is beside a mail: its share, the newest ``code`` of it that was not used, and all its ``mails``."""

    share: Share | None
    code: MailCode | None = None
    mails: Sequence[Mail] = ()


def fate(mail: Mail, beside: Beside, now: datetime) -> Send | Later | Drop:
    """What is to become of *mail* at *now*."""
    share = beside.share
    if share is None:
        return Drop("there is no such share")
    why = _why_not(mail, share, beside, now)
    if why is not None:
        return Drop(why)
    if mail.kind is not MailKind.ENDING:
        return Send(mail.give_up_at)
    soon = share.expires_at - ENDS_SOON
    return Later(soon) if now < soon else Send(share.expires_at)


def _why_not(mail: Mail, share: Share, beside: Beside, now: datetime) -> str | None:
    if mail.kind is MailKind.OPENED:  # it was, whatever has happened since
        return None
    if mail.kind is MailKind.ENDING and any(_replaces(other, mail) for other in beside.mails):
        return "the end of the share was changed, and another mail tells of it"
    if mail.kind is not MailKind.ENDING and mail.generation != share.generation:
        return _NEW_LINK
    if mail.kind is MailKind.CODE and not _good(beside.code, mail, now):
        return "the code was used, has ended, or was replaced by a newer one"
    if mail.kind is MailKind.LOCKED and visit.closed(share, now) is Reason.LOCKED:
        return None
    return over(share, now)


def _replaces(other: Mail, mail: Mail) -> bool:
    newer = (other.created_at, other.id) > (mail.created_at, mail.id)
    return other.kind is mail.kind and newer and other.failed_at is None


def _good(code: MailCode | None, mail: Mail, now: datetime) -> bool:
    return code is not None and code.nonce == mail.nonce and now < code.ends_at
