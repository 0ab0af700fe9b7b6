"""The question put to the decision point, its answer, and what is written down of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NoReturn

from keyhole.access.grant import UNKNOWN, Lineage, StudyFilter, Target, covers
from keyhole.access.resource import Action, Level, Resource


class Reason(StrEnum):
    """Why something was refused or failed. The list is closed; each one is explained in the reference."""

    # who asks
    NO_CREDENTIAL = "no-credential"
    BAD_CREDENTIAL = "bad-credential"
    CONFLICTING_CREDENTIALS = "conflicting-credentials"
    VISIT_ENDED = "visit-ended"
    # what is asked
    UNKNOWN_ROUTE = "unknown-route"
    NOT_CANONICAL = "not-canonical"
    BAD_QUERY = "bad-query"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_ACCEPTABLE = "not-acceptable"
    UNSUPPORTED_MEDIA = "unsupported-media"
    # the decision
    CEILING = "ceiling"
    NO_GRANT = "no-grant"
    NOT_THERE = "not-there"
    # the state of what would have allowed it
    EXPIRED = "expired"
    NOT_YET = "not-yet"
    WITHDRAWN = "withdrawn"
    USED_UP = "used-up"
    WRONG_SECRET = "wrong-secret"  # noqa: S105 - a reason, not a secret
    ANSWERS_NEEDED = "answers-needed"
    WRONG_ANSWER = "wrong-answer"
    LOCKED = "locked"
    MAIL_OFF = "mail-off"
    TERMS_OFF = "terms-off"
    # circumstances
    TOO_MANY = "too-many"
    SLOW_READER = "slow-reader"
    SEARCH_TOO_BROAD = "search-too-broad"
    ARCHIVE_FAILED = "archive-failed"
    ARCHIVE_TIMEOUT = "archive-timeout"
    FOREIGN_ANSWER = "foreign-answer"
    STORE_FAILED = "store-failed"
    PROVIDER_FAILED = "provider-failed"
    FAULT = "fault"
    CROSS_SITE = "cross-site"


@dataclass(frozen=True, slots=True)
class Scope:
    """The targets where a subject may do one action, at one moment. What can be listed is what can be opened."""

    targets: frozenset[Target] = frozenset()

    def covers(self, resource: Resource, lineage: Lineage = UNKNOWN) -> bool:
        """Whether the whole of *resource* is in scope."""
        for target in self.targets:  # noqa: SIM110 - on the way of every image, a generator costs as much as the rest
            if covers(target, resource, lineage):
                return True
        return False

    def within(self, resource: Resource) -> Scope:
        """The part of the scope that lies in *resource*, as names tell it: all, some nodes below it, or nothing."""
        if self.covers(resource):
            return Scope(frozenset({resource}))
        return Scope(frozenset(target for target in self.targets if _lies_in(target, resource)))

    @property
    def empty(self) -> bool:
        """Whether nothing is in scope."""
        return not self.targets


def _lies_in(target: Target, resource: Resource) -> bool:
    if isinstance(target, StudyFilter):
        return resource.level is Level.ARCHIVE and resource.archive == target.archive
    return resource.contains(target)


@dataclass(frozen=True, slots=True)
class Ask:
    """The question whether *action* may be done to *resource*.

    ``divisible``: the answer is a list (a search, or the metadata of many) that can be cut to what is in scope, so
    that holding a part is enough to ask for the whole.
    """

    action: Action
    resource: Resource
    lineage: Lineage = UNKNOWN
    divisible: bool = False


class _Verdict:
    """A decision has no truth value, so that ``if decision:`` cannot let a refusal through."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        """Refuse to be a condition."""
        raise TypeError("match on the decision: its truth value is not its verdict")


@dataclass(frozen=True, slots=True)
class Allow(_Verdict):
    """Yes, for what lies in ``scope``: the resource asked for, or the part of it that the answer must be cut to."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Deny(_Verdict):
    """No, and why."""

    reason: Reason
    resource: Resource | None = None


Decision = Allow | Deny


class Event(StrEnum):
    """What a row of the trail is about."""

    ACCESS = "access"
    """The first access of a subject to a study; what follows is in COUNT rows."""
    COUNT = "count"
    REFUSAL = "refusal"
    SEARCH = "search"
    EXPORT = "export"
    """As ACCESS, where what leaves are whole files: what a recipient keeps."""
    SHARE_CREATED = "share-created"
    SHARE_CHANGED = "share-changed"
    SHARE_WITHDRAWN = "share-withdrawn"
    SHARE_LOCKED = "share-locked"
    """One wrong answer too many: the link opens nothing until there is a new one."""
    LINK_SHOWN = "link-shown"
    CODE_ASKED = "code-asked"
    """Somebody who holds a link asked for the code that is mailed."""
    VISIT_PREPARED = "visit-prepared"
    VISIT_BEGUN = "visit-begun"
    VISIT_ENDED = "visit-ended"
    KEY_CREATED = "key-created"
    KEY_REVOKED = "key-revoked"
    ASKED = "asked"
    """An application asked whether somebody may do something; the row's reason is that of a refusal."""
    GRANTS_READ = "grants-read"
    """Somebody looked who can reach a study."""
    TRAIL_READ = "trail-read"
    RING_CHANGED = "ring-changed"
    """The keys that links are derived from: rotated, prepared or pruned."""
    MAIL_SENT = "mail-sent"
    """A mail, each time before it is handed over to the mail server."""
    PROFILE_GIVEN = "profile-given"
    """What a user may do in Orthanc was told to it, which decides by that."""
    ROLES_CHANGED = "roles-changed"
    """What roles may do in Orthanc Explorer 2."""
    BACKUP = "backup"
    RESTORED = "restored"
    FAILURE = "failure"
    """The archive or the store failed an allowed request."""
    STARTED = "started"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that happened, as the trail keeps it.

    ``personal`` holds values about persons (``address``, ``agent``, ``recipient``, ``note``, ``mail_to``, ``notify``,
    ``patient``): they are kept beside the chain and can be erased without breaking it. ``detail`` holds everything else
    and is part of the chain: no secret and nothing about a person goes there.
    """

    at: datetime
    event: Event
    subject: str
    archive: str | None = None
    study: str | None = None
    series: str | None = None
    action: Action | None = None
    reason: Reason | None = None
    share: str | None = None
    visit: str | None = None
    images: int = 0
    bytes: int = 0
    times: int = 1
    detail: Mapping[str, str] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)


def studies_of(scope: Scope, archive: str) -> Iterable[str]:
    """The StudyInstanceUIDs that *scope* names in *archive*, in order. Filters, patients and archives name none."""
    return sorted(
        {
            target.path[0]
            for target in scope.targets
            if isinstance(target, Resource) and target.archive == archive and target.level >= Level.STUDY
        }
    )
