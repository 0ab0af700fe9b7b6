"""What comes of it when somebody shows a link: values, which pages and programs are told from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from keyhole.access.condition import ConditionName
from keyhole.access.share import ShareKind, Visit
from keyhole.sharing import visit as visiting
from keyhole.sharing.condition import Terms
from keyhole.sharing.link import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a link is, for whoever has shown its secret. Nothing about what it opens.

    ``mail_to`` is where a code would be mailed, masked; ``terms`` are those to accept; ``language`` is the one that the
    sender chose for the recipient; ``tries_left`` how many wrong answers there may still be.
    """

    expires_at: datetime
    visits_left: int | None = None
    needs: tuple[ConditionName, ...] = ()
    allows: ShareKind = ShareKind.VIEW
    mail_to: str | None = None
    terms: Terms | None = None
    language: str | None = None
    tries_left: int | None = None


@dataclass(frozen=True, slots=True)
class NotYet:
    """The right secret, too early."""

    not_before: datetime


@dataclass(frozen=True, slots=True)
class Needed:
    """The right secret, and not all that the link asks was answered. Nothing was counted."""

    names: tuple[ConditionName, ...]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Everything was answered, and something of it wrongly. It was counted."""

    tries_left: int


@dataclass(frozen=True, slots=True)
class Wait:
    """The right secret, too often: to be tried again after ``time``."""

    time: timedelta


@dataclass(frozen=True, slots=True)
class CodeSent:
    """A code is on its way to ``mail_to``, an address masked; ``ticket`` is for the browser that asked to keep."""

    mail_to: str
    ends_at: datetime
    ticket: Secret


@dataclass(frozen=True, slots=True)
class Opened:
    """A visit that has begun, with the secret that its cookie or bearer holds."""

    visit: Visit
    secret: Secret

    @property
    def bearer(self) -> str:
        """For programs."""
        return visiting.bearer(self.visit, self.secret)
