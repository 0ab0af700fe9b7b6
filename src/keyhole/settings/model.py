"""The settings, each with its help, and what must hold between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

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
from keyhole.settings.frames import FrameSettings, check_frames, check_not_ours
from keyhole.settings.mail import MailSettings
from keyhole.settings.oidc import OidcSettings, check_way
from keyhole.settings.plugin import PluginSettings
from keyhole.settings.sharing import SharingSettings
from keyhole.settings.site import SiteSettings
from keyhole.settings.values import Bind, Conflict, IPNetwork

_Folder = Annotated[Path, AfterValidator(values.folder)]
_File = Annotated[Path, AfterValidator(values.existing_file)]
_Origin = Annotated[str, AfterValidator(values.origin)]
_ServerRoot = Annotated[str, AfterValidator(values.server_root)]
_ArchiveRoot = Annotated[str, BeforeValidator(values.text_of), AfterValidator(values.archive_root)]
_ArchiveName = Annotated[str, AfterValidator(values.archive_name)]
_Headers = Annotated[Mapping[str, SecretStr], BeforeValidator(values.header_lines), AfterValidator(values.headers)]
_Listener = Annotated[Bind | None, BeforeValidator(values.bind)]
_SECRET: JsonDict = {"secret": True}
_READABLE = "and without https anybody on the way reads links and images"
_FORCE = "KEYHOLE_INSECURE_HTTP=yes forces it"


class ArchiveSettings(BaseModel):
    """How one archive is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    root: _ArchiveRoot = Field(description="DICOMweb root of the archive, or a folder of DICOM files")
    user: str | None = Field(None, description="user name for Basic authentication")
    password: SecretStr | None = Field(None, description="password for Basic authentication", json_schema_extra=_SECRET)
    headers: _Headers = Field(
        {}, description="headers that let Keyhole in, one `Name: value` to a line", json_schema_extra=_SECRET
    )
    orthanc: _ServerRoot | None = Field(
        None, description="root of Orthanc's own REST API, when the archive is one; opens `/orthanc` to keys and visits"
    )
    uploads: bool = Field(default=False, description="store what is uploaded in the folder, when the archive is one")

    @property
    def folder(self) -> Path | None:
        """The folder, when the archive is one; None for a server."""
        return None if self.root.startswith(("http://", "https://")) else Path(self.root)

    @field_validator("password")
    @classmethod
    def _with_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "user" in info.data and (value is None) is not (info.data["user"] is None):
            raise Conflict("and the user name are needed together")
        return value


