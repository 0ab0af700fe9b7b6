"""The settings of the web service that Orthanc's Authorization plugin and Explorer 2 ask."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic.config import JsonDict

from keyhole.settings import values
from keyhole.settings.values import Conflict
from keyhole.sharing.token import AsksFor, Creation, Opens


def _before_the_colon(user: str) -> str:
    """A user name of Basic authentication (RFC 7617 section 2): with a colon in it, it could be another's."""
    if not user or ":" in user:
        raise ValueError("is no user name: it is empty, or holds a colon")
    return user


_SECRET: JsonDict = {"secret": True}
_User = Annotated[str, AfterValidator(_before_the_colon)]
_Password = Annotated[SecretStr, AfterValidator(values.password)]
_Name = Annotated[str, AfterValidator(values.archive_name)]
_Lasting = Annotated[timedelta, BeforeValidator(values.duration)]
FLAT = "orthanc"
"""What the caller of the flat settings is called."""

_ServerRoot = Annotated[str, AfterValidator(values.server_root)]
_Types = Annotated[Mapping[str, Opens], BeforeValidator(values.pairs), AfterValidator(values.token_types)]


class PluginCaller(BaseModel):
    """An Orthanc whose plugin may ask."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    user: _User = Field(description="user name that this Orthanc shows (`WebServiceUsername`)")
    password: _Password = Field(
        description="password that this Orthanc shows (`WebServicePassword`)", json_schema_extra=_SECRET
    )
    server_id: str | None = Field(
        None, description="what this Orthanc calls itself (`WebServiceIdentifier`); anything will do without"
    )
    archive: str | None = Field(None, description="name of the archive that this Orthanc is; the default one without")
    creation: Creation = Field(
        Creation.LANDING, description="links that it may make: `off`, `landing` or `trusted`; see the guide"
    )
    longest: _Lasting = Field(
        timedelta(days=7), gt=timedelta(0), description="longest time that a link made there may last"
    )
    conditions: AsksFor | None = Field(
        None, description="what links made there ask, as `KEYHOLE_PLUGIN_CONDITIONS`, which holds without"
    )


class PluginSettings(BaseModel):
    """One caller by flat names, more of them in tables of their own, and what holds for all."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    plugin_user: _User | None = Field(
        None, description="user name that Orthanc's Authorization plugin shows (`WebServiceUsername`); none: no service"
    )
    plugin_password: _Password | None = Field(
        None,
        description="password that the plugin shows (`WebServicePassword`)",
        json_schema_extra=_SECRET,
    )
    plugin_server_id: str | None = Field(
        None, description="what that Orthanc calls itself (`WebServiceIdentifier`); anything will do without"
    )
    plugin_creation: Creation = Field(
        Creation.LANDING, description="links that the plugin may make: `off`, `landing` or `trusted`; see the guide"
    )
    plugin_longest: _Lasting = Field(
        timedelta(days=7), gt=timedelta(0), description="longest time that a link made by the plugin may last"
    )
    plugin_conditions: AsksFor = Field(
        AsksFor.BIRTH_DATE,
        description="what links made through the plugin ask, but those for minutes: `birth-date` or `none`; see"
        " the guide",
    )
    plugin_callers: Mapping[_Name, PluginCaller] = Field(
        {}, description="more Orthancs whose plugins may ask, each a table `[plugin_callers.NAME]` in the TOML file"
    )
    plugin_validity: int = Field(
        1,
        ge=0,
        le=3600,
        description="seconds for which Orthanc remembers an answer about a link; a withdrawal takes as long there, and"
        " with 0 every image costs two questions",
    )
    plugin_profile_validity: int = Field(
        5, ge=1, le=10, description="seconds for which Orthanc remembers what a user may do"
    )
    plugin_anonymous_roles: Annotated[frozenset[str], BeforeValidator(values.names)] = Field(
        frozenset(),
        description="roles of those who show Orthanc nothing, by commas: everybody may then do what these may",
    )
    plugin_types: _Types = Field(
        {}, description="what links of a type open: `TYPE=landing`, `TYPE=direct` or `TYPE=off`, separated by commas"
    )
    plugin_legacy_secret: _Password | None = Field(
        None,
        description="`SECRET_KEY` of the service that answered the plugin before: links that it gave out go on working",
        json_schema_extra=_SECRET,
    )
    plugin_legacy_until: Annotated[datetime, AfterValidator(values.aware)] | None = Field(
        None, description="day or time when the last of those links ends, such as 2027-03-31"
    )
    plugin_orthanc_url: _ServerRoot | None = Field(
        None, description="URL under which people reach that Orthanc, for viewers that live there"
    )
    plugin_ohif_url: _ServerRoot | None = Field(
        None, description="URL under which people reach an OHIF of that Orthanc's, for `direct` links to it"
    )
    plugin_meddream_url: _ServerRoot | None = Field(
        None, description="URL under which people reach MedDream, for its publications"
    )
    plugin_meddream_user: str | None = Field(None, description="user name at MedDream's token service")
    plugin_meddream_password: SecretStr | None = Field(
        None, description="password at MedDream's token service", json_schema_extra=_SECRET
    )
    plugin_meddream_token_url: _ServerRoot | None = Field(
        None,
        description="URL at which MedDream's token service makes tokens, such as"
        " `http://meddream-token-service:8088/v3/generate`; needs `KEYHOLE_PLUGIN_MEDDREAM_URL`",
    )

    _with_plugin_user = field_validator("plugin_password")(values.together("plugin_user"))
    _with_meddream_user = field_validator("plugin_meddream_password")(values.together("plugin_meddream_user"))
    _with_meddream_url = field_validator("plugin_meddream_token_url")(values.together("plugin_meddream_url"))
    _with_legacy_secret = field_validator("plugin_legacy_until")(values.together("plugin_legacy_secret"))

    @field_validator("plugin_callers")
    @classmethod
    def _told_apart(cls, value: Mapping[str, PluginCaller], info: ValidationInfo) -> Mapping[str, PluginCaller]:
        users = [caller.user for caller in value.values()]
        if len({info.data.get("plugin_user"), *users}) <= len(users):
            raise Conflict("holds a user name twice: callers are told apart by it")
        if FLAT in value and info.data.get("plugin_user") is not None:
            raise Conflict(f"holds the name {FLAT!r}, which is that of KEYHOLE_PLUGIN_USER")
        return value

    def every_caller(self) -> dict[str, PluginCaller]:
        """All callers by name, the one of the flat settings as :data:`FLAT`; without any there is no service."""
        if self.plugin_user is None or self.plugin_password is None:
            return dict(self.plugin_callers)
        flat = PluginCaller.model_construct(
            user=self.plugin_user,
            password=self.plugin_password,
            server_id=self.plugin_server_id,
            archive=None,
            creation=self.plugin_creation,
            longest=self.plugin_longest,
            conditions=self.plugin_conditions,
        )
        return {FLAT: flat, **self.plugin_callers}
