"""What each mail says, in every language, and what is in none of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage

import pytest

from keyhole.access.condition import Conditions
from keyhole.access.mail import MailKind
from keyhole.access.share import Share
from keyhole.language import LANGUAGES
from keyhole.sharing.condition import mail_code
from keyhole.sharing.link import KeyRing, link, parse_link
from tests.gateway.post.makers import EVERYTHING, NOW, PATIENT, PUBLIC, RING, SITE, STUDY, a_share, a_writer, all_mails

OPENED = NOW + timedelta(hours=1)


def parts(mail: EmailMessage) -> tuple[str, str]:
    text, html = (part.get_content() for part in mail.iter_parts())
    return text, html


def whole(mail: EmailMessage) -> str:
    """Everything that the receiver can read, headers too."""
    return "\n".join((*map(str, mail.values()), *parts(mail)))


def said(share: Share, kind: MailKind, tag: str | None = None, **site: object) -> EmailMessage:
    return a_writer(**site).written(replace(all_mails(share)[kind], language=tag), share, NOW)


class TestALink:
    def test_is_in_both_parts_and_opens_the_share(self) -> None:
        share = a_share()
        address = link(PUBLIC, share, RING)
        text, html = parts(said(share, MailKind.LINK))
        [shown] = [line for line in text.splitlines() if line.startswith("https://")]
        parsed = parse_link(shown)
        assert parsed is not None
        assert parsed[0] == share.id
        assert shown == address
        assert html.count(f'href="{address}"') == 2, "behind the button, and written out"
        assert re.findall(r'(?:href|src|url)\W+(?!")([^" >]+)', html) == [address, address], "nothing else is loaded"

    def test_says_when_it_ends_how_often_it_opens_and_what_is_asked(self) -> None:
        share = a_share(conditions=EVERYTHING, max_visits=2, not_before=NOW + timedelta(hours=2))
        text, html = parts(said(share, MailKind.LINK, contact="+49 30 1234"))
        for words in (
            SITE,
            "from 1 March 2026, 14:00 UTC until 8 March 2026, 12:00 UTC",
            "2 times",
            "a passcode, which you get in another way",
            "date of birth",
            "a code, which comes in a mail of its own",
            "terms of use",
            "do not forward",
            "+49 30 1234",
        ):
            assert words in text
            assert words in html

    def test_asks_nothing_when_nothing_is_asked(self) -> None:
        text, html = parts(said(a_share(), MailKind.LINK))
        assert "asked" not in text + html
        assert "<ul" not in html

    def test_names_the_recipient_only_where_that_is_allowed(self) -> None:
        for kind in MailKind:
            assert "Roe" not in whole(said(a_share(), kind)).replace("roe@praxis.example", "")
        assert "Hello Dr Roe," in parts(said(a_share(), MailKind.LINK, names=True))[0]
        assert "For: Dr Roe" in parts(said(a_share(), MailKind.LOCKED, names=True))[0]

    def test_can_be_copied_as_text_for_another_way(self) -> None:
        share = a_share(language="de")
        copied = a_writer().wording.link_text(share)
        assert link(PUBLIC, share, RING) in copied
        assert copied.startswith("Guten Tag,")
        assert "automatisch" not in copied.lower()

    def test_whose_key_is_gone_is_not_written(self) -> None:
        share = a_share(key_id=KeyRing.new().current)
        with pytest.raises(KeyError):
            said(share, MailKind.LINK)


class TestACode:
    def test_is_six_digits_in_both_parts_with_its_end_and_a_warning(self) -> None:
        share = a_share(conditions=Conditions(mail_code=True))
        code = mail_code(RING, share.key_id, share.id, share.generation, "nonce")
        mail = said(share, MailKind.CODE)
        for part in parts(mail):
            assert re.findall(r"\b[0-9]{6}\b", re.sub(r"#[0-9a-f]{6}", "", part)) == [code]
            assert "12:10 UTC" in part
            assert "If you did not ask for a code" in part
        assert code not in str(mail["Subject"]), "a locked phone shows subjects"


@pytest.mark.parametrize("kind", [MailKind.LINK, MailKind.CODE])
def test_neither_shows_itself_before_it_is_sent(kind: MailKind) -> None:
    share = a_share(conditions=Conditions(mail_code=True))
    words = a_writer().wording.words(all_mails(share)[kind], share)
    secret = link(PUBLIC, share, RING).partition("#")[2]
    code = mail_code(RING, share.key_id, share.id, share.generation, "nonce")
    assert secret in words.address or words.code == code
    assert secret not in repr(words)
    assert code not in repr(words)


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("kind", MailKind)
def test_link_and_code_are_never_in_one_mail_and_the_archive_in_none(kind: MailKind, tag: str) -> None:
    share = a_share(conditions=EVERYTHING, max_visits=3, first_opened_at=OPENED, locked_at=OPENED, language=tag)
    secret = link(PUBLIC, share, RING).partition("#")[2]
    code = mail_code(RING, share.key_id, share.id, share.generation, "nonce")
    mail = said(share, kind, tag, names=True)
    shown = whole(mail)
    assert (secret in shown) is (kind is MailKind.LINK)
    assert (code in shown) is (kind is MailKind.CODE)
    assert ("/s/" in shown) is (kind is MailKind.LINK), "no address to put a code in, either"
    for hidden in (*PATIENT.split("^"), STUDY, "Müller", "chest", "argon2", "digest", "user:anna", share.key_id):
        assert hidden not in shown
    assert "{" not in parts(mail)[0], "every place is filled"
    assert mail["Content-Language"] == tag
    assert f'lang="{tag}"' in parts(mail)[1]


@pytest.mark.parametrize("kind", MailKind)
def test_each_language_says_it_in_its_own_words(kind: MailKind) -> None:
    share = a_share(conditions=EVERYTHING)
    texts = {tag: parts(said(share, kind, tag))[0].rpartition("-- ")[0] for tag in LANGUAGES}
    assert len(set(texts.values())) == len(LANGUAGES)
    assert len({str(said(share, kind, tag)["Subject"]) for tag in LANGUAGES}) == len(LANGUAGES)


def test_what_is_in_no_language_we_have_is_said_in_the_sites_own() -> None:
    assert said(a_share(), MailKind.LINK, "nl")["Content-Language"] == "en"
    assert said(a_share(), MailKind.LINK, None, language="fr")["Content-Language"] == "fr"
    assert said(a_share(), MailKind.LINK, "de-AT", language="fr")["Content-Language"] == "de"


class TestANotice:
    def test_tells_what_was_opened_and_when(self) -> None:
        share = a_share(visits=1, first_opened_at=OPENED)
        text, _ = parts(said(share, MailKind.OPENED))
        for words in (
            share.id,
            "r•••@praxis.example",
            "Opened first: 1 March 2026, 13:00 UTC",
            f"keyhole revoke {share.id}",
        ):
            assert words in text

    def test_tells_what_is_locked_and_how_to_make_a_new_link(self) -> None:
        share = a_share(locked_at=OPENED, attempts=5)
        text, _ = parts(said(share, MailKind.LOCKED))
        for words in ("Locked: 1 March 2026, 13:00 UTC", "Openings: none", f"keyhole renew {share.id} --new-link"):
            assert words in text

    def test_tells_what_ends_and_how_to_renew_it(self) -> None:
        share = a_share(visits=2, first_opened_at=NOW, last_opened_at=OPENED)
        text, _ = parts(said(share, MailKind.ENDING))
        for words in (
            "Ends: 8 March 2026, 12:00 UTC",
            "Opened last: 1 March 2026, 13:00",
            f"renew {share.id} --for 7d",
        ):
            assert words in text

    def test_goes_to_nobody_where_nobody_is_named(self) -> None:
        assert set(all_mails(a_share(notify=None))) == {MailKind.LINK, MailKind.CODE}
        short = a_share(expires_at=NOW + timedelta(hours=20))
        assert MailKind.ENDING not in all_mails(short), "it ends soon anyway"


def test_a_mail_says_when_it_was_written_and_is_known_again_however_often_it_comes() -> None:
    share = a_share()
    mail = all_mails(share)[MailKind.LINK]
    first, second = (a_writer().written(mail, share, NOW + timedelta(hours=hours)) for hours in (0, 1))
    assert first["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert first["Message-ID"] == second["Message-ID"] == f"<{mail.id}@clinic.example>"
