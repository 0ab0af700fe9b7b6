"""Mail handed to a real mail server on the loopback: with TLS or not at all, and what is told when it is not taken."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from keyhole.errors import MailFailed
from keyhole.gateway.smtp import MailServer
from tests.servers.process import free_port
from tests.serving.certificates import self_signed

pytestmark = pytest.mark.loopback
PASSWORD = "not-a-real-password"


class Inbox:
    """What a mail server does with mail; ``answer`` is what it says to it."""

    def __init__(self, answer: str = "250 taken", to: str = "250 ok") -> None:
        self.answer, self.to = answer, to
        self.mails: list[Envelope] = []

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: Any) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        return self.to

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        return self.answer


@contextmanager
def server(inbox: Inbox, **options: Any) -> Iterator[int]:
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def to(port: int, **changes: Any) -> MailServer:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": port, "starttls": False, "tls": False}
    return MailServer(**{**values, **changes})


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Röntgen <radiology@clinic.example>"
    message["To"] = "dr@praxis.example"
    message["Subject"] = "Bilder für Sie"
    message.set_content("https://images.example/s/x#y " + "ü" * 200 + "\n.\n")
    return message


async def test_a_mail_arrives_as_it_was_written() -> None:
    inbox = Inbox()
    with server(inbox) as port:
        await to(port).send(mail())
    (envelope,) = inbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("radiology@clinic.example", ["dr@praxis.example"])
    arrived = message_from_bytes(envelope.content or b"", policy=policy.default)
    assert (arrived["Subject"], arrived.get_content()) == ("Bilder für Sie", mail().get_content())


async def test_a_server_without_the_protection_that_was_set_gets_nothing() -> None:
    inbox = Inbox()
    with server(inbox) as port:
        for protection in ({"starttls": True}, {"tls": True}):
            with pytest.raises(MailFailed):
                await to(port, **protection, patience=3.0).send(mail())
    assert inbox.mails == []


def with_tls(folder: Path) -> tuple[dict[str, Any], Path]:
    """Options of a server that insists on STARTTLS, and its certificate."""
    cert, key = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return {"tls_context": context, "require_starttls": True}, cert


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    inbox = Inbox()
    options, _ = with_tls(tmp_path)
    with server(inbox, **options) as port, pytest.raises(MailFailed, match="certificate"):
        await to(port, starttls=True).send(mail())
    assert inbox.mails == []


async def test_a_trusted_server_gets_the_mail_after_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox()
    options, cert = with_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with server(inbox, **options) as port:
        await to(port, starttls=True).send(mail())
    assert len(inbox.mails) == 1


@pytest.mark.parametrize(
    ("inbox", "words"),
    [
        (Inbox(answer="550 no"), "does not take the mail"),
        (Inbox(to="550 unknown dr@praxis.example"), "refuses the recipient"),
    ],
)
async def test_a_refusal_is_told_in_our_words(inbox: Inbox, words: str) -> None:
    with server(inbox) as port, pytest.raises(MailFailed, match=words) as caught:
        await to(port).send(mail())
    assert "praxis" not in str(caught.value)


async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)

    options, cert = with_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with (
        server(Inbox(), authenticator=check, auth_required=True, **options) as port,
        pytest.raises(MailFailed, match="refuses the user or the password") as caught,
    ):
        await to(port, starttls=True, user="k", password=PASSWORD).send(mail())
    assert PASSWORD not in str(caught.value) + repr(to(1, password=PASSWORD))


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(MailFailed, match="cannot be reached"):
        await to(free_port()).send(mail())