class Settings(PluginSettings, OidcSettings, MailSettings, SharingSettings, FrameSettings, SiteSettings):
    """Everything that can be set. The order matters: a check between settings stands at the last of them."""

    archive: _ArchiveRoot = Field(description="DICOMweb root of the archive, or a folder of DICOM files")
    archive_name: _ArchiveName = Field("archive", description="name of that archive in shares and on the trail")
    archive_user: str | None = Field(None, description="user name for Basic authentication at the archive")
    archive_password: SecretStr | None = Field(
        None, description="password for Basic authentication at the archive", json_schema_extra=_SECRET
    )
    archive_headers: _Headers = Field(
        {},
        description="headers that let Keyhole in at the archive, one `Name: value` to a line",
        json_schema_extra=_SECRET,
    )
    archive_orthanc: _ServerRoot | None = Field(
        None, description="root of Orthanc's own REST API, when the archive is one; opens `/orthanc` to keys and visits"
    )
    archive_uploads: bool = Field(
        default=False, description="store what is uploaded in the folder, when the archive is one"
    )
    archives: Mapping[_ArchiveName, ArchiveSettings] = Field(
        {}, description="more archives, each a table `[archives.NAME]` in the TOML file"
    )
    archive_timeout: float = Field(
        30.0, gt=0, le=3600, description="seconds that an archive may be silent before it counts as failed"
    )
    requests_per_visit: int = Field(
        32,
        ge=1,
        le=1000,
        description="requests to the archive that all visits of one link may have under way at a time in each worker",
    )
    data: _Folder = Field(description="folder for the database and the key file")
    database: Annotated[SecretStr, AfterValidator(values.postgresql)] | None = Field(
        None,
        description="`postgresql://` URL of the database; SQLite in the data folder without",
        json_schema_extra=_SECRET,
    )
    viewer: Annotated[Path, AfterValidator(values.absolute)] = Field(
        Path("~/.cache/keyhole/ohif-3.13.2"), description="folder that the viewer is installed in"
    )
    insecure_http: bool = Field(
        default=False,
        description="serve other machines without https all the same: links and images can then be read on the way",
    )
    tls_cert: _File | None = Field(
        None, description="file of the certificate and its chain (PEM), for sites without a proxy"
    )
    tls_key: _File | None = Field(None, description="file of the certificate's key (PEM)")
    trusted_proxies: Annotated[tuple[IPNetwork, ...], BeforeValidator(values.networks)] = Field(
        (), description="addresses and networks of the proxies whose word on a client's address is taken"
    )
    public_url: _Origin = Field(description="URL under which recipients reach the public listener; links begin with it")
    bind: _Listener = Field(Bind("127.0.0.1", 8000), description="`host:port` of the public listener, or `off`")
    staff_bind: _Listener = Field(Bind("127.0.0.1", 8002), description="`host:port` of the staff listener, or `off`")
    staff_url: _Origin | None = Field(
        None,
        description="URL under which staff reach the staff listener, on another host name than the public one;"
        " without, the staff listener's own address on this machine",
    )
    internal_bind: _Listener = Field(
        Bind("127.0.0.1", 8001), description="`host:port` of the internal listener, or `off`"
    )
    metrics_token: Annotated[SecretStr, AfterValidator(values.token)] | None = Field(
        None, description="bearer token that lets a monitor read `/metrics`", json_schema_extra=_SECRET
    )
    workers: int = Field(1, ge=1, le=64, description="worker processes")
    longest_share: Annotated[timedelta, BeforeValidator(values.duration)] = Field(
        timedelta(days=365), gt=timedelta(0), description="longest time that a share may last, such as 30d or 12h"
    )

    def every_archive(self) -> dict[str, ArchiveSettings]:
        """All archives by name, the default one first."""
        default = ArchiveSettings.model_construct(
            root=self.archive,
            user=self.archive_user,
            password=self.archive_password,
            headers=self.archive_headers,
            orthanc=self.archive_orthanc,
            uploads=self.archive_uploads,
        )
        return {self.archive_name: default, **self.archives}

    _with_user = field_validator("archive_password")(values.together("archive_user"))

    @field_validator("archives")
    @classmethod
    def _under_other_names(
        cls, value: Mapping[str, ArchiveSettings], info: ValidationInfo
    ) -> Mapping[str, ArchiveSettings]:
        if info.data.get("archive_name") in value:
            raise Conflict("holds the name of the default archive, KEYHOLE_ARCHIVE_NAME")
        for name, caller in info.data.get("plugin_callers", {}).items():
            if caller.archive not in (None, info.data.get("archive_name"), *value):
                raise Conflict(f"has no {caller.archive}, which plugin_callers.{name} names")
        return value

    @field_validator("insecure_http")
    @classmethod
    def _others_are_who_they_are(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        check_way(info.data, forced=value)
        check_frames(info.data, forced=value)
        return value

    _with_certificate = field_validator("tls_key")(values.together("tls_cert"))

    @field_validator("public_url")
    @classmethod
    def _links_are_not_readable(cls, value: str, info: ValidationInfo) -> str:
        _check_url(value, info.data)
        check_not_ours(value, info.data)
        return value

    @field_validator("bind")
    @classmethod
    def _public_is_not_readable(cls, value: Bind | None, info: ValidationInfo) -> Bind | None:
        _check_reach(value, "bind", info.data.get("public_url", "https://unknown"), info.data)
        return value

    @field_validator("staff_bind", "internal_bind")
    @classmethod
    def _elsewhere(cls, value: Bind | None, info: ValidationInfo) -> Bind | None:
        for other in ("bind", "staff_bind"):
            if value is not None and value.port and value == info.data.get(other):
                raise Conflict(f"is the same as KEYHOLE_{other.upper()}")
        if info.field_name == "internal_bind":
            _check_reach(value, "internal_bind", None, {**info.data, "tls_cert": None})
        return value

    @field_validator("staff_url")
    @classmethod
    def _on_another_host(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not {"staff_bind", "tls_cert"} <= info.data.keys():
            return value
        public = values.host_of(info.data.get("public_url", ""))
        value = value or _own_address(info.data["staff_bind"], public, tls=info.data["tls_cert"] is not None)
        if value is None:
            return None
        if values.host_of(value) == public:
            raise Conflict("must have another host name than KEYHOLE_PUBLIC_URL: cookies ignore ports")
        _check_url(value, info.data)
        _check_reach(info.data["staff_bind"], "staff_bind", value, info.data)
        return value


def _own_address(bind: Bind | None, public: str, *, tls: bool) -> str | None:
    """The URL of a staff listener that nobody has given one: on loopback, the host name that *public* is not."""
    if bind is None:
        return None
    if bind.wildcard:
        raise Conflict("is not set: URL under which staff reach the staff listener")
    if bind.loopback:
        bind = Bind("127.0.0.1" if public == "localhost" else "localhost", bind.port)
    return values.origin(f"{'https' if tls else 'http'}://{bind}")


def _check_url(url: str, others: Mapping[str, Any]) -> None:
    """Refuse a URL that sends links or images over a network in the clear, or that our own TLS contradicts."""
    if url.startswith("https:"):
        return
    if others.get("tls_cert") is not None:
        raise Conflict("does not start with https:, but KEYHOLE_TLS_CERT is set")
    if not values.is_loopback(values.host_of(url)) and not others.get("insecure_http", True):
        raise Conflict(f"is for other machines, {_READABLE}: use https; {_FORCE}")


def _check_reach(bind: Bind | None, field: str, url: str | None, others: Mapping[str, Any]) -> None:
    """Refuse a listener that other machines reach without https.

    It speaks https itself, or *url* is https and the proxies that end TLS are named: the word of an operator who names
    them is taken for it that they stand in front.
    """
    if bind is None or bind.loopback or others.get("insecure_http", True) or others.get("tls_cert", "wrong"):
        return
    if url is not None and url.startswith("https:") and others.get("trusted_proxies"):
        return
    raise Conflict(f"can be reached from other machines, {_READABLE}: {_WAYS_OUT[field]}; {_FORCE}", field)


_PROXIED = "set KEYHOLE_TLS_CERT and KEYHOLE_TLS_KEY, or bind 127.0.0.1, or name the proxies that end TLS in"
_WAYS_OUT = {
    "bind": f"{_PROXIED} KEYHOLE_TRUSTED_PROXIES and give an https KEYHOLE_PUBLIC_URL",
    "staff_bind": f"{_PROXIED} KEYHOLE_TRUSTED_PROXIES and give an https KEYHOLE_STAFF_URL",
    "internal_bind": "bind 127.0.0.1",
}
