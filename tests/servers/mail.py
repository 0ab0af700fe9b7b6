"""A real mail server on the loopback that does as it is told, and what it was handed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers.process import free_port


@dataclass
class Postbox:
    """What a mail server does with mail. ``to`` is its answer to a recipient, ``answer`` to the mail itself.

    ``slow`` are the seconds it takes before, ``drops``: it hangs up in the middle of the mail.
    """

    to: str = "250 ok"
    answer: str = "250 taken"
    slow: float = 0.0
    drops: bool = False
    sessions: int = 0
    envelopes: list[Envelope] = field(default_factory=list)

    @property
    def mails(self) -> list[EmailMessage]:
        """What was taken, read with the standard library's parser."""
        read = (message_from_bytes(envelope.content or b"", policy=policy.default) for envelope in self.envelopes)
        return [mail for mail in read if isinstance(mail, EmailMessage)]

    def to_address(self, address: str) -> list[EmailMessage]:
        """What was taken for *address*."""
        return [mail for mail in self.mails if address in str(mail["To"])]


@dataclass(frozen=True)
class _Handler:
    """What aiosmtpd calls. It looks at every attribute with each connection, so there is nothing here to work out."""

    postbox: Postbox

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: Any) -> str:  # noqa: N802
        self.postbox.sessions += 1
        if self.postbox.to.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.postbox.to

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.postbox.slow)
        if self.postbox.drops:
            server.transport.abort()
            return "451 gone"
        if self.postbox.answer.startswith("250"):
            self.postbox.envelopes.append(envelope)
        return self.postbox.answer


@contextmanager
def mail_server(postbox: Postbox, port: int | None = None, **options: Any) -> Iterator[int]:
    """Take mail into *postbox* at the port that is given back."""
    controller = Controller(_Handler(postbox), hostname="127.0.0.1", port=port or free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()
