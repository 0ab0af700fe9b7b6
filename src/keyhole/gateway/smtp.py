"""Mail on its way to a mail server. The only module that knows the SMTP client."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from keyhole.errors import MailFailed, MailRefused

_WHY: tuple[tuple[type[Exception], str], ...] = (
    (aiosmtplib.SMTPAuthenticationError, "it refuses the user or the password"),
    (aiosmtplib.SMTPRecipientsRefused, "it refuses the recipient"),
    (aiosmtplib.SMTPSenderRefused, "it refuses the sender"),
    (aiosmtplib.SMTPTimeoutError, "it takes too long"),
    (TimeoutError, "it takes too long"),
    (ssl.SSLError, "its certificate is not trusted, or it speaks no TLS there"),
    (aiosmtplib.SMTPServerDisconnected, "it hung up before it had taken the mail"),
    (aiosmtplib.SMTPConnectError, "it cannot be reached"),
    (OSError, "it cannot be reached"),
    (aiosmtplib.SMTPException, "it does not take the mail"),
)
"""The narrower kinds first. What the server itself says is not repeated: it quotes addresses."""

_NOT_OFFERED = "it does not offer what is set: STARTTLS, or a user and password"
_PERMANENT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed over, one message to a connection; never without the protection that was set."""

    host: str
    port: int
    starttls: bool
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    patience: float = 15.0
    """Seconds for one message."""

    async def send(self, message: EmailMessage) -> None:
        """Return when the server has taken *message* for all its recipients; raise MailFailed with what to tell.

        MailRefused when it says that it never will. After any other failure nobody knows for certain that it was not
        taken: the connection may have been lost with the answer.
        """
        try:
            async with asyncio.timeout(self.patience):
                await aiosmtplib.send(
                    message.as_bytes(policy=SMTP),
                    sender=message["From"].addresses[0].addr_spec,
                    recipients=[address.addr_spec for address in message["To"].addresses],
                    hostname=self.host,
                    port=self.port,
                    username=self.user,
                    password=self.password,
                    start_tls=self.starttls,
                    use_tls=self.tls,
                    timeout=self.patience,
                )
        except Exception as error:
            why = _why(_cause(error))
            if why is None:
                raise
            failed = MailRefused if _for_good(error) else MailFailed
            raise failed(f"the mail server did not take the mail: {why}{_code(error)}") from None


def _why(cause: BaseException) -> str | None:
    """What to tell of *cause*; None when it has nothing to do with mail."""
    if type(cause) is aiosmtplib.SMTPException:  # the client has no kind of its own for a server that lacks something
        return _NOT_OFFERED
    return next((words for kind, words in _WHY if isinstance(cause, kind)), None)


def _cause(error: Exception) -> BaseException:
    """What *error* comes of: what goes wrong with TLS from the first byte is told as a failed connection."""
    return error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error


def _codes(error: Exception) -> list[int]:
    """The reply codes (RFC 5321 section 4.2) that *error* is about, one for each recipient that was refused."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return [each.code for each in error.recipients]
    return [error.code] if isinstance(error, aiosmtplib.SMTPResponseException) else []


def _code(error: Exception) -> str:
    """The code for whoever looks into the server's log: all that is repeated of what it said."""
    return "".join(f" ({code})" for code in _codes(error)[:1])


def _for_good(error: Exception) -> bool:
    """Whether it is the recipient or the mail itself that was refused, not the site, which can be mended."""
    about_this_mail = isinstance(error, aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPDataError)
    return about_this_mail and all(code >= _PERMANENT for code in _codes(error))
