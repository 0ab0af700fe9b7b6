"""Who a user of Orthanc is, and what the roles of that user may do there.

Orthanc decides by what it is told here: a profile that allows looking is an access to everything with its labels, and
that it was given is on record before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Event, Record
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.roles import Roles
from keyhole.identity.explorer_role import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with roles. ``principal`` is the name on the trail; ``id`` is how Orthanc's audit log names them."""

    principal: str
    id: str
    name: str
    roles: frozenset[str]
    groups: tuple[str, ...] = ()
    until: datetime | None = None
    """When what they have shown ends."""


class Users(Protocol):
    """Where users come from. Raises KeyholeError when that cannot be found out now."""

    async def of_token(self, key: str, token: str) -> User | None:
        """Whose *token* (bare) it is, shown under the name *key* (lower case); None when it is nobody's here."""

    async def of_id(self, user_id: str) -> User | None:
        """The user whom Orthanc's audit log calls *user_id*; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of a user; without ``user`` it is nobody, or somebody without an account."""

    user: User | None
    profile: Profile
    validity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """One per process. ``anonymous`` are the roles of those who show nothing: none, unless the operator says so."""

    users: Sequence[Users]
    roles: Roles
    ledger: Ledger
    validity: int
    anonymous: frozenset[str]
    now: Callable[[], datetime]

    async def of_token(self, caller: Caller, key: str, token: str) -> Told:
        """The profile of whoever shows *token* (bare) under the name *key*; nothing at all for what is unknown here.

        Raises KeyholeError when the database or the users' provider does not answer.
        """
        if not token:
            return await self._told(caller, None, self.anonymous)
        for users in self.users:
            user = await users.of_token(key.lower(), token)
            if user is not None:
                return await self._told(caller, user, user.roles)
        return await self._told(caller, None, frozenset())

    async def of_id(self, caller: Caller, user_id: str) -> Told | None:
        """The profile of the user called *user_id*, for Orthanc's audit log; None for nobody."""
        for users in self.users:
            user = await users.of_id(user_id)
            if user is not None:
                return await self._told(caller, user, user.roles)
        return None

    async def _told(self, caller: Caller, user: User | None, names: frozenset[str]) -> Told:
        book = await self.roles.read() if names else None
        profile = Profile() if book is None else book.profile(names)
        if book is not None and profile.permissions:
            given = Record(
                at=self.now(),
                event=Event.PROFILE_GIVEN,
                subject="anonymous" if user is None else user.principal,
                archive=caller.archive,
                detail={"through": caller.principal, "roles": " ".join(sorted(names & book.roles.keys()))},
                personal={} if user is None else {"name": user.name},
            )
            await self.ledger.release(given)
            self.ledger.count(given, 0, 0)
        return Told(user=user, profile=profile, validity=self._validity(user))

    def _validity(self, user: User | None) -> int:
        """Never 0, which Orthanc takes for ever, and not beyond what was shown, as far as whole seconds allow."""
        if user is None or user.until is None:
            return self.validity
        return max(1, min(self.validity, int((user.until - self.now()).total_seconds())))
