"""Mail from a real Keyhole to a real mail server: links, codes and notices, and a Keyhole that is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.share import ShareChange
from keyhole.app import now, signing
from keyhole.archive.sample import ROOT, write_sample
from keyhole.gateway.post.rows import link_mail
from keyhole.gateway.ring_file import RingFile
from keyhole.store.database import open_store
from tests.servers import hasty
from tests.servers.keyhole import Answer, Keyhole, at_rest, share_id
from tests.servers.mail import Postbox, mail_server
from tests.servers.process import free_port, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STUDY = f"{ROOT}.1"
RECIPIENT, SENDER = "roe@praxis.example", "sender@clinic.example"
ARRIVES_WITHIN = 30
LINK = re.compile(r"^http://127\.0\.0\.1:\d+/s/[a-z2-7]{16}#[a-z2-7]{35}$", re.MULTILINE)
CODE = re.compile(r"^ {4}(\d{6})$", re.MULTILINE)


@contextmanager
def keyhole(folder: Path, port: int, **more: Any) -> Iterator[Keyhole]:
    """A Keyhole in a hurry that hands its mail over at *port*."""
    images = folder / "images"
    images.mkdir()
    write_sample(images)
    mail = {
        "KEYHOLE_SMTP_HOST": "127.0.0.1",
        "KEYHOLE_SMTP_PORT": str(port),
        "KEYHOLE_SMTP_SECURITY": "none",
        "KEYHOLE_MAIL_FROM": "Radiology <radiology@clinic.example>",
        "KEYHOLE_SITE_NAME": "Clinic Example",
    }
    server = at_rest(folder, {"KEYHOLE_ARCHIVE": str(images)}, **mail, **more)
    server.process.command = [*hasty.COMMAND, "serve"]
    with server.process:
        yield server
    assert not server.leaks()
    assert "@" not in server.process.said(), "no address is in the log"


class Sender:
    """A program of staff's that shares, over the staff API."""

    def __init__(self, server: Keyhole) -> None:
        self._server, self._key = server, server.key("portal", "sharer")

    def shares(self, **more: Any) -> str:
        """A new link."""
        made = self._asked("POST", "/api/v1/shares", {"studies": [STUDY], "for": "7d", **more})
        self._server.secrets.add(made["link"].partition("#")[2])
        return str(made["link"])

    def mails(self, link: str) -> None:
        """Have *link* mailed to its recipient."""
        self._asked("POST", f"/api/v1/shares/{share_id(link)}/mails", {})

    def sees(self, link: str) -> list[dict[str, Any]]:
        """The mails about *link*."""
        return list(self._asked("GET", f"/api/v1/shares/{share_id(link)}/mails")["mails"])

    def _asked(self, method: str, path: str, content: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        body = None if content is None else json.dumps(content).encode()
        answer = self._server.ask(method, path, headers, body, port=self._server.staff_port)
        assert answer.status in (200, 201, 202), answer.body
        return answer.json()


def text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def arrived(postbox: Postbox, address: str, subject: str) -> EmailMessage:
    """The one mail to *address* with *subject* in its subject; fails when there is none in time, or more."""
    found: list[EmailMessage] = []

    def there() -> bool:
        found[:] = [mail for mail in postbox.to_address(address) if subject in str(mail["Subject"])]
        return bool(found)

    wait_until(there, ARRIVES_WITHIN, f"no mail about {subject}: {[str(mail['Subject']) for mail in postbox.mails]}")
    [mail] = found
    return mail


def code_asked(server: Keyhole, link: str) -> str:
    """Ask for a code; the ticket."""
    answer = server.post_json(f"/s/{share_id(link)}/codes", {"secret": link.partition("#")[2]})
    assert answer.status == 202, answer.body
    assert answer.json()["mail_to"] == "r•••@praxis.example"
    return str(answer.json()["ticket"])


def answered(server: Keyhole, link: str, **answers: str) -> Answer:
    return server.post_json(f"/s/{share_id(link)}/visits", {"secret": link.partition("#")[2], **answers})


def test_a_link_goes_by_mail_its_code_in_another_and_the_sender_is_told(tmp_path: Path) -> None:
    postbox = Postbox()
    with mail_server(postbox) as port, keyhole(tmp_path, port) as server:
        sender = Sender(server)
        made = sender.shares(mail_code=True, mail_to=RECIPIENT, notify=SENDER, language="fr")
        sender.mails(made)
        letter = arrived(postbox, RECIPIENT, "des images pour vous")
        [link] = LINK.findall(text(letter))
        assert link == made
        assert not CODE.search(text(letter))

        ticket = code_asked(server, link)
        mail = arrived(postbox, RECIPIENT, "votre code")
        [code] = CODE.findall(text(mail))
        assert "/s/" not in str(mail)
        assert link.partition("#")[2] not in str(mail)
        assert answered(server, link, mail_code=code, ticket=ticket).status == 201

        told = arrived(postbox, SENDER, "was opened")
        assert share_id(link) in text(told)
        assert "/s/" not in str(told)
        states = {mail["kind"]: mail["state"] for mail in sender.sees(link)}
        assert states == {"link": "sent", "code": "sent", "opened": "sent", "ending": "waiting"}
        sent = [row for row in server.trail("--share", share_id(link)) if row["event"] == "mail-sent"]
        assert Counter(row["detail"]["mail"] for row in sent) == {"link": 1, "code": 1, "opened": 1}
        server.verify_trail()


def test_a_lock_is_told_to_the_sender_once(tmp_path: Path) -> None:
    postbox = Postbox()
    with mail_server(postbox) as port, keyhole(tmp_path, port) as server:
        link = Sender(server).shares(passcode="harbour-lantern", notify=SENDER)
        for _ in range(5):
            assert answered(server, link, passcode="wrong-wrong-wrong").status == 403
        told = arrived(postbox, SENDER, "is locked")
        assert f"keyhole renew {share_id(link)} --new-link" in text(told)
        assert "harbour" not in str(told)
        assert answered(server, link, passcode="harbour-lantern").status == 410
        time.sleep(1)
        assert len(postbox.to_address(SENDER)) == 1


def test_what_waits_when_keyhole_is_killed_is_sent_by_the_next(tmp_path: Path) -> None:
    shares, port, postbox = 20, free_port(), Postbox(slow=0.1)
    chance = random.Random(5)
    with keyhole(tmp_path, port, workers=2) as server:
        wanted = {f"r{number}@praxis.example" for number in range(shares)}
        sender = Sender(server)
        for address in sorted(wanted):
            sender.mails(sender.shares(mail_to=address))
        server.process.kill()  # while the mail server is down: all of them wait
        with mail_server(postbox, port):
            server.process.start()
            wait_until(lambda: len(postbox.mails) > 0, ARRIVES_WITHIN, "no mail arrives")
            time.sleep(chance.uniform(0, 0.3))
            server.process.kill()  # while some are on their way
            server.process.start()
            wait_until(lambda: _to(postbox) >= wanted, ARRIVES_WITHIN, lambda: f"lacking {wanted - _to(postbox)}")
            wait_until(lambda: not _waiting(server), ARRIVES_WITHIN, "mails wait although all have arrived")
        twice = Counter(str(mail["Message-ID"]) for mail in postbox.mails)
        in_hand = 2 * hasty.HASTY.at_once
        assert sum(twice.values()) - len(twice) <= in_hand, "only what was in hand when it was killed came twice"
        assert len(twice) == shares
        recorded = Counter(row["share"] for row in server.trail() if row["event"] == "mail-sent")
        assert len(recorded) == shares
        assert sum(recorded.values()) >= len(postbox.mails), "each handing over was recorded before"
        server.verify_trail()


def _to(postbox: Postbox) -> set[str]:
    return {str(mail["To"]) for mail in postbox.mails}


def _waiting(server: Keyhole) -> int:
    with closing(sqlite3.connect(f"file:{server.data}/keyhole.db?mode=ro", uri=True, timeout=30)) as database:
        waiting = "SELECT count(*) FROM mails WHERE sent_at IS NULL AND failed_at IS NULL"
        return int(database.execute(waiting).fetchone()[0])


def test_a_thousand_mails_that_wait_hold_up_nobody(tmp_path: Path) -> None:
    postbox = Postbox(slow=0.02)
    with mail_server(postbox) as port, keyhole(tmp_path, port) as server:
        sender = Sender(server)
        link = sender.shares(mail_to=RECIPIENT, passcode="harbour-lantern")
        queue(server, link, 1000)
        wait_until(lambda: len(postbox.envelopes) > 10, ARRIVES_WITHIN, "no mail arrives")
        for _ in range(100):
            assert server.get(f"/s/{share_id(link)}").status == 200
            assert answered(server, link).json()["reason"] == "answers-needed"
        assert _waiting(server), "all that was answered while mails were on their way"


def queue(server: Keyhole, link: str, count: int) -> None:
    """Put *count* mails with *link* into the queue, past the limit of what one sender may mail."""

    async def put() -> None:
        ring = RingFile(server.data, time.monotonic)
        store = open_store(f"sqlite:///{server.data}/keyhole.db", lambda: signing(ring.ring()), server.data)
        try:
            share = await store.share(share_id(link))
            assert share is not None
            record = Record(at=now(), event=Event.LINK_SHOWN, subject="user:test", share=share.id)
            await store.change_share(share.id, ShareChange(), record, [link_mail(share, now()) for _ in range(count)])
        finally:
            await store.close()

    asyncio.run(put())
