"""What a recipient must show before a visit begins, as it is kept with a share.

How answers are held to it is in :mod:`keyhole.sharing.condition`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum


class ConditionName(StrEnum):
    """The conditions there are, in the order in which they are asked."""

    PASSCODE = "passcode"
    BIRTH_DATE = "birth-date"
    MAIL_CODE = "mail-code"
    TERMS = "terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is asked, all of it. Nothing here lets anybody answer: a stolen database holds hashes and keyed digests.

    ``passcode`` is an argon2id hash in its usual text form. ``birth_date`` is a keyed digest of the share's id and the
    patient's day (YYYYMMDD). ``mail_code`` sends a one-time code to the share's ``mail_to``. ``terms``: the site's
    text, as it is on that day, must be accepted.
    """

    passcode: str | None = field(default=None, repr=False)
    birth_date: bytes | None = field(default=None, repr=False)
    mail_code: bool = False
    terms: bool = False

    @property
    def names(self) -> tuple[ConditionName, ...]:
        """The conditions that are asked, in their order."""
        # An empty hash or digest asks as well: nothing meets it.
        return tuple(name for name, kept in zip(ConditionName, self._kept(), strict=True) if kept not in {None, False})

    def _kept(self) -> tuple[object, ...]:
        return tuple(getattr(self, each.name) for each in fields(self))

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self.names)


NO_CONDITIONS = Conditions()


@dataclass(frozen=True, slots=True)
class Answered:
    """That a share's conditions were met: which ones, and the nonce of the mailed code, when one was asked for."""

    conditions: Conditions
    code: str | None = None
