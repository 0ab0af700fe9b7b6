"""The settings of mail that Keyhole sends."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
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

from keyhole.settings import values
from keyhole.settings.values import Conflict


class Security(StrEnum):
    """How the way to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MailSettings(BaseModel):
    """The mail server, who mail is from, and what may be in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    smtp_host: str | None = Field(None, description="host name of the mail server; none: nothing is mailed")
    smtp_port: int = Field(587, ge=1, le=65535, description="port of the mail server")
    smtp_security: Security = Field(
        Security.STARTTLS,
        description="`starttls`, `tls` (from the first byte, usually port 465) or `none`; a server that does not speak"
        " what is set is not used",
    )
    smtp_user: str | None = Field(None, description="user name at the mail server")
    smtp_password: SecretStr | None = Field(
        None, description="password at the mail server", json_schema_extra={"secret": True}
    )
    mail_from: Annotated[str, AfterValidator(values.mailbox)] | None = Field(
        None, description="who mail is from: `address` or `Name <address>`"
    )
    mail_reply_to: Annotated[str, AfterValidator(values.mailbox)] | None = Field(
        None, description="where answers go; to who mail is from without"
    )
    mail_domains: Annotated[frozenset[str], BeforeValidator(values.names)] = Field(
        frozenset(), description="domains that mail may go to, separated by commas; any without"
    )
    mail_names: bool = Field(
        default=False,
        description="mails may call recipients as their senders do; of the archive nothing is ever in a mail",
    )
    mail_templates: Annotated[Path, AfterValidator(values.folder)] | None = Field(
        None, description="folder of `NAME.html`, the templates that Orthanc Explorer 2 offers for mail"
    )

    _with_smtp_user = field_validator("smtp_password")(values.together("smtp_user"))

    @field_validator("smtp_password")
    @classmethod
    def _not_readable_on_the_way(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        clear = info.data.get("smtp_security") is Security.NONE
        if value is not None and clear and not values.is_loopback(info.data.get("smtp_host") or "localhost"):
            raise Conflict("could be read on the way: set KEYHOLE_SMTP_SECURITY to starttls or tls")
        return value

    @field_validator("mail_from")
    @classmethod
    def _from_somebody(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("smtp_host") is not None:
            raise Conflict("is not set: who mail is from, needed with KEYHOLE_SMTP_HOST")
        return value
