"""What a recipient must show before a visit begins, held to what was asked. Pure (recipients' fact sheet, 4 to 8).

A link's secret comes first: nothing here is looked at before it was right. Then everything that is asked must be
answered, which is not counted, and then all of it must be right, which is: for the life of the link.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from keyhole.access.condition import ConditionName, Conditions
from keyhole.access.decision import Reason
from keyhole.access.mail import MailCode
from keyhole.access.share import Share
from keyhole.sharing import paper
from keyhole.sharing.link import Ring

SHORTEST_PASSCODE = 8
LONGEST_PASSCODE = 64
CODE_LASTS = timedelta(minutes=10)
UNDER_WAY = timedelta(minutes=1)
"""An attempt that was taken up so long ago will never be right: whoever had it in hand is gone."""

_LONGEST_SENT = 256
"""Characters of a passcode that are looked at: what is longer is none, however it is spelt."""
_DIGITS = 6
_CODE = re.compile(r"[0-9]{6}")
_TICKET = re.compile(r"[a-z2-7]{32}")
_DAY = re.compile(r"[0-9]{8}")
_OLDEST = 130
_PLACEHOLDERS = frozenset({date(1, 1, 1), date(1899, 12, 30), date(1899, 12, 31), date(1900, 1, 1), date(1970, 1, 1)})
"""Days that stand for none: where systems begin to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What somebody answered, as it was sent; None is not answered. Nothing of it shows itself.

    ``birth_date`` is YYYYMMDD. ``ticket`` is what the browser keeps that asked for the mailed code; ``terms`` the
    version of those that were shown and accepted.
    """

    passcode: str | None = field(default=None, repr=False)
    birth_date: str | None = field(default=None, repr=False)
    mail_code: str | None = field(default=None, repr=False)
    ticket: str | None = field(default=None, repr=False)
    terms: str | None = field(default=None, repr=False)


NO_ANSWERS = Answers()


@dataclass(frozen=True, slots=True)
class Terms:
    """The site's terms by language (BCP 47 tag), English among them."""

    texts: Mapping[str, str]

    @property
    def version(self) -> str:
        """Names these very texts: any change of any of them makes another."""
        whole = hashlib.sha256()
        for language, text in sorted(self.texts.items()):
            whole.update(b"%d %s %d %s" % (len(language), language.encode(), len(text), text.encode()))
        return whole.hexdigest()[:12]

    def text(self, language: str) -> tuple[str, str]:
        """The text, and the language that it is in: English where there is none in *language*."""
        return (self.texts[language], language) if language in self.texts else (self.texts["en"], "en")


def missing(conditions: Conditions, answers: Answers, terms: str | None) -> tuple[ConditionName, ...]:
    """Which of *conditions* nobody has tried to answer; *terms* is their present version.

    So is what could be right for nobody: a day that is none, a code that is not six digits or was asked for by another
    browser, terms that have changed meanwhile. A typing error costs nothing then, and tells nobody anything.
    """
    tried = {
        ConditionName.PASSCODE: bool((answers.passcode or "").strip()),
        ConditionName.BIRTH_DATE: _day(answers.birth_date) is not None,
        ConditionName.MAIL_CODE: digits(answers.mail_code) is not None and _is_ticket(answers.ticket),
        ConditionName.TERMS: terms is not None and answers.terms == terms,
    }
    return tuple(name for name in conditions.names if not tried[name])


# -- passcodes


def normalised_passcode(text: str) -> str | None:
    """*text* as it is hashed: NFKC, without white space around; None for what can be no passcode.

    What is spelt like a generated one is read as forgivingly as a code on paper is.
    """
    if len(text) > _LONGEST_SENT:
        return None
    spelt = paper.parse_code(text)
    if spelt is not None:
        return spelt.reveal()
    plain = unicodedata.normalize("NFKC", text).strip()
    return plain if SHORTEST_PASSCODE <= len(plain) <= LONGEST_PASSCODE and _encodes(plain) else None


def _encodes(text: str) -> bool:
    """Whether UTF-8 can say *text*: JSON can hold halves of letters."""
    return not any(unicodedata.category(letter) == "Cs" for letter in text)


# -- birth dates


def usable_birth_date(text: str, today: date) -> str | None:
    """The day that *text* (DICOM's YYYYMMDD) is, if a person can have been born on it; None when it proves nothing.

    Refused: nothing, a part of a date, days that there are not, placeholders, and what lies in the future.
    """
    day = _day(text)
    if day is None:
        return None
    born = _of_day(day)
    plausible = born is not None and born not in _PLACEHOLDERS and today.year - _OLDEST <= born.year and born <= today
    return day if plausible else None


def _day(text: str | None) -> str | None:
    """A day of the calendar as YYYYMMDD."""
    day = (text or "").strip(" \0")
    return day if _DAY.fullmatch(day) and _of_day(day) is not None else None


def _of_day(day: str) -> date | None:
    try:
        return date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return None


