"""Who can reach a study, as schemas."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from keyhole.access.resource import Action
from keyhole.access.share import ApiKey, Share, Visit
from keyhole.gateway.audit_desk import OpenShare, WhoCan
from keyhole.web.shapes import ArchiveName, Taken
from keyhole.web.share_shapes import State, state


class WhoCanQuery(Taken):
    """Who can do what."""

    archive: ArchiveName | None = Field(default=None, description="the default archive when left out")
    action: Action = Field(default=Action.RETRIEVE)


class RunningVisit(BaseModel):
    """An opened share, or images that staff opened for themselves."""

    id: str
    subject: str = Field(description="the share, or who of staff made it")
    begun_at: datetime | None
    seen_at: datetime | None = Field(description="in use last, some seconds late")
    ends_at: datetime = Field(description="at the latest")

    @classmethod
    def of(cls, visit: Visit) -> Self:
        """*visit* for an auditor."""
        return cls(
            id=visit.id,
            subject=visit.subject,
            begun_at=visit.begun_at,
            seen_at=visit.seen_at,
            ends_at=visit.ends_at,
        )


class ReachingShare(BaseModel):
    """A share that reaches the study."""

    id: str
    state: State = Field(
        description="whether it can be opened: what is used up still serves the visits that are running"
    )
    creator: str
    recipient: str | None
    note: str | None
    expires_at: datetime
    visits_left: int | None = Field(description="how often it can still be opened; null for no limit")
    series: tuple[str, ...] = Field(description="only these of the study; all of it when empty")
    visits: tuple[RunningVisit, ...] = Field(description="those that are running")

    @classmethod
    def of(cls, each: OpenShare, found: WhoCan) -> Self:
        """*each* of what was *found*."""
        share = each.share
        return cls(
            id=share.id,
            state=state(share, found.at),
            creator=share.creator,
            recipient=share.recipient,
            note=share.note,
            expires_at=share.expires_at,
            visits_left=None if share.max_visits is None else share.max_visits - share.visits,
            series=_series(share, found.study.study),
            visits=tuple(map(RunningVisit.of, each.visits)),
        )


def _series(share: Share, study: str | None) -> tuple[str, ...]:
    of_study = [node for node in share.resources if node.study == study]
    if any(node.series is None for node in of_study):
        return ()
    return tuple(node.series for node in of_study if node.series is not None)


class ReachingKey(BaseModel):
    """An API key whose roles reach the study."""

    id: str
    name: str
    roles: tuple[str, ...]
    expires_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """*key* for an auditor."""
        return cls(id=key.id, name=key.name, roles=tuple(sorted(key.roles)), expires_at=key.expires_at)


class Reaching(BaseModel):
    """Everybody who can do this to the study, or to a part of it, at this moment; and through what."""

    archive: str
    study: str
    action: Action
    at: datetime
    shares: tuple[ReachingShare, ...] = Field(description="newest first")
    visits: tuple[RunningVisit, ...] = Field(description="of staff, which belong to no share")
    keys: tuple[ReachingKey, ...]

    @classmethod
    def of(cls, found: WhoCan) -> Self:
        """What was *found*."""
        return cls(
            archive=found.study.archive,
            study=found.study.path[0],
            action=found.action,
            at=found.at,
            shares=tuple(ReachingShare.of(each, found) for each in found.shares),
            visits=tuple(map(RunningVisit.of, found.visits)),
            keys=tuple(map(ReachingKey.of, found.keys)),
        )
