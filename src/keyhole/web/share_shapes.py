"""Shares as the staff API takes and gives them, as schemas."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic.config import JsonDict

from keyhole.access.condition import ConditionName
from keyhole.access.decision import Reason
from keyhole.access.mail import Mail, MailKind
from keyhole.access.secret import Secret
from keyhole.access.share import Origin, Priors, Share, ShareKind
from keyhole.gateway import passcode
from keyhole.gateway.order import AskedPatient, Wishes
from keyhole.gateway.post.fate import MailState
from keyhole.gateway.post.fate import state as state_of
from keyhole.sharing.visit import closed
from keyhole.web.shapes import UID, ArchiveName, Count, Duration, Id, Instant, Studies, Taken, Words, without_null

GENERATE = "generate"
"""What is said in place of a passcode for one to be made."""

Address = Annotated[str, StringConstraints(min_length=3, max_length=254, strict=True)]
Language = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z0-9-]+$", strict=True)]
_Name = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f*?\\]*$", strict=True)]


def _of_studies_or_patient(schema: JsonDict) -> None:
    without_null(schema)
    schema["oneOf"] = [{"required": ["studies"]}, {"required": ["patient"]}]
    schema["not"] = {"required": ["expires_at", "for"]}


def _one_end_at_most(schema: JsonDict) -> None:
    without_null(schema)
    schema["minProperties"] = 1
    schema["not"] = {"required": ["expires_at", "for"]}


class WithConditions(Taken):
    """What a link asks of its recipient, and who is written to."""

    passcode: Annotated[SecretStr, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="a passcode that recipients have to know; `generate`: one is made, and answered once"
    )
    birth_date: Literal[True] | None = Field(
        default=None, description="ask for the patient's birth date, as the archive has it for all that is shared"
    )
    mail_code: Literal[True] | None = Field(default=None, description="ask for a code that is mailed to `mail_to`")
    terms: Literal[True] | None = Field(default=None, description="ask to accept the site's terms")
    paper: Literal[True] | None = Field(default=None, description="also open it by a code to type, as letters print it")
    mail_to: Address | None = Field(default=None, description="the recipient's mail address")
    notify: Address | None = Field(default=None, description="mail address that is told what happens to the link")
    language: Language | None = Field(default=None, description="the recipient's language: en, fr, de or es")

    def wishes(self) -> tuple[Wishes, Secret | None]:
        """The conditions, and the passcode that was made for them."""
        chosen = None if self.passcode is None else Secret(self.passcode.get_secret_value())
        made = passcode.generate() if chosen is not None and chosen.reveal() == GENERATE else None
        wishes = Wishes(
            passcode=made or chosen,
            birth_date=bool(self.birth_date),
            mail_code=bool(self.mail_code),
            terms=bool(self.terms),
            paper=bool(self.paper),
        )
        return wishes, made


class Patient(Taken):
    """A patient, named exactly."""

    id: Annotated[_Name, Field(min_length=1)] = Field(description="PatientID (0010,0020), whole: no wildcards")
    issuer: _Name | None = Field(
        default=None, description="IssuerOfPatientID (0010,0021); the only one for this id when left out"
    )

    def asked(self) -> AskedPatient:
        """As the desk is asked."""
        return AskedPatient(self.id, self.issuer)


class NewShare(WithConditions):
    """What to share: studies, or a patient; and until when: ``expires_at`` or ``for``, or as long as is usual here."""

    model_config = ConfigDict(json_schema_extra=_of_studies_or_patient)

    studies: Studies | None = Field(default=None, description="StudyInstanceUIDs")
    series: UID | None = Field(default=None, description="only this series (SeriesInstanceUID) of the one study")
    patient: Patient | None = Field(default=None, description="all studies of this patient, in place of `studies`")
    priors: Priors | None = Field(
        default=None,
        description="which other studies of the patient: `none` (as it comes with studies), `present` (all there are;"
        " as it comes with a patient), `future` (also those that come later)",
    )
    archive: ArchiveName | None = Field(default=None, description="the default archive when left out")
    expires_at: Instant | None = Field(default=None, description="when the share ends")
    lasts: Duration | None = Field(default=None, alias="for", description="how long it lasts: days, hours, minutes")
    allows: ShareKind = Field(
        default=ShareKind.VIEW,
        description="what it lets do: `view` (the viewer), `view-rendered` (pictures only), `download` (files as well)",
    )
    not_before: Instant | None = Field(default=None, description="when it can be opened first")
    max_visits: Count | None = Field(default=None, description="how often it can be opened; no limit when left out")
    force: Literal[True] | None = Field(
        default=None, description="limit openings although nothing is asked: mail scanners use them up, too"
    )
    note: Words | None = Field(default=None, description="for the sender's own eyes")
    recipient: Words | None = Field(default=None, description="whom the link is for")

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        if self.expires_at is not None and self.lasts is not None:
            raise ValueError("give either expires_at or for")
        if (self.studies is None) is (self.patient is None):
            raise ValueError("name either studies or a patient")
        if self.series is not None and len(self.studies or ()) != 1:
            raise ValueError("a series is of one study: name that study alone")
        return self

    @property
    def resources(self) -> tuple[tuple[str, ...], ...]:
        """As :class:`keyhole.gateway.desk.ShareOrder` names them."""
        if self.series is not None and self.studies:
            return ((self.studies[0], self.series),)
        return tuple((study,) for study in self.studies or ())

    @property
    def wanted_priors(self) -> Priors:
        """Which priors are meant when nothing is said."""
        return self.priors or (Priors.NONE if self.patient is None else Priors.PRESENT)


class Change(WithConditions):
    """What to change of a share; what is left out stays. Conditions are added to those there are."""

    model_config = ConfigDict(json_schema_extra=_one_end_at_most)

    expires_at: Instant | None = Field(default=None, description="when the share ends")
    lasts: Duration | None = Field(default=None, alias="for", description="how long it lasts from now on")
    not_before: Instant | None = Field(default=None, description="when it can be opened first")
    more_visits: Count | None = Field(default=None, description="how many openings to add to its limit")
    note: Words | None = None
    recipient: Words | None = None
    new_link: Literal[True] | None = Field(
        default=None, description="end the present link and make another, which unlocks it"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("there is nothing to change: name a field")
        if self.expires_at is not None and self.lasts is not None:
            raise ValueError("give either expires_at or for")
        return self


class SharePage(Taken):
    """Which shares to list."""

    study: UID | None = Field(default=None, description="only shares of this study")
    after: Id | None = Field(default=None, description="`next` of the page before")
    limit: int = Field(default=50, ge=1, le=200)


State = Literal["open", "not-yet", "expired", "withdrawn", "locked", "used-up"]


class SharedResource(BaseModel):
    """A study, or one series of it."""

    study: str
    series: str | None


class ShownShare(BaseModel):
    """A share as its sender sees it."""

    id: str
    state: State = Field(description="whether it can be opened")
    archive: str
    resources: tuple[SharedResource, ...]
    allows: ShareKind
    creator: str
    created_at: datetime
    expires_at: datetime
    not_before: datetime | None
    max_visits: int | None
    visits: int = Field(description="how often it was opened")
    first_opened_at: datetime | None
    last_opened_at: datetime | None
    withdrawn_at: datetime | None
    recipient: str | None
    note: str | None
    origin: Origin = Field(description="where it was made: here, or through Orthanc's plugin")
    token_type: str | None = Field(description="the type of link that Orthanc's plugin asked for")
    conditions: tuple[ConditionName, ...] = Field(description="what it asks of its recipient")
    wrong_answers: int = Field(description="how often that was answered wrongly since the link was made")
    locked_at: datetime | None = Field(description="when there had been one wrong answer too many")
    priors: Priors = Field(description="which other studies of the patient it holds")
    paper: bool = Field(description="whether it has a code to type as well")
    mail_to: str | None
    notify: str | None
    language: str | None

    @classmethod
    def of(cls, share: Share, now: datetime) -> Self:
        """*share* as it is at *now*."""
        return cls(
            id=share.id,
            state=state(share, now),
            archive=share.archive,
            resources=tuple(SharedResource(study=node.path[0], series=node.series) for node in share.resources),
            allows=share.kind,
            creator=share.creator,
            created_at=share.created_at,
            expires_at=share.expires_at,
            not_before=share.not_before,
            max_visits=share.max_visits,
            visits=share.visits,
            first_opened_at=share.first_opened_at,
            last_opened_at=share.last_opened_at,
            withdrawn_at=share.withdrawn_at,
            recipient=share.recipient,
            note=share.note,
            origin=share.origin,
            token_type=share.token_type,
            conditions=share.conditions.names,
            wrong_answers=share.attempts - share.passed,
            locked_at=share.locked_at,
            priors=share.priors,
            paper=share.paper is not None,
            mail_to=share.mail_to,
            notify=share.notify,
            language=share.language,
        )


def state(share: Share, now: datetime) -> State:
    """Whether *share* can be opened at *now*, in a word."""
    match closed(share, now):
        case None:
            return "open"
        case Reason.NOT_YET:
            return "not-yet"
        case Reason.EXPIRED:
            return "expired"
        case Reason.WITHDRAWN:
            return "withdrawn"
        case Reason.LOCKED:
            return "locked"
        case _:
            return "used-up"


class SentShare(ShownShare):
    """A share with its link. Whoever holds the link can open the share: keep it out of logs."""

    link: str | None = Field(
        description="null when a change made no new one", examples=["https://images.example.org/s/k3v9…#…"]
    )
    passcode: str | None = Field(
        description="the one that was made, told this once and kept nowhere: tell it another way than the link",
        examples=["K7QM-3XRT-9D"],
    )

    @classmethod
    def sent(cls, share: Share, now: datetime, link: str | None, made: Secret | None = None) -> Self:
        """*share* as it is at *now*, with its *link*, and with the passcode that was *made* for it."""
        told = None if made is None else made.reveal()
        return cls(**ShownShare.of(share, now).model_dump(), link=link, passcode=told)


class ShareList(BaseModel):
    """A page of shares, newest first."""

    shares: tuple[ShownShare, ...]
    next: str | None = Field(description="pass it as `after` for the next page; null on the last one")


class Link(BaseModel):
    """A link. Whoever holds it can open the share."""

    link: str


class SentMail(BaseModel):
    """A mail about a share: what it is, whether it left, and if not why."""

    id: Id
    share: Id
    state: MailState = Field(
        description="`waiting`; `sent`: taken by the mail server; `failed`: refused for good, or not sent in its time;"
        " `dropped`: of no use any more before it could be sent"
    )
    kind: MailKind
    to: str
    created_at: datetime
    due_at: datetime = Field(description="when it is sent first, or tried next")
    tries: int
    sent_at: datetime | None
    failed_at: datetime | None = Field(description="when it was given up")
    problem: str | None = Field(description="why it did not leave the last time")

    @classmethod
    def of(cls, mail: Mail) -> Self:
        """*mail* for the sender of the share."""
        return cls(state=state_of(mail), **{name: getattr(mail, name) for name in cls.model_fields if name != "state"})


class MailList(BaseModel):
    """The mails about a share, oldest first."""

    mails: tuple[SentMail, ...]
