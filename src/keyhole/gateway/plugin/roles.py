"""What roles may do in Orthanc Explorer 2: read by every page of it, changed by whoever Orthanc lets administer.

Its page of roles makes none: it shows those that are in the document. So roles that only the identity provider has are
shown to it as well, as holding nothing; those that the provider has no more are kept, and named beside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from keyhole.access.decision import Allow, Ask, Deny, Event, Record
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, Resource
from keyhole.errors import Refused
from keyhole.gateway.client import Client
from keyhole.gateway.current import Current
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.office import NotAllowed
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.ports import RoleBooks
from keyhole.identity.explorer_role import USUAL, ExplorerRoles

KnownRoles = Callable[[], Awaitable[frozenset[str] | None]]
"""The names of the roles that the identity provider has; None when that is not known."""


_SOON = 1.0
"""Seconds that a page waits at most for what the provider knows."""


async def unknown() -> frozenset[str] | None:
    """What is known of its roles where there is no provider."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """One per process."""

    current: Current
    store: RoleBooks
    ledger: Ledger
    now: Callable[[], datetime]
    known: KnownRoles = unknown

    async def read(self) -> ExplorerRoles:
        """The roles in force. Raises Stale when the database does not confirm them."""
        book = await self.current.role_book()
        return USUAL if book is None else _parsed(book.document)

    async def told(self) -> str:
        """The document for the Explorer's page of roles; each of its pages waits for it, so not for the provider."""
        roles, known = await self.read(), None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SOON):
                known = await self.known()
        return roles.beside(known)

    async def change(self, caller: Caller, document: bytes, client: Client) -> None:
        """Put *document* in force, for a person whom *caller* found to be an administrator and does not name.

        Raises Refused when it cannot be read, NotAllowed, and StoreFailed; what changes nothing leaves no trace.
        """
        resource = Resource.whole(caller.archive)
        match decide(Ask(Action.ADMINISTER, resource), caller.as_subject(), caller.grants(), self.now()):
            case Deny(reason):
                self.ledger.refuse(self._record(caller, client, Event.REFUSAL, {}, reason=reason))
                raise NotAllowed(reason, "this Orthanc may not change roles")
            case Allow():
                await self._put_in_force(caller, read_document(document), client)

    async def _put_in_force(self, caller: Caller, wanted: ExplorerRoles, client: Client) -> None:
        before = await self.read()
        wanted = wanted.without_new_that_hold_nothing(before)
        if wanted.dump() == before.dump():
            return
        record = self._record(caller, client, Event.ROLES_CHANGED, changes(before, wanted))
        await self.store.change_roles(wanted.dump(), record)
        self.current.forget_roles()

    def _record(self, caller: Caller, client: Client, event: Event, detail: dict[str, str], **more: object) -> Record:
        return Record(
            at=self.now(),
            event=event,
            subject=caller.principal,
            archive=caller.archive,
            action=Action.ADMINISTER,
            detail=detail,
            personal=client.personal(),
            **more,  # type: ignore[arg-type]
        )


@lru_cache(maxsize=8)  # the same document is asked for by every page
def _parsed(document: str) -> ExplorerRoles:
    return ExplorerRoles.parse(document)


def read_document(document: bytes) -> ExplorerRoles:
    """The roles in *document*; raises Refused when it holds none."""
    try:
        found = ExplorerRoles.parse(document)
    except ValueError as error:
        raise Refused(str(error)) from None
    if not found.roles:
        raise Refused("a document without roles would leave nobody in charge")
    return found


def changes(before: ExplorerRoles, after: ExplorerRoles) -> dict[str, str]:
    """What the trail says of a change: each role that is not as it was, and how it is now."""
    said = {
        f"role {name}": f"may {' '.join(role.permissions) or 'nothing'}; labels {' '.join(role.authorized_labels)}"
        for name, role in after.roles.items()
        if before.roles.get(name) != role
    }
    said |= {f"role {name}": "removed" for name in before.roles if name not in after.roles}
    if before.available_labels != after.available_labels:
        said["labels to choose from"] = " ".join(after.available_labels) or "any"
    return said
