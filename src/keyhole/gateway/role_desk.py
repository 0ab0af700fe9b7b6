"""Administration of the roles of Orthanc Explorer 2: read, and put in force by whoever may administer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.role_book import RoleBook
from keyhole.access.subject import Subject
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.office import NotFound, Office
from keyhole.gateway.plugin.roles import KnownRoles, changes, read_document, unknown
from keyhole.identity.explorer_role import USUAL, ExplorerRoles


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleVersion:
    """One version of the roles: 0, by nobody, are the usual ones. ``changed`` says what is not as it was before."""

    roles: ExplorerRoles
    book: RoleBook | None
    changed: dict[str, str]

    @property
    def number(self) -> int:
        """Its number."""
        return 0 if self.book is None else self.book.version


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDesk(Office):
    """For whoever may administer everything."""

    known_roles: KnownRoles = unknown

    async def role_versions(self, subject: Subject, limit: int, client: Client = LOCAL) -> Sequence[RoleVersion]:
        """The last *limit* versions, the one in force first; the usual roles are the first of all versions."""
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        books = await self.store.role_books(limit + 1)
        documents = [ExplorerRoles.parse(book.document) for book in books]
        if len(books) <= limit:
            documents.append(USUAL)
        found = [
            RoleVersion(roles=after, book=book, changed=changes(before, after))
            for book, after, before in zip(books, documents, documents[1:], strict=False)
        ]
        return (found if len(books) > limit else [*found, RoleVersion(roles=USUAL, book=None, changed={})])[:limit]

    async def role_version(self, subject: Subject, number: int | None, client: Client = LOCAL) -> ExplorerRoles:
        """The roles of the version *number*, or those in force."""
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        newest = await self.store.role_book()
        highest = 0 if newest is None else newest.version
        number = highest if number is None else number
        if not 0 <= number <= highest:
            raise NotFound(f"there is no version {number} of the roles", "list them with: keyhole roles list")
        if number == 0:
            return USUAL
        return ExplorerRoles.parse((await self.store.role_books(highest - number + 1))[-1].document)

    async def put_roles(self, subject: Subject, document: bytes, client: Client = LOCAL) -> RoleBook | None:
        """Put *document* in force, whole; None when nothing is changed by it, which leaves no trace.

        Raises Refused when it is no document of roles.
        """
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        wanted, before = read_document(document), await self.role_version(subject, None, client)
        if wanted.dump() == before.dump():
            return None
        record = Record(
            at=self.now(),
            event=Event.ROLES_CHANGED,
            subject=subject.name,
            action=Action.ADMINISTER,
            detail=changes(before, wanted),
            personal=client.personal(),
        )
        return await self.store.change_roles(wanted.dump(), record)
