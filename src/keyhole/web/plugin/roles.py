"""``GET`` and ``PUT settings/roles``."""

from __future__ import annotations

from dataclasses import dataclass

from keyhole.gateway.plugin.roles import Roles
from keyhole.web.plugin.call import Answer, Call, Route

_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class GetRoles:
    """The handler that tells them, to every page of the Explorer: no secret is among them."""

    roles: Roles

    async def __call__(self, call: Call) -> Answer:  # noqa: ARG002 - there is nothing to ask by
        """The roles in force, beside those of the identity provider."""
        return Answer((await self.roles.told()).encode())


@dataclass(frozen=True, slots=True)
class PutRoles:
    """The handler that changes them."""

    roles: Roles

    async def __call__(self, call: Call) -> Answer:
        """Put what was sent in force, whole; the server-id in it is not looked at."""
        await self.roles.change(call.caller, call.body, call.client)
        return Answer(b"null")


def routes(roles: Roles) -> tuple[Route, ...]:
    """Where they are mounted."""
    return (
        Route(method="GET", path="settings/roles", handler=GetRoles(roles)),
        Route(method="PUT", path="settings/roles", handler=PutRoles(roles), longest=_LONGEST),
    )
