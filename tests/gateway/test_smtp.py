"""Mail handed to a real mail server on the loopback: with TLS or not at all, and what is told when it is not taken."""

from __future__ import annotations

import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from keyhole.errors import MailFailed, MailRefused
from keyhole.gateway.smtp import MailServer
from tests.servers.mail import Postbox, mail_server
from tests.servers.process import free_port
from tests.serving.certificates import self_signed

pytestmark = pytest.mark.loopback
PASSWORD = "not-a-real-password"


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
    inbox = Postbox()
    with mail_server(inbox) as port:
        await to(port).send(mail())
    (envelope,) = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("radiology@clinic.example", ["dr@praxis.example"])
    arrived = message_from_bytes(envelope.content or b"", policy=policy.default)
    assert (arrived["Subject"], arrived.get_content()) == ("Bilder für Sie", mail().get_content())


async def test_a_server_without_the_protection_that_was_set_gets_nothing() -> None:
    inbox = Postbox()
    with mail_server(inbox) as port:
        for protection, why in (({"starttls": True}, "STARTTLS"), ({"tls": True}, "it speaks no TLS there")):
            with pytest.raises(MailFailed, match=why):
                await to(port, **protection, patience=3.0).send(mail())
    assert inbox.envelopes == []


def with_tls(folder: Path) -> tuple[dict[str, Any], Path]:
    """Options of a server that insists on STARTTLS, and its certificate."""
    cert, key = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return {"tls_context": context, "require_starttls": True}, cert


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    inbox = Postbox()
    options, _ = with_tls(tmp_path)
    with mail_server(inbox, **options) as port, pytest.raises(MailFailed, match="certificate"):
        await to(port, starttls=True).send(mail())
    assert inbox.envelopes == []


async def test_a_trusted_server_gets_the_mail_after_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Postbox()
    options, cert = with_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with mail_server(inbox, **options) as port:
        await to(port, starttls=True).send(mail())
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize(
    ("inbox", "words"),
    [
        (Postbox(answer="550 no"), "does not take the mail"),
        (Postbox(to="550 unknown dr@praxis.example"), "refuses the recipient"),
    ],
)
async def test_a_refusal_is_told_in_our_words(inbox: Postbox, words: str) -> None:
    with mail_server(inbox) as port, pytest.raises(MailFailed, match=words) as caught:
        await to(port).send(mail())
    assert "praxis" not in str(caught.value)


async def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)

    options, cert = with_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with (
        mail_server(Postbox(), authenticator=check, auth_required=True, **options) as port,
        pytest.raises(MailFailed, match="refuses the user or the password") as caught,
    ):
        await to(port, starttls=True, user="k", password=PASSWORD).send(mail())
    assert PASSWORD not in str(caught.value) + repr(to(1, password=PASSWORD))


@pytest.mark.parametrize(
    ("trouble", "for_good"),
    [
        pytest.param({"to": "550 unknown"}, True, id="an unknown recipient stays unknown"),
        pytest.param({"to": "451 greylisted"}, False, id="one that is put off may be taken later"),
        pytest.param({"answer": "554 spam"}, True, id="a mail that is not wanted will not be"),
        pytest.param({"answer": "452 full"}, False, id="a full disk gets room"),
    ],
)
async def test_what_is_refused_for_good_is_told_from_what_may_yet_be_taken(
    trouble: dict[str, str], for_good: bool
) -> None:
    with mail_server(Postbox(**trouble)) as port, pytest.raises(MailFailed) as caught:
        await to(port).send(mail())
    assert isinstance(caught.value, MailRefused) is for_good


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(MailFailed, match="cannot be reached"):
        await to(free_port()).send(mail())
