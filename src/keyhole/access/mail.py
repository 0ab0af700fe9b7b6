"""Mail that waits to be sent, and the codes that are mailed, as values.

No secret is in them: links and codes are derived anew, from the key ring, at the moment of sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MailKind(StrEnum):
    """What a mail is about."""

    LINK = "link"
    """The link of a share, to its recipient."""
    CODE = "code"
    """A one-time code for a link, to its recipient; never together with the link."""
    OPENED = "opened"
    """To the sender: the link was opened for the first time."""
    LOCKED = "locked"
    """To the sender: the link is locked after too many wrong answers."""
    ENDING = "ending"
    """To the sender: the share ends soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to one address.

    ``to`` is an address alone, without a name. ``language`` is a BCP 47 tag, None for the site's own. ``due_at`` is
    when it is sent first or tried next, and ``give_up_at`` when it is not tried again. ``nonce``: of the code it
    brings. ``problem`` says in words why it did not leave the last time. At most one of ``sent_at`` and ``failed_at``
    is set: neither while it waits.
    """

    id: str
    share: str
    generation: int
    kind: MailKind
    to: str
    created_at: datetime
    due_at: datetime
    give_up_at: datetime
    language: str | None = None
    nonce: str | None = None
    tries: int = 0
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCode:
    """A one-time code that was mailed, good until ``ends_at``, for the newest link of its share.

    The six digits are derived from the ring, the share, its generation and ``nonce``. ``ticket`` is SHA-256 of what
    the browser keeps that asked for it: elsewhere the code is worth nothing. The newest code of a share replaces those
    before.
    """

    share: str
    generation: int
    nonce: str
    ticket: bytes
    created_at: datetime
    ends_at: datetime
