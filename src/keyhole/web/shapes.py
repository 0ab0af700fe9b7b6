"""What the staff API takes and gives, as schemas. Unknown fields and unclear times are refused, nothing is guessed."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Protocol, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action, is_uid
from keyhole.web import when


def _instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("is not a time with its zone, such as 2026-03-01T12:00:00Z")  # noqa: TRY004 - pydantic's word
    return when.instant(value)


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError("is not a duration such as 7d, 12h or 30m")  # noqa: TRY004 - the same
    return when.duration(value)


def _day(value: object) -> dt.date:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("is not a day such as 2026-03-01")
    return dt.date.fromisoformat(value)


def _uid(value: object) -> str:
    if not isinstance(value, str) or not is_uid(value):
        raise ValueError("is not a UID: digits and dots, at most 64 characters")
    return value


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T12:00:00Z"]}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": "^(?=.*[1-9])[0-9]{1,6}[dhm]$", "examples": ["7d"]}),
]
Day = Annotated[dt.date, BeforeValidator(_day)]
TimeOfDay = Annotated[
    dt.time, WithJsonSchema({"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}", "examples": ["10:15:00"]})
]
UID = Annotated[
    str,
    BeforeValidator(_uid),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "maxLength": 64, "examples": ["1.2.3"]}),
]
Words = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$", strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Studies = Annotated[list[UID], Field(min_length=1, max_length=100)]
ArchiveName = Annotated[str, StringConstraints(max_length=32, pattern=r"^[a-z0-9-]+$", strict=True)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{16}$", strict=True)]
Match = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f\\]+$")]


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def without_null(schema: JsonDict) -> None:
    """Say in the schema, too, that null is not taken."""
    for field in cast("dict[str, JsonDict]", schema["properties"]).values():
        match field.get("anyOf"):
            case [dict(wanted), {"type": "null"}]:
                del field["anyOf"]
                field.pop("default", None)
                field.update(wanted)


class Taken(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=without_null)

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, fields: object) -> object:
        if isinstance(fields, Mapping) and None in fields.values():
            raise ValueError("null changes nothing: leave the field out")
        return fields


class NewVisit(Taken):
    """Which studies to open at once, for the holder of the key or somebody whom its program knows."""

    studies: Studies = Field(description="StudyInstanceUIDs")
    archive: ArchiveName | None = Field(default=None, description="the default archive when left out")


class StudySearch(Taken):
    """What studies must match. Text may hold ``*`` and ``?``."""

    archive: ArchiveName | None = Field(default=None, description="the default archive when left out")
    study: list[UID] = Field(default=[], max_length=100, description="StudyInstanceUID, may be repeated")
    patient_name: Match | None = None
    patient_id: Match | None = None
    accession_number: Match | None = None
    description: Match | None = None
    modality: Match | None = None
    since: Day | None = Field(default=None, description="studies of this day and later")
    until: Day | None = Field(default=None, description="studies of this day and earlier")
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=1_000_000)


class Happening(BaseModel):
    """One row of the trail."""

    seq: int = Field(description="its place in the chain")
    at: datetime
    event: Event
    subject: str = Field(description="who: a visit, a key, a user")
    archive: str | None
    study: str | None
    series: str | None
    action: Action | None
    reason: Reason | None = Field(description="why it was refused, or failed")
    share: str | None = Field(description="through which link")
    visit: str | None
    images: int
    bytes: int
    times: int = Field(description="how often, for rows that sum up")
    address: str | None = Field(description="from where; null when unknown or erased")
    agent: str | None
    name: str | None = Field(description="what the identity provider calls that user; null when unknown or erased")
    detail: Mapping[str, str]
    erased: bool = Field(description="whether personal values were erased, as the law may ask")

    @classmethod
    def of(cls, row: TrailRow) -> Self:
        """*row* for the sender."""
        record = row.record
        return cls(
            seq=row.seq,
            at=record.at,
            event=record.event,
            subject=record.subject,
            archive=record.archive,
            study=record.study,
            series=record.series,
            action=record.action,
            reason=record.reason,
            share=record.share,
            visit=record.visit,
            images=record.images,
            bytes=record.bytes,
            times=record.times,
            address=record.personal.get("address"),
            agent=record.personal.get("agent"),
            name=record.personal.get("name"),
            detail=dict(record.detail),
            erased=row.erased,
        )


class TrailRow(Protocol):
    """A row of the trail, as its reader gives it."""

    @property
    def seq(self) -> int:
        """Its place in the chain."""

    @property
    def record(self) -> Record:
        """What happened."""

    @property
    def erased(self) -> bool:
        """Whether its personal values are gone."""


class Timeline(BaseModel):
    """What happened with a share, oldest first."""

    events: tuple[Happening, ...]


class PreparedVisit(BaseModel):
    """An address that opens the studies once, within a minute. Whoever has it can open them."""

    visit: str
    url: str = Field(examples=["https://images.example.org/o#…"])
    expires_at: datetime


class FoundStudy(BaseModel):
    """A study, in plain names. Dates and times that are not as DICOM asks are null."""

    study: str = Field(description="StudyInstanceUID")
    date: dt.date | None
    time: TimeOfDay | None
    description: str | None
    modalities: tuple[str, ...]
    accession_number: str | None
    patient_name: str | None = Field(description="as DICOM writes it: family^given^middle^prefix^suffix")
    patient_id: str | None
    birth_date: dt.date | None
    sex: str | None
    referring_physician: str | None
    series: int | None = Field(description="how many")
    images: int | None = Field(description="how many")


class StudyList(BaseModel):
    """The studies found, in the archive's order."""

    studies: Sequence[FoundStudy]
