"""Keycloak's admin API: whether a user is still there, whose an API key is, and which roles there are.

Answers are held for seconds. What Keycloak does not answer now is not known: ProviderFailed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode

from keyhole.access.secret import Secret
from keyhole.errors import ProviderFailed
from keyhole.gateway.provider import JsonAsked, Outage, Provider
from keyhole.identity.oidc import names

HELD: Final = 10.0
"""Seconds for which an answer is held: so long may a user look who was disabled a moment ago."""
CLIENT: Final = "admin-cli"
ATTRIBUTE: Final = "api-key"

_GUESSED = "key"
_MOST_HELD = 2000
_MOST_ROLES = 1000
_MOST_UNDER_WAY = 100
_PATIENCE = 2.0
_MARGIN = 10.0
_PAUSE = 2.0
_USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_API_KEY = re.compile(r"[A-Za-z0-9_.~-]{16,255}")  # nothing that means something in a query of Keycloak's

T = TypeVar("T")
_Name = tuple[str, bytes]
"""A question: its kind, and the digest of what it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user as Keycloak has it; one who is disabled has no roles."""

    id: str
    name: str
    enabled: bool
    roles: frozenset[str] = frozenset()
    groups: tuple[str, ...] = ()


class Keycloak:
    """The realm whose admin API is at *admin*, asked with the secret of the client :data:`CLIENT`."""

    def __init__(
        self, admin: str, secret: Secret, provider: Provider, server: JsonAsked, monotonic: Callable[[], float]
    ) -> None:
        """Nothing is asked yet."""
        self._admin = admin
        self._secret = secret
        self._provider = provider
        self._server = server
        self._monotonic = monotonic
        self._bearer: tuple[str, float] | None = None
        self._held: dict[_Name, tuple[float, object]] = {}
        self._asking: dict[_Name, asyncio.Future[object]] = {}
        self._ask_again_at = float("-inf")
        self._outage = Outage("what Keycloak's admin API knows")
        # Strangers can make up API keys, and hold up nobody but each other.
        self._guesses = asyncio.Semaphore(2)
        self._others = asyncio.Semaphore(8)

    async def account(self, user_id: str) -> Account | None:
        """The user with this id; None when there is none."""
        if _USER_ID.fullmatch(user_id) is None:
            return None
        return await self._once("user", user_id, lambda: self._account(f"/users/{user_id}"))

    async def holder(self, api_key: str) -> Account | None:
        """The one user whose attribute :data:`ATTRIBUTE` is *api_key*; None when there is none, or more than one."""
        if _API_KEY.fullmatch(api_key) is None:
            return None
        return await self._once(_GUESSED, api_key, lambda: self._holder(api_key))

    async def roles(self) -> frozenset[str]:
        """The names of the realm's roles."""
        return await self._once("roles", "", self._roles)

    async def _once(self, kind: str, about: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What *ask* answers, or answered a moment ago, once for all who want to know.

        Held under a digest: some of what is asked about is secret.
        """
        name = (kind, hashlib.sha256(about.encode()).digest())
        held = self._held.get(name)
        if held is not None and self._monotonic() - held[0] < HELD:
            return cast("T", held[1])
        asking = self._asking.get(name)
        if asking is None:
            self._check_spared()
            asking = self._asking[name] = asyncio.ensure_future(self._asked(name, ask))
            asking.add_done_callback(lambda done: self._done(name, done))
        # Shielded: whoever leaves must not undo what others are waiting for.
        return cast("T", await asyncio.shield(asking))

    def _check_spared(self) -> None:
        """Raise while Keycloak is not to be asked: it failed a moment ago, or too much is under way."""
        if self._monotonic() < self._ask_again_at or len(self._asking) >= _MOST_UNDER_WAY:
            raise ProviderFailed("Keycloak's admin API is not asked just now")

    async def _asked(self, name: _Name, ask: Callable[[], Awaitable[object]]) -> object:
        """What *ask* answers when it is its turn; a failure spares Keycloak further questions for a moment."""
        async with self._guesses if name[0] == _GUESSED else self._others:
            if self._monotonic() < self._ask_again_at:
                raise ProviderFailed("Keycloak's admin API failed while this waited for its turn")
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await ask()
            except (ProviderFailed, TimeoutError) as error:
                self._ask_again_at = self._monotonic() + _PAUSE
                self._outage.told(str(error) or "it took too long")
                raise ProviderFailed("Keycloak's admin API does not answer as it should") from None
        self._outage.over()
        self._hold(name, answer)
        return answer

    def _hold(self, name: _Name, answer: object) -> None:
        self._held.pop(name, None)
        self._held[name] = (self._monotonic(), answer)
        if len(self._held) > _MOST_HELD:
            del self._held[next(iter(self._held))]

    def _done(self, name: _Name, asking: asyncio.Future[object]) -> None:
        self._asking.pop(name, None)
        if not asking.cancelled():
            asking.exception()  # every waiter has its own copy; without waiters nobody needs it

    async def _account(self, path: str) -> Account | None:
        found = await self._get(path)
        return None if found is None else await self._whole(_table(found))

    async def _holder(self, api_key: str) -> Account | None:
        query = urlencode({"q": f"{ATTRIBUTE}:{api_key}", "max": 2, "briefRepresentation": "false"})
        found = await self._get(f"/users?{query}")
        if not isinstance(found, list) or len(found) != 1 or not _has_key(_table(found[0]), api_key):
            return None
        return await self._whole(_table(found[0]))

    async def _whole(self, user: Mapping[str, Any]) -> Account:
        user_id, enabled = user.get("id"), user.get("enabled") is True
        if not isinstance(user_id, str) or _USER_ID.fullmatch(user_id) is None:
            raise ProviderFailed("Keycloak answered with no user")
        if not enabled:
            return Account(id=user_id, name=_name(user), enabled=False)
        return Account(
            id=user_id,
            name=_name(user),
            enabled=True,
            roles=frozenset(_named(await self._get(f"/users/{user_id}/role-mappings/realm/composite"), "name")),
            groups=_named(await self._get(f"/users/{user_id}/groups"), "name"),
        )

    async def _roles(self) -> frozenset[str]:
        return frozenset(_named(await self._get(f"/roles?first=0&max={_MOST_ROLES}"), "name"))

    async def _get(self, path: str) -> object:
        """What is at *path* of the admin API; None when there is nothing. A bearer that is refused is renewed once."""
        for bearer in (await self._token(), None):
            shown = bearer or await self._new_token()
            status, content = await self._server.get(self._admin + path, {"Authorization": f"Bearer {shown}"})
            if status // 100 == 2:  # noqa: PLR2004 - a success
                return content
            if status == HTTPStatus.NOT_FOUND:
                return None
            if status != HTTPStatus.UNAUTHORIZED:
                break
        raise ProviderFailed("Keycloak's admin API refuses Keyhole")

    async def _token(self) -> str:
        if self._bearer is not None and self._monotonic() < self._bearer[1]:
            return self._bearer[0]
        return await self._new_token()

    async def _new_token(self) -> str:
        """A token of the client itself (RFC 6749 section 4.4)."""
        credential = {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": self._secret.reveal(),
        }
        status, content = await self._server.post(await self._provider.token_endpoint(), credential)
        given = _table(content) if status == HTTPStatus.OK else {}
        token, lasts = given.get("access_token"), given.get("expires_in")
        if not isinstance(token, str) or not isinstance(lasts, int) or not re.fullmatch(r"[!-~]+", token):
            raise ProviderFailed("Keycloak refuses the secret of its client")
        self._bearer = (token, self._monotonic() + lasts - _MARGIN)
        return token


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _named(listed: object, member: str) -> tuple[str, ...]:
    """What each of *listed* has as *member*."""
    return tuple(names([_table(each).get(member) for each in listed])) if isinstance(listed, list) else ()


def _has_key(user: Mapping[str, Any], api_key: str) -> bool:
    kept = names(_table(user.get("attributes")).get(ATTRIBUTE))
    return any(hmac.compare_digest(each.encode(), api_key.encode()) for each in kept)


def _name(user: Mapping[str, Any]) -> str:
    parts = (user.get("firstName"), user.get("lastName"))
    whole = " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
    return whole or str(user.get("username") or user.get("id"))
