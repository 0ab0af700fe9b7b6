"""What can be ordered at the desk, checked before anything is asked or kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keyhole.access.condition import ConditionName
from keyhole.access.resource import Resource, is_uid
from keyhole.access.secret import Secret
from keyhole.access.share import Priors, Share, ShareChange, ShareKind
from keyhole.errors import Refused
from keyhole.gateway import passcode
from keyhole.language import LANGUAGES

WORDS_LONGEST = 1000
"""Characters of a note, a recipient or a name."""

MOST_RESOURCES = 100
MOST_VISITS = 1_000_000
LONGEST_NAME = 64
"""Characters of a PatientID or its issuer (LO, PS3.5 section 6.2)."""

SHORTEST = timedelta(minutes=1)
"""How long a share lasts at least when it is made."""

_WILD = frozenset("*?\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The conditions that a sender names, as they are said; what is not named is not asked for, or stays.

    ``paper``: the link gets a code that can be typed, or keeps the one it has.
    """

    passcode: Secret | None = None
    birth_date: bool = False
    mail_code: bool = False
    terms: bool = False
    paper: bool = False

    @property
    def names(self) -> frozenset[ConditionName]:
        """The conditions that are named."""
        said = (self.passcode is not None, self.birth_date, self.mail_code, self.terms)
        return frozenset(name for name, wanted in zip(ConditionName, said, strict=True) if wanted)

    def check(self) -> None:
        """Raise Refused for a passcode that is none, or would be guessed first."""
        if self.passcode is not None:
            passcode.check(self.passcode)


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class AskedPatient:
    """A patient as a sender names one; ``issuer`` None is the only one that the archive knows for this id."""

    id: str = field(repr=False)
    issuer: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what a search could take for more than one patient (PS3.4 section C.2.2.2.4)."""
        if not self.id.strip() or not self.id.isprintable() or not _WILD.isdisjoint(self.id):
            raise Refused("a patient is named by a whole PatientID", "one without * or ? or \\")
        if len(self.id) > LONGEST_NAME or len(self.issuer or "") > LONGEST_NAME:
            raise Refused("that is no PatientID", f"it has at most {LONGEST_NAME} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOrder:
    """What to share: ``resources`` are tuples of a StudyInstanceUID and, for one series, its SeriesInstanceUID.

    ``priors`` adds the other studies of the patient whom the studies are of, or of ``patient``, who is named in place
    of studies. ``forced``: openings are counted although nothing is asked. ``mail_to`` is the recipient's address,
    ``notify`` the sender's, ``language`` the recipient's.
    """

    archive: str
    resources: tuple[tuple[str, ...], ...]
    expires_at: datetime
    kind: ShareKind = ShareKind.VIEW
    not_before: datetime | None = None
    max_visits: int | None = None
    note: str | None = None
    recipient: str | None = None
    wishes: Wishes = NO_WISHES
    forced: bool = False
    priors: Priors = Priors.NONE
    patient: AskedPatient | None = None
    mail_to: str | None = None
    notify: str | None = None
    language: str | None = None

    def check(self, now: datetime, longest: timedelta) -> None:
        """Raise Refused for what cannot be shared by anybody at *now*, or for *longest* at most."""
        _check_times(self.not_before, self.expires_at)
        _check_end(self.expires_at, now, longest)
        if self.expires_at < now + SHORTEST:
            raise Refused("a share lasts a minute at least", "for example --for 1m")
        _check_start(self.not_before, self.expires_at)
        _check_words(self.note, self.recipient)
        _check_language(self.language)
        self.wishes.check()
        if self.wishes.mail_code and self.mail_to is None:
            raise nobody_to_mail()
        self._check_patient()
        if self.max_visits is not None and not 1 <= self.max_visits <= MOST_VISITS:
            raise Refused("a share needs at least one visit", "leave the number of visits out for no limit")

    def _check_patient(self) -> None:
        if self.patient is not None and (self.resources or self.priors is Priors.NONE):
            raise Refused(
                "a share is of studies or of a patient", "leave out the studies: all of the patient are shared"
            )
        if self.priors is not Priors.NONE and any(len(names) != 1 for names in self.resources):
            raise Refused("a series is shared without priors", "name the study, to share it with the patient's others")


def check_change(change: ShareChange, share: Share, ring_key: str, now: datetime, longest: timedelta) -> None:
    """Raise Refused when *share* cannot be changed so; *ring_key* is the one that new links are derived from."""
    if share.withdrawn_at is not None:
        raise Refused("this share was withdrawn", "share the study again: a withdrawal is for good")
    _check_times(change.not_before, change.expires_at)
    if change.expires_at is not None:
        _check_end(change.expires_at, now, longest)
    if change.expires_at is not None or change.not_before is not None:
        _check_start(change.not_before or share.not_before, change.expires_at or share.expires_at)
    _check_words(change.note, change.recipient)
    _check_language(change.language)
    if change.more_visits and share.max_visits is None:
        raise Refused("this share has no limit of visits", "it can be opened as often as wanted until its end")
    if not 0 <= change.more_visits <= MOST_VISITS - (share.max_visits or 0):
        raise Refused("that is no number of visits to add", "name one to add; withdraw the share to allow no more")
    if change.new_link_key not in (None, ring_key):
        raise Refused("links are made with the current key of the ring")


def named(order: ShareOrder) -> tuple[Resource, ...]:
    """The resources that *order* names, each once; Refused for none, for too many, and for what is no UID."""
    if not order.resources:
        raise Refused("a share needs a study", "name it by its StudyInstanceUID")
    check_number(len(order.resources))
    for names in order.resources:
        if len(names) not in (1, 2) or not all(map(is_uid, names)):
            raise Refused("that is not a UID", "a UID has digits and dots, at most 64 characters")
    return tuple(dict.fromkeys(Resource.of(order.archive, *names) for names in order.resources))


def nobody_to_mail() -> Refused:
    """What is wrong with a code that is mailed to nobody."""
    return Refused("a code is mailed to somebody", "say to whom: --mail-to ADDRESS")


def check_number(studies: int) -> None:
    """Raise Refused for more than a share holds."""
    if studies > MOST_RESOURCES:
        raise Refused(f"a share holds at most {MOST_RESOURCES} studies, and these are {studies}", "name those to share")


def _check_language(language: str | None) -> None:
    if language is not None and language not in LANGUAGES:
        raise Refused("that language is not spoken here", f"languages are {', '.join(LANGUAGES)}")


def _check_times(*times: datetime | None) -> None:
    if any(time is not None and time.utcoffset() is None for time in times):
        raise Refused("a time needs its zone", "for example 2026-03-01T12:00:00Z")


def _check_end(expires_at: datetime, now: datetime, longest: timedelta) -> None:
    if expires_at <= now:
        raise Refused("a share cannot end before it begins", "give a time to come, for example --for 7d")
    if expires_at > now + longest:
        days = longest / timedelta(days=1)
        raise Refused(f"a share may last {days:g} days at most here", "KEYHOLE_LONGEST_SHARE sets the limit")


def _check_start(not_before: datetime | None, expires_at: datetime) -> None:
    if not_before is not None and not_before >= expires_at:
        raise Refused("the share would end before it may be opened", "give an earlier start or a later end")


def _check_words(*texts: str | None) -> None:
    if any(text is not None and len(text) > WORDS_LONGEST for text in texts):
        raise Refused(f"notes and recipients have at most {WORDS_LONGEST} characters")
