"""The settings of the OpenID Connect provider that people are known by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from keyhole.settings import values
from keyhole.settings.values import Conflict

_ServerRoot = Annotated[str, AfterValidator(values.server_root)]


class OidcSettings(BaseModel):
    """The provider, what its tokens have to say, and Keycloak's own API."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    oidc_issuer: Annotated[str, AfterValidator(values.issuer)] | None = Field(
        None,
        description="issuer of the OpenID Connect provider, letter by letter as its tokens have it (`iss`), such as"
        " `https://login.example.org/realms/orthanc`; none: no users from there",
    )
    oidc_url: _ServerRoot | None = Field(
        None, description="where Keyhole reaches that provider, when it is not under the issuer's own address"
    )
    oidc_audience: str | None = Field(
        None, min_length=1, description="what tokens must name as their audience (`aud`); Keycloak's is `account`"
    )
    oidc_roles: str = Field(
        "realm_access.roles", min_length=1, description="claim that lists a user's roles, with dots between names"
    )
    oidc_groups: str = Field("groups", min_length=1, description="claim that lists a user's groups, likewise")
    keycloak_admin_url: _ServerRoot | None = Field(
        None,
        description="root of the realm in Keycloak's admin API, such as"
        " `https://login.example.org/admin/realms/orthanc`: disabled users, users by id, and the list of roles",
    )
    keycloak_client_secret: SecretStr | None = Field(
        None,
        description="secret of the client `admin-cli`, with which that API is asked",
        json_schema_extra={"secret": True},
    )
    keycloak_api_keys: bool = Field(
        default=False,
        description="let users show Orthanc an API key in the header `api-key`: their attribute of that name",
    )

    @field_validator("oidc_audience")
    @classmethod
    def _with_issuer(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "oidc_issuer" in info.data and (value is None) is not (info.data["oidc_issuer"] is None):
            raise Conflict("and KEYHOLE_OIDC_ISSUER are needed together: a token for somebody else opens nothing here")
        return value

    @field_validator("keycloak_client_secret")
    @classmethod
    def _with_admin_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "keycloak_admin_url" not in info.data:
            return value
        if (value is None) is not (info.data["keycloak_admin_url"] is None):
            raise Conflict("and KEYHOLE_KEYCLOAK_ADMIN_URL are needed together")
        if value is not None and info.data.get("oidc_issuer", "wrong") is None:
            raise Conflict("needs KEYHOLE_OIDC_ISSUER, where it is exchanged for a token")
        return value

    @field_validator("keycloak_api_keys")
    @classmethod
    def _with_secret(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and info.data.get("keycloak_client_secret", "wrong") is None:
            raise Conflict("needs KEYHOLE_KEYCLOAK_CLIENT_SECRET: users are looked up there")
        return value


def check_way(others: Mapping[str, Any], *, forced: bool) -> None:
    """Refuse a provider that is reached without https, unless that is *forced*: whoever sits there could be anybody."""
    asked = "oidc_url" if others.get("oidc_url") else "oidc_issuer"
    for name in (asked, "keycloak_admin_url"):
        url = others.get(name)
        if url and url.lower().startswith("http:") and not values.is_loopback(values.host_of(url)) and not forced:
            words = "does not start with https:, and anybody on the way could let themselves in"
            raise Conflict(f"{words}; KEYHOLE_INSECURE_HTTP=yes forces it", name)