def birth_date_digest(ring: Ring, key_id: str, share_id: str, day: str) -> bytes:
    """What is kept of *day* (YYYYMMDD) for one share; KeyError when the ring lacks *key_id*."""
    return ring.derive("birth date", share_id, day, key_id=key_id)


def birth_date_right(share: Share, answers: Answers, ring: Ring) -> bool:
    """Whether the day is the one that was kept with *share*."""
    try:
        answered = birth_date_digest(ring, share.key_id, share.id, _day(answers.birth_date) or "")
    except KeyError:
        return False
    return share.conditions.birth_date is not None and hmac.compare_digest(answered, share.conditions.birth_date)


# -- mailed codes


def mail_code(ring: Ring, key_id: str, share_id: str, generation: int, nonce: str) -> str:
    """The six digits that are mailed; KeyError when the ring lacks *key_id*."""
    number = int.from_bytes(ring.derive("mail code", share_id, str(generation), nonce, key_id=key_id))
    return f"{number % 10**_DIGITS:0{_DIGITS}}"


def digits(text: str | None) -> str | None:
    """The six digits that *text* spells, blanks and dashes forgiven; None when it spells none."""
    plain = unicodedata.normalize("NFKC", (text or "")[:_LONGEST_SENT])
    found = re.sub(r"[\s\u2010-\u2015-]", "", plain)
    return found if _CODE.fullmatch(found) else None


def ticket_digest(ticket: str) -> bytes:
    """What is kept of the *ticket* of a mailed code."""
    return hashlib.sha256(ticket.encode()).digest()


def _is_ticket(text: str | None) -> bool:
    return text is not None and _TICKET.fullmatch(text) is not None


def mail_code_right(share: Share, code: MailCode | None, answers: Answers, ring: Ring, now: datetime) -> bool:
    """Whether the digits are those of *code*, shown in time by the browser that asked, for this very link."""
    shown, ticket = digits(answers.mail_code) or "", answers.ticket if _is_ticket(answers.ticket) else None
    if code is None or ticket is None:
        return False
    try:
        sent = mail_code(ring, share.key_id, share.id, share.generation, code.nonce)
    except KeyError:
        return False
    right = hmac.compare_digest(sent.encode(), shown.encode())
    asked_here = hmac.compare_digest(ticket_digest(ticket), code.ticket)
    of_this_link = (code.share, code.generation) == (share.id, share.generation)
    # A clock that was set back gives no more time.
    in_time = code.created_at <= now < min(code.ends_at, code.created_at + CODE_LASTS)
    return all((right, asked_here, of_this_link, in_time))


def masked(address: str) -> str:
    """A mail address as whoever reads its mail knows it again: ``m•••@example.org``."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1] if len(local) > 1 else ''}•••@{domain}"


# -- how often


class Happening(StrEnum):
    """What can happen to a link that asks something."""

    TAKEN_UP = "taken-up"
    """Somebody has answered everything, and nothing of it was checked yet."""
    RIGHT = "right"
    WRONG = "wrong"
    NEW_LINK = "new-link"


@dataclass(frozen=True, slots=True)
class Tries:
    """How often what a link asks was answered: as a share keeps it (:class:`keyhole.access.share.Share`)."""

    attempts: int = 0
    passed: int = 0
    tried_at: datetime | None = None
    locked_at: datetime | None = None

    @classmethod
    def of(cls, share: Share) -> Tries:
        """Those of *share*."""
        return cls(share.attempts, share.passed, share.tried_at, share.locked_at)

    def left(self, most: int) -> int:
        """How many wrong answers there may still be, of *most*; what is under way counts as one."""
        return 0 if self.locked_at is not None else max(0, most - (self.attempts - self.passed))


def after(tries: Tries, what: Happening, most: int, now: datetime) -> tuple[Tries, Reason | None]:
    """*tries* after *what* happened at *now*, and why an attempt was not taken up or, right, opens nothing.

    What every store does, in one atomic step each. The count never goes down but by a new link.
    """
    match what:
        case Happening.NEW_LINK:
            return Tries(), None
        case _ if tries.locked_at is not None:
            return tries, None if what is Happening.WRONG else Reason.LOCKED
        case Happening.TAKEN_UP:
            return _taken_up(tries, most, now)
        case Happening.RIGHT:
            return replace(tries, passed=tries.passed + 1), None
        case _:
            return (replace(tries, locked_at=now) if tries.left(most) == 0 else tries), None


def _taken_up(tries: Tries, most: int, now: datetime) -> tuple[Tries, Reason | None]:
    if tries.left(most) > 0:
        return replace(tries, attempts=tries.attempts + 1, tried_at=max(tries.tried_at or now, now)), None
    if tries.tried_at is not None and now < tries.tried_at + UNDER_WAY:
        return tries, Reason.TOO_MANY
    return replace(tries, locked_at=now), Reason.LOCKED
