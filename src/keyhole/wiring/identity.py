"""What stands behind the people whom an OpenID Connect provider knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keyhole.access.secret import Secret
from keyhole.errors import ProviderFailed
from keyhole.gateway.plugin.profiles import Users
from keyhole.gateway.upstream import JsonServer
from keyhole.settings import Settings

if TYPE_CHECKING:  # what reads signatures is 10 MB, imported where there is a provider
    from keyhole.gateway.plugin.keycloak import Keycloak
    from keyhole.gateway.provider import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The provider's users and roles; without a provider there are none."""

    server: JsonServer
    users: tuple[Users, ...] = ()
    keycloak: Keycloak | None = None

    async def roles(self) -> frozenset[str] | None:
        """The roles that the provider knows; None when that cannot be known, or not now."""
        try:
            return None if self.keycloak is None else await self.keycloak.roles()
        except ProviderFailed:
            return None

    async def close(self) -> None:
        """Let go of all connections."""
        await self.server.close()


def directory(settings: Settings, now: Callable[[], datetime], monotonic: Callable[[], float]) -> Directory:
    """Whoever is set up to know people. Nothing is asked yet."""
    server = JsonServer()
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return Directory(server=server)
    from keyhole.gateway.plugin.provider_users import KeycloakUsers, TokenUsers  # noqa: PLC0415 - see above
    from keyhole.gateway.provider import Provider  # noqa: PLC0415 - see above
    from keyhole.identity.oidc import Expected  # noqa: PLC0415 - see above

    provider = Provider(settings.oidc_issuer, server, monotonic, settings.oidc_url)
    keycloak = _keycloak(settings, provider, server, monotonic)
    expected = Expected(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        roles=settings.oidc_roles,
        groups=settings.oidc_groups,
    )
    users: list[Users] = [TokenUsers(expected=expected, provider=provider, keycloak=keycloak, now=now)]
    if keycloak is not None:
        users.append(KeycloakUsers(keycloak=keycloak, api_keys=settings.keycloak_api_keys))
    return Directory(server=server, users=tuple(users), keycloak=keycloak)


def _keycloak(
    settings: Settings, provider: Provider, server: JsonServer, monotonic: Callable[[], float]
) -> Keycloak | None:
    secret = settings.keycloak_client_secret
    if settings.keycloak_admin_url is None or secret is None:
        return None
    from keyhole.gateway.plugin.keycloak import Keycloak  # noqa: PLC0415 - see above

    return Keycloak(settings.keycloak_admin_url, Secret(secret.get_secret_value()), provider, server, monotonic)
