"""An Orthanc that asks, as one of whom something can be decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from keyhole.access.grant import Grant
from keyhole.access.resource import Action, Resource
from keyhole.access.share import ALLOWS, ShareKind
from keyhole.access.subject import Kind, Subject
from keyhole.sharing.token import AsksFor, Creation

_GIVES = ALLOWS[ShareKind.DOWNLOAD] | {Action.SHARE}
_CHANGES_ROLES = frozenset({Action.ADMINISTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An Orthanc with credentials of its own. ``server_id`` is what it calls itself; None: anything will do.

    ``conditions``: what the links made there ask, but those for minutes.
    """

    name: str
    archive: str
    creation: Creation = Creation.LANDING
    longest: timedelta = timedelta(days=7)
    server_id: str | None = None
    conditions: AsksFor = AsksFor.NONE

    @property
    def principal(self) -> str:
        """The name that it acts as."""
        return f"plugin:{self.name}"

    def calls_itself(self, server_id: object) -> bool:
        """Whether a question that came with *server_id* is of this Orthanc's, and not of another one's."""
        return self.server_id is None or self.server_id == server_id

    def as_subject(self) -> Subject:
        """The Orthanc as one who asks, for people whom it does not name."""
        return Subject(Kind.SERVER, self.principal, frozenset({self.principal}))

    def grants(self) -> tuple[Grant, ...]:
        """What it may give away: any study of its archive to look at or to keep, unless its links are switched off.

        And that it may change the Explorer's roles, for people whom it found to be administrators itself.
        """
        actions = _CHANGES_ROLES if self.creation is Creation.OFF else _CHANGES_ROLES | _GIVES
        return (Grant(self.principal, actions, Resource.whole(self.archive), f"settings of {self.principal}"),)
