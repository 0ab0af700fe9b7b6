"""Users of Orthanc from an OpenID Connect provider, and from Keycloak's admin API where that may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from keyhole.errors import ProviderFailed
from keyhole.gateway.plugin.keycloak import ATTRIBUTE, Account, Keycloak
from keyhole.gateway.plugin.profiles import User
from keyhole.gateway.provider import Provider
from keyhole.identity import oidc

PATIENCE: Final = 2.5
"""Seconds for everything that one question takes: the answer is still in time then, and says what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsers:
    """Whoever shows an access token of the provider's, under any name but that of API keys.

    With *keycloak* they must also be there and not be disabled; without, a token holds until it ends.
    """

    expected: oidc.Expected
    provider: Provider
    keycloak: Keycloak | None
    now: Callable[[], datetime]

    async def of_token(self, key: str, token: str) -> User | None:
        """The person whom the token is about. Raises ProviderFailed when that cannot be found out now."""
        shown = None if key == ATTRIBUTE else oidc.header(token)
        if shown is None:
            return None
        async with _in_time():
            signing = await self.provider.key(shown.kid)
            person = None if signing is None else oidc.verify(token, shown, signing, self.expected, self.now())
            return None if person is None or not await self._enabled(person.id) else _of_person(person)

    async def of_id(self, user_id: str) -> User | None:  # noqa: ARG002 - a token is needed
        """Nobody: a provider tells of those who come themselves."""
        return None

    async def _enabled(self, user_id: str) -> bool:
        if self.keycloak is None:
            return True
        account = await self.keycloak.account(user_id)
        return account is not None and account.enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class KeycloakUsers:
    """Users by their id, and (with *api_keys*) by the API key that is an attribute of theirs."""

    keycloak: Keycloak
    api_keys: bool

    async def of_token(self, key: str, token: str) -> User | None:
        """The enabled user whose API key *token* is. Raises ProviderFailed when that cannot be found out now."""
        if key != ATTRIBUTE or not self.api_keys:
            return None
        async with _in_time():
            account = await self.keycloak.holder(token)
        return None if account is None or not account.enabled else _of_account(account)

    async def of_id(self, user_id: str) -> User | None:
        """The user, for the log: without roles when disabled."""
        async with _in_time():
            account = await self.keycloak.account(user_id)
        return None if account is None else _of_account(account)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """A bound that is the provider's failure when it is reached, and nobody else's."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise ProviderFailed("the identity provider took too long to answer") from None


def _of_person(person: oidc.Person) -> User:
    return User(
        principal=f"user:{person.id}",
        id=person.id,
        name=person.name,
        roles=person.roles,
        groups=person.groups,
        until=person.until,
    )


def _of_account(account: Account) -> User:
    return User(
        principal=f"user:{account.id}",
        id=account.id,
        name=account.name,
        roles=account.roles,
        groups=account.groups,
    )
