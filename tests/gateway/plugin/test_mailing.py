"""Mail written in Orthanc Explorer 2: what may leave, to whom, with what in it, and what is on record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.errors import MailFailed, Refused
from keyhole.gateway.client import Client
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.mailing import MAILS_AT_ONCE, MOST_RECIPIENTS, Mailing, MailOrder
from keyhole.gateway.plugin.templates import Templates
from keyhole.gateway.plugin.tokens import Tokens
from keyhole.gateway.throttle import Throttle
from keyhole.sharing.link import KeyRing, link, new_id
from keyhole.sharing.token import Opens, bare, parse_token, token_of, verify_token
from keyhole.store.memory import MemoryStore
from keyhole.store.trail import TrailQuery

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PUBLIC = "https://images.example"
RING = KeyRing.new()
CALLER = Caller(name="orthanc", archive="main")
CLIENT = Client("192.0.2.7", "")


def a_share(**changes: Any) -> Share:
    values: dict[str, Any] = {
        "id": new_id(),
        "archive": "main",
        "resources": (Resource.of("main", "1.2.3"),),
        "kind": ShareKind.VIEW,
        "creator": "plugin:orthanc",
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=1),
        "key_id": RING.current,
        "token_type": "stone-viewer-publication",
    }
    return Share(**{**values, **changes})


class OwnTokens:
    """Keyhole's own tokens, of the shares in a store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    async def share(self, text: str) -> Share | None:
        parsed = parse_token(bare(text))
        share = parsed and await self.store.share(parsed[0])
        return share if share and parsed and verify_token(share, parsed[1], RING) else None


@dataclass
class Desk:
    """The mailing with a post that keeps what it is handed."""

    folder: Path | None = None
    domains: frozenset[str] = frozenset()
    types: Mapping[str, Any] = field(default_factory=dict)
    fails: bool = False
    sent: list[EmailMessage] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.mailing = Mailing(
            post=self,
            templates=Templates(self.folder),
            rows=self.store,
            tokens=Tokens((OwnTokens(self.store),), self.types),
            ring=RING,
            ledger=Ledger(self.store, lambda: NOW),
            throttle=Throttle(at_once=MAILS_AT_ONCE, per_second=0.1),
            sender="Radiology <radiology@clinic.example>",
            reply_to=None,
            domains=self.domains,
            roots=(PUBLIC,),
            now=lambda: NOW,
        )

    async def send(self, message: EmailMessage) -> None:
        if self.fails:
            raise MailFailed("the mail server did not take the mail: it takes too long")
        self.sent.append(message)

    async def kept(self, **changes: Any) -> Share:
        share = a_share(**changes)
        await self.store.add_share(share, Record(at=NOW, event=Event.SHARE_CREATED, subject="plugin:orthanc"))
        return share

    async def mail(self, content: str, to: str = "dr@praxis.example", **more: str | None) -> None:
        order = MailOrder(destination_email=to, email_content=content, **more)
        await self.mailing.send(CALLER, order, CLIENT)

    async def records(self) -> list[Record]:
        return [row.record for row in await self.store.trail(TrailQuery())]


def shown(share: Share) -> str:
    return link(PUBLIC, share, RING)


async def test_a_mail_with_a_link_leaves_and_is_on_record_first() -> None:
    desk = Desk()
    share = await desk.kept()
    await desk.mail(f'<p>Your images: <a href="{shown(share)}">open</a></p>', email_title="Images")
    (message,) = desk.sent
    assert (message["To"], message["From"], message["Subject"]) == (
        "dr@praxis.example",
        "Radiology <radiology@clinic.example>",
        "Images",
    )
    text, html = message.iter_parts()
    assert text.get_content() == f"Your images: open {shown(share)}\n"
    assert shown(share) in html.get_content()
    record = (await desk.records())[-1]
    assert (record.event, record.share, record.personal["recipient"]) == (
        Event.MAIL_SENT,
        share.id,
        "dr@praxis.example",
    )


async def test_each_recipient_gets_a_mail_alone() -> None:
    desk = Desk()
    share = await desk.kept()
    await desk.mail(shown(share), "a@praxis.example; b@praxis.example,c@praxis.example a@praxis.example")
    assert sorted(message["To"] for message in desk.sent) == [f"{name}@praxis.example" for name in "abc"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<p>no link</p>",
        f"{PUBLIC}/s/aaaaaaaaaaaaaaaa#{'a' * 35}",
        "kht_aaaaaaaaaaaaaaaa_" + "a" * 32,
        '<script>location="https://images.example"</script>',
    ],
)
async def test_without_a_link_that_opens_something_nothing_leaves(content: str) -> None:
    desk = Desk()
    with pytest.raises(Refused, match="no link"):
        await desk.mail(content)
    assert desk.sent == []


@pytest.mark.parametrize("changes", [{"withdrawn_at": NOW}, {"expires_at": NOW}, {"archive": "other"}])
async def test_a_link_that_opens_nothing_here_and_now_is_none(changes: dict[str, Any]) -> None:
    desk = Desk()
    if "archive" in changes:
        changes = {**changes, "resources": (Resource.of("other", "1.2.3"),)}
    share = await desk.kept(**changes)
    with pytest.raises(Refused, match="no link"):
        await desk.mail(shown(share))


