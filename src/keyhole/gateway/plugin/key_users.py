"""Keyhole's own API keys as users of Orthanc: shown as a token, for scripts that talk to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from keyhole.access.decision import Reason
from keyhole.access.resource import Action
from keyhole.access.share import ApiKey
from keyhole.access.subject import MAY_EVER, Kind
from keyhole.gateway.current import Current
from keyhole.gateway.identify import roles_of
from keyhole.gateway.plugin.profiles import User
from keyhole.identity import apikey, credential
from keyhole.identity.role import ROLES

_EVERYTHING = frozenset(Action)


@dataclass(frozen=True, slots=True)
class KeyUsers:
    """Whoever shows ``khk_…`` has the roles of that key, of those that its ceiling leaves whole.

    Orthanc cannot be told of a role that is cut.
    """

    current: Current
    now: Callable[[], datetime]

    async def of_token(self, key: str, token: str) -> User | None:  # noqa: ARG002 - shown under any name
        """The key as a user, while it lives."""
        shown = credential.read(((b"authorization", b"Bearer " + token.encode()),), None)
        if not isinstance(shown, credential.Shown) or shown.kind is not Kind.API_KEY:
            return None
        kept = await self.current.key(shown.id)
        who = Reason.BAD_CREDENTIAL if kept is None else apikey.verify(kept, shown.secret, self.now())
        if kept is None or isinstance(who, Reason):
            return None
        return _user(kept, roles_of(who))

    async def of_id(self, user_id: str) -> User | None:
        """The key of that name, for the log: without roles when it lives no more."""
        kept = await self.current.key(user_id.removeprefix("key:")) if user_id.startswith("key:") else None
        if kept is None:
            return None
        return _user(kept, kept.roles if kept.live(self.now()) else frozenset())


def _user(key: ApiKey, roles: frozenset[str]) -> User:
    whole = frozenset(role for role in roles if ROLES.get(role, _EVERYTHING) & MAY_EVER[Kind.API_KEY] <= key.ceiling)
    return User(principal=key.principal, id=key.principal, name=key.name, roles=whole, until=key.expires_at)
