"""What was allowed: a principal may do actions to a target for a time. Nothing denies but the absence of a grant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keyhole.access.resource import Action, Level, Resource
from keyhole.access.subject import is_principal


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is known about the study that a resource belongs to. Unknown facts match no grant."""

    patient: Resource | None = None
    owner: str | None = None
    labels: frozenset[str] = frozenset()
    attributes: frozenset[tuple[str, str]] = frozenset()
    """Pairs of an attribute's tag (8 upper-case hex digits) and its exact value."""


UNKNOWN = Lineage()


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Every study of one archive that has this owner, this label and these attributes; what is None does not matter."""

    archive: str
    owner: str | None = None
    label: str | None = None
    attributes: frozenset[tuple[str, str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a filter that filters nothing: that is the archive, and must be said so."""
        if self.owner is None and self.label is None and not self.attributes:
            raise ValueError("an empty filter would be the whole archive: grant that by its name")

    def matches(self, lineage: Lineage) -> bool:
        """Whether a study with *lineage* is meant."""
        return (
            (self.owner is None or self.owner == lineage.owner)
            and (self.label is None or self.label in lineage.labels)
            and self.attributes <= lineage.attributes
        )


Target = Resource | StudyFilter


def covers(target: Target, resource: Resource, lineage: Lineage) -> bool:
    """Whether *resource*, with what is known of its study, lies at or below *target*."""
    if isinstance(target, StudyFilter):
        return target.archive == resource.archive and resource.level >= Level.STUDY and target.matches(lineage)
    if target.contains(resource):
        return True
    return target.level is Level.PATIENT and resource.level >= Level.STUDY and lineage.patient == target


def _aware(*times: datetime | None) -> None:
    if any(time is not None and time.utcoffset() is None for time in times):
        raise ValueError("times are aware UTC")


@dataclass(frozen=True, slots=True)
class Grant:
    """*principal* may do *actions* to *target* from ``not_before`` until ``expires_at``, unless withdrawn.

    ``cause`` says where the grant comes from (a share, a role, an administrator), so that each one can be listed with
    its cause and withdrawn there.
    """

    principal: str
    actions: frozenset[Action]
    target: Target
    cause: str
    not_before: datetime | None = None
    expires_at: datetime | None = None
    withdrawn_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a grant to nobody, of nothing, or at a time without a zone."""
        if not is_principal(self.principal):
            raise ValueError(f"not a principal: {self.principal!r}")
        if not self.actions:
            raise ValueError("a grant of nothing")
        _aware(self.not_before, self.expires_at, self.withdrawn_at)

    def live(self, now: datetime) -> bool:
        """Whether the grant holds at *now*: from ``not_before`` on, before ``expires_at``, and not withdrawn."""
        return (
            self.withdrawn_at is None
            and (self.not_before is None or self.not_before <= now)
            and (self.expires_at is None or now < self.expires_at)
        )