async def test_a_viewers_own_address_will_do_where_its_token_opens_the_share() -> None:
    desk = Desk(types={"stone-viewer-publication": Opens.DIRECT})
    share = await desk.kept(bearer=True)
    await desk.mail(f"<p>{token_of(share, RING).reveal()}</p>")
    assert len(desk.sent) == 1
    landing = await desk.kept(bearer=False)
    with pytest.raises(Refused, match="no link"):
        await desk.mail(f"<p>{token_of(landing, RING).reveal()}</p>")


async def test_nothing_active_and_no_foreign_address_leaves() -> None:
    desk = Desk()
    share = await desk.kept()
    await desk.mail(
        f'<p onclick="x()" style="a">{shown(share)}</p><img src="https://evil.example/t.gif"><iframe src="x"></iframe>'
        '<a href="https://evil.example/">a</a><a href="javascript:x()">b</a><form action="x"><input></form>'
        f'<a href="{PUBLIC}.evil.example/">c</a><style>p{{}}</style><script>x()</script><svg onload=x()></svg>'
    )
    html = list(desk.sent[0].iter_parts())[1].get_content()
    for trace in ("evil", "script", "onclick", "style", "img", "iframe", "form", "svg", "onload"):
        assert trace not in html


@pytest.mark.parametrize("to", ["", " ; ", "nobody", "a@", "@b", "a@b@c", "ä@praxis.example", "<a@b.example>", '"'])
async def test_what_is_no_address_gets_nothing(to: str) -> None:
    desk = Desk()
    share = await desk.kept()
    with pytest.raises(Refused):
        await desk.mail(shown(share), to)


async def test_a_mail_has_a_bounded_number_of_recipients_and_only_where_mail_may_go() -> None:
    desk = Desk(domains=frozenset({"praxis.example"}))
    share = await desk.kept()
    await desk.mail(shown(share), "dr@PRAXIS.example")
    with pytest.raises(Refused, match=r"praxis\.example only"):
        await desk.mail(shown(share), "dr@praxis.example.evil.example")
    with pytest.raises(Refused, match="at most"):
        await desk.mail(shown(share), " ".join(f"a{n}@praxis.example" for n in range(MOST_RECIPIENTS + 1)))


async def test_too_many_mails_are_refused_and_the_sender_is_told_when_to_try_again() -> None:
    desk = Desk()
    share = await desk.kept()
    to = " ".join(f"a{n}@praxis.example" for n in range(MOST_RECIPIENTS))
    for _ in range(MAILS_AT_ONCE // MOST_RECIPIENTS):
        await desk.mail(shown(share), to)
    with pytest.raises(Refused, match="try again in"):
        await desk.mail(shown(share), to)


async def test_a_mail_that_is_not_taken_is_told_and_on_record() -> None:
    desk = Desk(fails=True)
    share = await desk.kept()
    with pytest.raises(Refused, match="2 of 2 mails did not leave: the mail server did not take the mail"):
        await desk.mail(shown(share), "a@praxis.example b@praxis.example")
    assert [record.event for record in await desk.records()][-1] is Event.FAILURE


async def test_while_the_trail_cannot_be_written_no_mail_leaves() -> None:
    desk = Desk()
    share = await desk.kept()
    await desk.store.close()
    with pytest.raises(Exception, match="closed"):
        await desk.mail(shown(share))
    assert desk.sent == []


@given(st.text(max_size=300))
async def test_no_title_makes_a_header_of_its_own(title: str) -> None:
    desk = Desk()
    share = await desk.kept()
    await desk.mail(shown(share), email_title=title + "\r\nBcc: evil@evil.example")
    (message,) = desk.sent
    assert message["Bcc"] is None
    assert set(message.keys()) <= {"From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"}
    message.as_bytes()


def templates(folder: Path) -> Templates:
    inner = folder / "templates"
    inner.mkdir()
    (inner / "letter.html").write_text("<h1>Clinic</h1>{email-content}<hr>")
    (inner / "plain.html").write_text("<p>{ShareUrl}</p>")
    (inner / "readme.txt").write_text("no template")
    (folder / "secret.html").write_text("{email-content} secret")
    (inner / "out.html").symlink_to(folder / "secret.html")
    return Templates(inner)


def test_templates_are_the_files_of_one_folder(tmp_path: Path) -> None:
    found = templates(tmp_path)
    assert found.names() == ["letter", "plain"]
    assert found.text("plain") == "<p>{ShareUrl}</p>"


@pytest.mark.parametrize("name", ["../secret", "out", "letter.html", "..", "", "/etc/passwd", "readme.txt", "a\x00b"])
def test_nothing_else_is_one(tmp_path: Path, name: str) -> None:
    assert templates(tmp_path).text(name) is None


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert Templates(None).names() == []
    assert Templates(tmp_path / "gone").names() == []
    assert Templates(None).text("letter") is None


async def test_a_mail_is_laid_out_by_a_template(tmp_path: Path) -> None:
    desk = replace(Desk(), folder=templates(tmp_path).folder)
    share = await desk.kept()
    await desk.mail(shown(share), layout_template="letter")
    assert list(desk.sent[0].iter_parts())[1].get_content().startswith("<h1>Clinic</h1>https://")
    for name in ("plain", "nothing", "../secret"):
        with pytest.raises(Refused, match="layout"):
            await desk.mail(shown(share), layout_template=name)
