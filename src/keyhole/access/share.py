"""What the store keeps about sharing: shares, visits and API keys, as values, and the grants that follow from them.

The rules about links and visits are in :mod:`keyhole.sharing`; these are the rows they work on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from keyhole.access.condition import NO_CONDITIONS, Conditions
from keyhole.access.grant import Grant
from keyhole.access.resource import Action, Level, Resource
from keyhole.access.subject import Kind, Subject


class ShareKind(StrEnum):
    """What a share allows."""

    VIEW = "view"
    VIEW_RENDERED = "view-rendered"
    """Pictures only, in the built-in viewer: neither files nor pixel data leave."""
    DOWNLOAD = "download"


ALLOWS = MappingProxyType(
    {
        ShareKind.VIEW: frozenset({Action.SEARCH, Action.RETRIEVE, Action.RENDER}),
        ShareKind.VIEW_RENDERED: frozenset({Action.SEARCH, Action.RENDER}),
        ShareKind.DOWNLOAD: frozenset({Action.SEARCH, Action.RETRIEVE, Action.RENDER, Action.DOWNLOAD}),
    }
)
"""The actions of each kind of share."""


class Deidentification(StrEnum):
    """How images are de-identified before they leave. Only ``none`` exists yet, and nothing else is accepted."""

    NONE = "none"


class Origin(StrEnum):
    """Where a share was made."""

    KEYHOLE = "keyhole"
    PLUGIN = "plugin"
    """By Orthanc's Authorization plugin, for somebody it does not name."""
    LEGACY = "legacy"
    """By the service that answered the plugin before; known since its token was first shown."""


class Priors(StrEnum):
    """Which studies of the patient a share holds besides those that were named when it was made."""

    NONE = "none"
    PRESENT = "present"
    """All that the archive had when the share was made."""
    FUTURE = "future"
    """Also those that come later: looked for whenever the link is opened."""


