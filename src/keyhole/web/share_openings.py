"""What each opening of a share came to: when, from where, what was looked at and what was downloaded.

Read from the rows of the share's timeline, which hold it all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.share import Share
from keyhole.web.shapes import TrailRow

_LEFT = (Event.ACCESS, Event.EXPORT, Event.COUNT)
_SEARCHES = (Action.SEARCH, None)


@dataclass
class Amount:
    """How much of one study."""

    images: int = 0
    bytes: int = 0


@dataclass
class Opened:
    """A visit, as far as the trail has told of it."""

    begun: Record
    erased: bool
    ended_at: datetime | None = None
    saw: dict[str, Amount] = field(default_factory=dict)
    downloaded: dict[str, Amount] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Add what *record* tells."""
        if record.event is Event.VISIT_ENDED:
            self.ended_at = record.at
        if record.event not in _LEFT or record.action in _SEARCHES or record.study is None or record.reason is not None:
            return
        kept = record.action is Action.DOWNLOAD
        if kept and record.event is Event.ACCESS:
            return  # who only asks how long a download would be has not made one
        amount = (self.downloaded if kept else self.saw).setdefault(record.study, Amount())
        amount.images += record.images
        amount.bytes += record.bytes


def opened(rows: Iterable[TrailRow]) -> dict[str, Opened]:
    """The visits that *rows* tell of, by id, oldest first."""
    visits: dict[str, Opened] = {}
    for row in rows:
        record = row.record
        if record.visit is None:
            continue
        if record.event is Event.VISIT_BEGUN:
            visits[record.visit] = Opened(record, row.erased)
        elif record.visit in visits:
            visits[record.visit].take(record)
    return visits


class SeenStudy(BaseModel):
    """How much of one study left."""

    study: str
    images: int = Field(description="how many images or frames, as far as they can be counted")
    bytes: int


class Opening(BaseModel):
    """One opening of the share."""

    visit: str
    at: datetime
    ended_at: datetime | None = Field(description="when its visitor or its sender ended it; null when nobody did")
    address: str | None = Field(description="from where; null when unknown or erased")
    agent: str | None
    recipient: str | None = Field(description="whom the link was for")
    looked_at: tuple[SeenStudy, ...]
    downloaded: tuple[SeenStudy, ...]
    erased: bool = Field(description="whether personal values were erased, as the law may ask")

    @classmethod
    def of(cls, visit: str, one: Opened, share: Share) -> Self:
        """*one* opening of *share* for its sender."""
        return cls(
            visit=visit,
            at=one.begun.at,
            ended_at=one.ended_at,
            address=one.begun.personal.get("address"),
            agent=one.begun.personal.get("agent"),
            recipient=share.recipient,
            looked_at=_amounts(one.saw),
            downloaded=_amounts(one.downloaded),
            erased=one.erased,
        )


def _amounts(studies: dict[str, Amount]) -> tuple[SeenStudy, ...]:
    return tuple(SeenStudy(study=study, images=each.images, bytes=each.bytes) for study, each in studies.items())


class OpeningList(BaseModel):
    """The openings of a share, oldest first."""

    openings: tuple[Opening, ...]

    @classmethod
    def of(cls, rows: Iterable[TrailRow], share: Share) -> Self:
        """What *rows*, the timeline of *share*, tell of its openings."""
        return cls(openings=tuple(Opening.of(visit, one, share) for visit, one in opened(rows).items()))
