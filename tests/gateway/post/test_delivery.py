"""From the queue to a real mail server, plain and with TLS; and servers that are down, slow, refuse, or hang up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.mail import Mail
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.post.fate import MailState, state
from keyhole.gateway.post.queue import PACE, Queue
from keyhole.gateway.post.rows import link_mail
from keyhole.gateway.smtp import MailServer
from keyhole.sharing.link import link
from keyhole.store.memory import MemoryStore
from tests.gateway.post.makers import PUBLIC, RING, a_share, a_writer
from tests.servers.mail import Postbox, mail_server
from tests.servers.process import free_port
from tests.serving.certificates import authority_and_server

pytestmark = pytest.mark.loopback

HASTY = replace(PACE, look=0.01, backoff=(timedelta(milliseconds=50),), patience=1.0)


class Sending:
    """A queue before a mail server."""

    def __init__(self, port: int, **changes: Any) -> None:
        self.store = MemoryStore()
        values = {"host": "127.0.0.1", "port": port, "starttls": False, "tls": False, "patience": HASTY.patience}
        self.queue = Queue(
            store=self.store,
            ledger=Ledger(self.store, _now),
            writer=a_writer(),
            post=MailServer(**{**values, **changes}),
            now=_now,
            pace=HASTY,
        )

    async def link(self) -> tuple[str, Mail]:
        """A link that waits to be mailed."""
        share = a_share(created_at=_now(), expires_at=_now() + timedelta(days=7))
        mail = link_mail(share, _now())
        made = Record(at=_now(), event=Event.SHARE_CREATED, subject="user:anna")
        await self.store.add_share(share, made, (mail,))
        return link(PUBLIC, share, RING), mail

    async def kept(self, mail: Mail) -> Mail:
        [kept] = await self.store.mails(mail.share)
        return kept

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.queue.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def becomes(self, mail: Mail, is_so: Callable[[Mail], bool]) -> Mail:
        async with asyncio.timeout(20):
            while True:
                kept = await self.kept(mail)
                if is_so(kept):
                    return kept
                await asyncio.sleep(0.01)


def _now() -> datetime:
    return datetime.now(UTC)


def _sent(mail: Mail) -> bool:
    return state(mail) is MailState.SENT


def _tried(mail: Mail) -> bool:
    return mail.tries >= 2 and mail.problem is not None


async def test_a_link_arrives_as_text_and_html_and_opens() -> None:
    postbox = Postbox()
    with mail_server(postbox) as port:
        sending = Sending(port)
        address, mail = await sending.link()
        async with sending.running():
            await sending.becomes(mail, _sent)
    [received] = postbox.mails
    text, html = received.get_body(("plain",)), received.get_body(("html",))
    assert text is not None
    assert html is not None
    assert address in text.get_content()
    assert address in html.get_content()
    assert received["Auto-Submitted"] == "auto-generated"
    assert postbox.envelopes[0].rcpt_tos == ["roe@praxis.example"]
    assert postbox.envelopes[0].mail_from == "radiology@clinic.example"


@pytest.mark.parametrize("tls", [False, True], ids=["STARTTLS", "TLS from the first byte"])
async def test_a_server_with_a_certificate_of_the_sites_own_authority(
    tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, certificate, key = authority_and_server(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = {"ssl_context": context} if tls else {"tls_context": context, "require_starttls": True}
    postbox = Postbox()
    if tls:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))  # the server's own trial connection, too
    with mail_server(postbox, **options) as port:
        sending = Sending(port, starttls=not tls, tls=tls)
        _, mail = await sending.link()
        async with sending.running():
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            kept = await sending.becomes(mail, _tried)
            assert "its certificate is not trusted" in (kept.problem or "")
            assert postbox.mails == []
            monkeypatch.setenv("SSL_CERT_FILE", str(authority))
            await sending.becomes(mail, _sent)
    assert len(postbox.mails) == 1


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        pytest.param({"to": "451 greylisted roe@praxis.example"}, "refuses the recipient (451)", id="refuses for now"),
        pytest.param({"answer": "452 full"}, "does not take the mail (452)", id="has no room for now"),
        pytest.param({"slow": 30.0}, "it takes too long", id="is slow"),
        pytest.param({"drops": True}, "it hung up before it had taken the mail", id="hangs up in the middle"),
    ],
)
async def test_a_mail_arrives_once_when_the_server_has_recovered_that(trouble: dict[str, Any], words: str) -> None:
    postbox = Postbox(**trouble)
    with mail_server(postbox) as port:
        sending = Sending(port)
        _, mail = await sending.link()
        async with sending.running():
            kept = await sending.becomes(mail, _tried)
            assert words in (kept.problem or "")
            assert "praxis" not in (kept.problem or "")
            assert postbox.mails == []
            postbox.to, postbox.answer, postbox.slow, postbox.drops = "250 ok", "250 taken", 0.0, False
            await sending.becomes(mail, _sent)
            await asyncio.sleep(0.2)
    assert len(postbox.mails) == 1


async def test_a_mail_arrives_once_when_a_server_comes_back_that_was_down() -> None:
    port, postbox = free_port(), Postbox()
    sending = Sending(port)
    _, mail = await sending.link()
    async with sending.running():
        kept = await sending.becomes(mail, _tried)
        assert "cannot be reached" in (kept.problem or "")
        with mail_server(postbox, port):
            await sending.becomes(mail, _sent)
            await asyncio.sleep(0.2)
    assert len(postbox.mails) == 1


@pytest.mark.parametrize(
    "trouble", [{"to": "550 no such user"}, {"answer": "554 spam"}], ids=["the recipient", "the mail"]
)
async def test_what_is_refused_for_good_is_not_tried_again(trouble: dict[str, Any]) -> None:
    postbox = Postbox(**trouble)
    with mail_server(postbox) as port:
        sending = Sending(port)
        _, mail = await sending.link()
        async with sending.running():
            kept = await sending.becomes(mail, lambda one: state(one) is MailState.FAILED)
            await asyncio.sleep(0.3)
    assert (kept.tries, postbox.sessions) == (1, 1)
    assert "(55" in (kept.problem or "")


async def test_one_bad_recipient_holds_up_no_other() -> None:
    postbox = Postbox()
    with mail_server(postbox) as port:
        sending = Sending(port)
        mails = [(await sending.link())[1] for _ in range(30)]
        async with sending.running():
            for mail in mails:
                await sending.becomes(mail, _sent)
    assert len({received["Message-ID"] for received in postbox.mails}) == len(postbox.mails) == 30
