"""Mail as it is put into the queue. Pure: links and codes are derived when it is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from keyhole.access.mail import Mail, MailKind
from keyhole.access.secret import new_id
from keyhole.access.share import Share
from keyhole.errors import Refused

LINKS_LAST = timedelta(hours=24)
NOTICES_LAST = timedelta(days=7)
"""How long a mail is tried, from when it is due first. A code's lasts as long as the code."""

ENDS_SOON = timedelta(hours=24)
"""How long before its end the sender is told of it."""


def link_mail(share: Share, now: datetime, to: str | None = None) -> Mail:
    """The link of *share* for its recipient, or for the checked address *to*; Refused without either."""
    to = to or share.mail_to
    if to is None:
        raise Refused("this share has nobody to mail to", "name the recipient's address: --to name@clinic.example")
    return replace(_mail(share, MailKind.LINK, to, now, now + LINKS_LAST), language=share.language)


def code_mail(share: Share, nonce: str, now: datetime, ends_at: datetime) -> Mail:
    """The code made of *nonce* for the share's recipient, of use until *ends_at*."""
    if share.mail_to is None:
        raise ValueError("a code is mailed to somebody")
    mail = _mail(share, MailKind.CODE, share.mail_to, now, ends_at)
    return replace(mail, language=share.language, nonce=nonce)


def opened_mail(share: Share, now: datetime) -> tuple[Mail, ...]:
    """The notice of the first opening, for the sender who wants one."""
    return _notice(share, MailKind.OPENED, now, now)


def locked_mail(share: Share, now: datetime) -> tuple[Mail, ...]:
    """The notice of the lock, for the sender who wants one."""
    return _notice(share, MailKind.LOCKED, now, now)


def ending_mail(share: Share, now: datetime) -> tuple[Mail, ...]:
    """The notice before the end, for the sender who wants one; none for a share that is short anyway."""
    due = share.expires_at - ENDS_SOON
    return _notice(share, MailKind.ENDING, now, due) if due > now else ()


def _notice(share: Share, kind: MailKind, now: datetime, due: datetime) -> tuple[Mail, ...]:
    """In the site's own language: the share's is its recipient's."""
    if share.notify is None:
        return ()
    return (replace(_mail(share, kind, share.notify, now, due + NOTICES_LAST), due_at=due),)


def _mail(share: Share, kind: MailKind, to: str, now: datetime, give_up_at: datetime) -> Mail:
    return Mail(
        id=new_id(),
        share=share.id,
        generation=share.generation,
        kind=kind,
        to=to,
        created_at=now,
        due_at=now,
        give_up_at=give_up_at,
    )
