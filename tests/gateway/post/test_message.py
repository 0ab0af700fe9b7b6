"""No word of anybody makes a header, or another recipient."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyhole.access.mail import MailKind
from keyhole.gateway.post.message import LINE_LONGEST, line, message
from tests.gateway.post.makers import NOW, a_share, a_writer, all_mails

HEADERS = {
    "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type", "Date", "Message-ID", "Content-Language",
}  # fmt: skip
ANYTHING = st.text(st.characters(), max_size=300)
INJECTIONS = (
    "x\r\nBcc: evil@evil.example",
    "x\nTo: evil@evil.example\n\nbody",
    "x\x0bBcc: a@b.example",
    "\u2028Bcc: a@b.example",
    "=?utf-8?q?x=0D=0ABcc:_evil=40evil.example?=",
    "\ud800",
    "{site} {share.key_id} {{ 7*7 }}",
    "\r\n.\r\nMAIL FROM:<evil@evil.example>",
)


def received(mail: EmailMessage) -> EmailMessage:
    """*mail* as it is read after it was sent."""
    raw = mail.as_bytes(policy=policy.SMTP)
    assert raw.isascii(), "not every server takes eight bits"
    assert max(map(len, raw.split(b"\r\n"))) <= 998, "RFC 5322 section 2.1.1"
    read = message_from_bytes(raw, policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


@given(ANYTHING, ANYTHING)
@example(*INJECTIONS[:2])
@example(INJECTIONS[4], INJECTIONS[4])
def test_nothing_makes_a_header_of_its_own(site: str, name: str) -> None:
    share = a_share(recipient=name)
    for mail in all_mails(share).values():
        read = received(a_writer(name=site, names=True).written(mail, share, NOW))
        assert set(read.keys()) <= HEADERS
        assert len(read.keys()) == len(set(read.keys()))
        assert [address.addr_spec for address in read["To"].addresses] == [mail.to]
        assert read["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_site_or_a_recipient_that_tries_to_is_words_and_nothing_else(text: str) -> None:
    share = a_share(recipient=text)
    mail = all_mails(share)[MailKind.LINK]
    read = received(a_writer(name=text, names=True).written(mail, share, NOW))
    assert read["Bcc"] is None
    assert len(read["To"].addresses) == 1
    said = [part.get_content() for part in read.iter_parts()]
    assert len(said) == 2
    assert "49" not in line(text)
    assert (f"Hello {line(text)}," if line(text) else "Hello,") in said[0], "as it was written, and on one line"


@given(ANYTHING)
def test_a_line_is_one_line_whatever_it_was(text: str) -> None:
    cut = line(text)
    assert len(cut.splitlines()) <= 1
    assert len(cut) <= LINE_LONGEST
    assert line(cut).strip() == cut.strip()
    cut.encode()


def test_an_encoded_word_is_not_decoded_into_a_header() -> None:
    mail = message(sender="a@b.example", reply_to=None, to="c@d.example", subject=INJECTIONS[4], text="t", html="t")
    read = received(mail)
    assert read["Bcc"] is None
    assert read["Subject"] == "= ?utf-8?q?x=0D=0ABcc:_evil=40evil.example?="


def test_html_is_escaped() -> None:
    share = a_share(recipient="<script>x()</script>")
    mail = all_mails(share)[MailKind.LINK]
    read = received(a_writer(name='"><img src=x>', names=True).written(mail, share, NOW))
    html = list(read.iter_parts())[1].get_content()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_a_message_without_more_has_just_these_headers() -> None:
    plain = message(sender="a@b.example", reply_to=None, to="c@d.example", subject="s", text="t\n", html="<p>t</p>")
    assert set(plain.keys()) == {"From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"}
