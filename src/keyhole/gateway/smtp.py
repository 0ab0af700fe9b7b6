"""Mail on its way to a mail server. The only module that knows the SMTP client."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from keyhole.errors import MailFailed

_WHY: tuple[tuple[type[Exception], str], ...] = (
    (aiosmtplib.SMTPAuthenticationError, "it refuses the user or the password"),
    (aiosmtplib.SMTPRecipientsRefused, "it refuses the recipient"),
    (aiosmtplib.SMTPSenderRefused, "it refuses the sender"),
    (aiosmtplib.SMTPTimeoutError, "it takes too long"),
    (TimeoutError, "it takes too long"),
    (ssl.SSLError, "its certificate is not trusted, or it speaks no TLS there"),
    (aiosmtplib.SMTPConnectError, "it cannot be reached"),
    (OSError, "it cannot be reached"),
    (aiosmtplib.SMTPException, "it does not take the mail"),
)
"""The narrower kinds first. What the server itself says is not repeated: it quotes addresses."""


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
        """Return when the server has taken *message* for all its recipients; raise MailFailed with what to tell."""
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
            why = next((words for kind, words in _WHY if isinstance(error, kind)), None)
            if why is None:
                raise
            raise MailFailed(f"the mail server did not take the mail: {why}") from None
