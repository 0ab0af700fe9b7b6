"""What is asked for others, and what is answered, as schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic.config import JsonDict

from keyhole.access.decision import Allow, Ask, Deny, Reason, Scope
from keyhole.access.grant import StudyFilter
from keyhole.access.resource import Action, Level, Resource
from keyhole.access.subject import ANONYMOUS
from keyhole.gateway.decisions import MOST_AT_ONCE
from keyhole.gateway.judge import Judgement, Named, Sent, Shown
from keyhole.identity.credential import COOKIE
from keyhole.web.shapes import ArchiveName, Id, Taken, without_null

_WHO = ("subject", "bearer", "cookie")

Principal = Annotated[
    str,
    StringConstraints(pattern=r"^(key|share|visit):[a-z2-7]{16}$", strict=True),
    Field(examples=["visit:nyguujxzybmnh3xp"]),
]
Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,16}$", strict=True), Field(examples=["GET"])]
Path = Annotated[
    str,
    StringConstraints(min_length=1, max_length=4096, strict=True),
    Field(examples=["/dicom-web/studies/1.2.3/metadata"]),
]
Value = Annotated[SecretStr, Field(min_length=1, max_length=200)]


def _one_who(schema: JsonDict) -> None:
    without_null(schema)
    schema["oneOf"] = [{"required": [name]} for name in _WHO]


class VisitCookie(Taken):
    """The cookie of a visit, as a browser sent it."""

    visit: Id = Field(description="the id in its path")
    value: Value = Field(description="the value of `keyhole_visit`")


class Question(Taken):
    """May this one send this request? Who: either ``subject``, ``bearer`` or ``cookie``."""

    model_config = ConfigDict(json_schema_extra=_one_who)

    subject: Principal | None = Field(default=None, description="somebody by name")
    bearer: Value | None = Field(default=None, description="whoever shows this: `khk_…` or `khv_…`")
    cookie: VisitCookie | None = Field(default=None, description="whoever shows this below `/v/<visit>/`")
    method: Method
    path: Path = Field(description="raw path and query, as the client sends them to the public listener")
    archive: ArchiveName | None = Field(
        default=None, description="the archive that `/dicom-web/` means; what is of another is denied"
    )

    @model_validator(mode="after")
    def _has_one_who(self) -> Self:
        if sum(getattr(self, name) is not None for name in _WHO) != 1:
            raise ValueError("whose request would it be? Give one of subject, bearer and cookie")
        return self

    @property
    def who(self) -> Named | Shown:
        """Whose request it would be."""
        if self.subject is not None:
            return Named(self.subject)
        if self.bearer is not None:
            return Shown(((b"authorization", b"Bearer " + _bytes(self.bearer)),))
        if self.cookie is None:
            raise AssertionError("one of three was given")
        return Shown(((b"cookie", COOKIE + b"=" + _bytes(self.cookie.value)),), self.cookie.visit)

    @property
    def sent(self) -> Sent:
        """The request."""
        return Sent(self.method, self.path, self.archive)


def _bytes(value: SecretStr) -> bytes:
    return value.get_secret_value().encode("utf-8", "replace")


class Questions(Taken):
    """Up to 100 at once."""

    questions: list[Question] = Field(min_length=1, max_length=MOST_AT_ONCE)


LevelName = Literal["archive", "patient", "study", "series", "instance"]

_LEVELS: Mapping[Level, LevelName] = {
    Level.ARCHIVE: "archive",
    Level.PATIENT: "patient",
    Level.STUDY: "study",
    Level.SERIES: "series",
    Level.INSTANCE: "instance",
}


class Node(BaseModel):
    """A node of the DICOM tree: what is null is above it, or not named."""

    level: LevelName
    archive: str
    study: str | None = None
    series: str | None = None
    instance: str | None = None

    @classmethod
    def of(cls, resource: Resource) -> Self:
        """*resource*; a patient's id is not told."""
        uids = resource.path if resource.level >= Level.STUDY else ()
        names = dict(zip(("study", "series", "instance"), uids, strict=False))
        return cls(level=_LEVELS[resource.level], archive=resource.archive, **names)


class Filter(BaseModel):
    """Every study with all of these."""

    archive: str
    owner: str | None
    label: str | None
    attributes: dict[str, str] = Field(description="exact values by tag, 8 hex digits")


class Within(BaseModel):
    """What of an answer that is a list may be passed on: what lies in one of these, and nothing else."""

    everything: bool = Field(description="all of the resource that was asked for")
    nodes: tuple[Node, ...]
    filters: tuple[Filter, ...]

    @classmethod
    def of(cls, scope: Scope, ask: Ask) -> Self:
        """*scope* as the answer to *ask*."""
        nodes = sorted(target for target in scope.targets if isinstance(target, Resource))
        filters = (target for target in scope.targets if isinstance(target, StudyFilter))
        return cls(
            everything=scope.covers(ask.resource),
            nodes=tuple(map(Node.of, nodes)),
            filters=tuple(_filters(filters)),
        )


def _filters(filters: Iterable[StudyFilter]) -> Iterable[Filter]:
    for one in sorted(filters, key=str):
        yield Filter(archive=one.archive, owner=one.owner, label=one.label, attributes=dict(one.attributes))


class Answer(BaseModel):
    """What the gateway would do with the request at this moment."""

    decision: Literal["allow", "deny"]
    reason: Reason | None = Field(description="why it is denied")
    detail: str = Field(description="more about that, in words; may be empty")
    subject: str | None = Field(description="whose credential it is; null when it is no good one")
    action: Action | None = Field(description="what the request would do; null when that is not understood")
    resource: Node | None = Field(description="to what")
    scope: Within | None = Field(
        description="when the answer is a list (a search, or the metadata of a study): what may be in it; else null"
    )

    @classmethod
    def of(cls, found: Judgement) -> Self:
        """*found*, for the application that asked."""
        ask, verdict = found.ask, found.decision
        return cls(
            decision="allow" if isinstance(verdict, Allow) else "deny",
            reason=verdict.reason if isinstance(verdict, Deny) else None,
            detail=found.detail,
            subject=None if found.about == ANONYMOUS.name else found.about,
            action=None if ask is None else ask.action,
            resource=None if ask is None else Node.of(ask.resource),
            scope=Within.of(verdict.scope, ask) if isinstance(verdict, Allow) and ask and ask.divisible else None,
        )


class Answers(BaseModel):
    """An answer to each question, in order. They are about now: do not keep them."""

    at: datetime
    decisions: Sequence[Answer]