@dataclass(frozen=True, slots=True)
class PatientName:
    """A patient as DICOM names one: PatientID (0010,0020) and IssuerOfPatientID (0010,0021), which may be empty."""

    id: str = field(repr=False)
    issuer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A grant to whoever holds a link.

    ``id`` is public: 16 characters of lower-case base32. The link's secret is derived from ``key_id``, the archive,
    the id and ``generation``, and is never stored. ``visits`` counts openings so far; ``max_visits`` None is no limit.

    ``token_type`` is what Orthanc's plugin asked for, when it did; ``bearer``: its token opens the share there, beside
    the link. ``orthanc_ids`` are Orthanc's names of ``resources``, in their order, as far as they are known.

    ``attempts`` counts answers to ``conditions`` that were taken up since the link was made, ``passed`` those that were
    right; both only grow, until a new link begins them at zero. What is under way counts as wrong until it is known to
    be right. ``tried_at`` is when the last was taken up, ``locked_at`` when there had been one wrong answer too many.

    ``mail_to`` is the recipient's address and ``notify`` the sender's, each alone; ``language`` is the recipient's (a
    BCP 47 tag). ``paper`` is a keyed digest of the code for paper, when there is one. ``patient`` is whose studies
    ``priors`` adds; None where it adds none.
    """

    id: str
    archive: str
    resources: tuple[Resource, ...]
    kind: ShareKind
    creator: str
    created_at: datetime
    expires_at: datetime
    key_id: str
    generation: int = 1
    not_before: datetime | None = None
    max_visits: int | None = None
    visits: int = 0
    first_opened_at: datetime | None = None
    last_opened_at: datetime | None = None
    withdrawn_at: datetime | None = None
    recipient: str | None = None
    note: str | None = None
    deidentification: Deidentification = Deidentification.NONE
    origin: Origin = Origin.KEYHOLE
    token_type: str | None = None
    bearer: bool = False
    orthanc_ids: tuple[str, ...] = ()
    conditions: Conditions = NO_CONDITIONS
    attempts: int = 0
    passed: int = 0
    tried_at: datetime | None = None
    locked_at: datetime | None = None
    mail_to: str | None = None
    notify: str | None = None
    language: str | None = None
    paper: bytes | None = field(default=None, repr=False)
    priors: Priors = Priors.NONE
    patient: PatientName | None = None

    def __post_init__(self) -> None:
        """Refuse a share of nothing, of whole archives or patients, or across archives."""
        if not self.resources:
            raise ValueError("a share of nothing")
        if any(r.archive != self.archive or r.level not in (Level.STUDY, Level.SERIES) for r in self.resources):
            raise ValueError("a share holds studies or series of one archive")
        if self.max_visits is not None and self.max_visits < 1:
            raise ValueError("a share that can never be opened")
        if self.orthanc_ids and len(self.orthanc_ids) != len(self.resources):
            raise ValueError("Orthanc's names are those of the resources, one for each")
        if self.bearer and self.conditions:
            raise ValueError("a token that opens a share by itself would go around its conditions")
        if self.conditions.mail_code and self.mail_to is None:
            raise ValueError("a code is mailed to somebody")
        if (self.patient is None) is not (self.priors is Priors.NONE):
            raise ValueError("priors are those of a patient")

    @property
    def principal(self) -> str:
        """The name that whoever holds the link acts as."""
        return f"share:{self.id}"

    def as_subject(self) -> Subject:
        """Whoever shows the share's token to Orthanc's plugin, as one who asks."""
        return Subject(Kind.TOKEN, self.principal, frozenset({self.principal}))

    def grants(self) -> tuple[Grant, ...]:
        """The grants that the share is."""
        return tuple(
            Grant(
                principal=self.principal,
                actions=ALLOWS[self.kind],
                target=resource,
                cause=self.principal,
                not_before=self.not_before,
                expires_at=self.expires_at,
                withdrawn_at=self.withdrawn_at,
            )
            for resource in self.resources
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChange:
    """What to change of a share, in one step; what is None stays.

    ``more_visits`` raises the limit (a share without limit keeps none); ``new_link_key`` ends the present link and
    derives the next generation from that key, begins the count of attempts anew and opens the lock; ``withdrawn_at``
    never moves an earlier withdrawal. ``conditions`` replace those before, as a whole, when those are still
    ``instead_of`` (of two who add some at once, neither takes away what the other added), and ``paper`` the code for
    paper: both are derived from the link's key, so that who makes a new link gives them anew or loses ``paper``.
    ``resources`` replace those before.
    """

    expires_at: datetime | None = None
    not_before: datetime | None = None
    more_visits: int = 0
    recipient: str | None = None
    note: str | None = None
    new_link_key: str | None = None
    withdrawn_at: datetime | None = None
    conditions: Conditions | None = None
    instead_of: Conditions | None = None
    mail_to: str | None = None
    notify: str | None = None
    language: str | None = None
    paper: bytes | None = field(default=None, repr=False)
    resources: tuple[Resource, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One recipient's opened share, or the images that staff opened for themselves.

    ``id`` is public and stands in the path; ``digest`` is SHA-256 of the secret value that the cookie or the bearer
    holds. A visit without ``share`` belongs to ``subject`` (``key:…``, ``user:…``) and grants ``resources`` itself.
    ``begun_at`` None: prepared by an application and not redeemed yet; ``digest`` is then that of the code.
    """

    id: str
    digest: bytes
    subject: str
    archive: str
    created_at: datetime
    ends_at: datetime
    share: str | None = None
    resources: tuple[Resource, ...] = ()
    limited: bool = False
    begun_at: datetime | None = None
    seen_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def principal(self) -> str:
        """The name the visit acts as besides its share's."""
        return f"visit:{self.id}"

    def as_subject(self) -> Subject:
        """The visit as one who asks."""
        names = {self.principal} if self.share is None else {self.principal, f"share:{self.share}"}
        return Subject(Kind.VISIT, self.principal, frozenset(names))

    def grants(self) -> tuple[Grant, ...]:
        """The grants of a visit that has no share."""
        return tuple(
            Grant(
                principal=self.principal,
                actions=ALLOWS[ShareKind.VIEW],
                target=resource,
                cause=f"visit of {self.subject}",
                expires_at=self.ends_at,
                withdrawn_at=self.ended_at,
            )
            for resource in self.resources
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A program's credential. ``digest`` is SHA-256 of its secret value; ``ceiling`` is what it may ever do."""

    id: str
    name: str
    digest: bytes
    roles: frozenset[str]
    ceiling: frozenset[Action]
    creator: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def principal(self) -> str:
        """The name the key acts as."""
        return f"key:{self.id}"

    def live(self, now: datetime) -> bool:
        """Whether the key opens anything at *now*."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def as_subject(self) -> Subject:
        """The key as one who asks, with its roles."""
        names = {self.principal, *(f"role:{role}" for role in self.roles)}
        return Subject(Kind.API_KEY, self.principal, frozenset(names), self.ceiling)
