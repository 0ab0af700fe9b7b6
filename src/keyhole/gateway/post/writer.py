"""A mail of the queue, written: links and codes are derived here, at the moment of sending, and kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from keyhole.access.mail import Mail, MailKind
from keyhole.access.share import Share
from keyhole.gateway.post.message import message
from keyhole.gateway.post.words import MailSite, Voice, Words
from keyhole.language import language
from keyhole.sharing import condition, link

_TEMPLATES = Environment(
    loader=PackageLoader("keyhole.gateway.post"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_SIGNATURE = "\n-- \n"
"""What begins the last lines of a text, which say who it is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What is said in the name of *site*, with links below *public_url*; KeyError when a key has left the ring."""

    site: MailSite
    public_url: str
    ring: link.Ring

    def words(self, mail: Mail, share: Share) -> Words:
        """What *mail* says of its *share*."""
        voice = self._voice(mail.language)
        match mail.kind:
            case MailKind.LINK:
                return voice.link(share, link.link(self.public_url, share, self.ring))
            case MailKind.CODE:
                code = condition.mail_code(self.ring, share.key_id, share.id, mail.generation, mail.nonce or "")
                return voice.code(code, mail.give_up_at)
            case MailKind.OPENED:
                return voice.opened(share)
            case MailKind.LOCKED:
                return voice.locked(share)
            case MailKind.ENDING:
                return voice.ending(share)

    def link_text(self, share: Share) -> str:
        """The text of the mail with the link, without a signature, for who sends it in another way."""
        words = self._voice(share.language).link(share, link.link(self.public_url, share, self.ring))
        return self.text(words).rpartition(_SIGNATURE)[0]

    def text(self, words: Words) -> str:
        """*words* for readers of plain text."""
        return _TEMPLATES.get_template("mail.txt").render(words=words)

    def html(self, words: Words) -> str:
        """*words* as HTML, by light and by dark."""
        return _TEMPLATES.get_template("mail.html").render(words=words, colour=self.site.colour)

    def _voice(self, tag: str | None) -> Voice:
        return Voice(self.site, language(tag or self.site.language))


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One per process that sends mail. ``sender`` and ``reply_to`` are mailboxes as the settings check them."""

    wording: Wording
    sender: str
    reply_to: str | None

    def written(self, mail: Mail, share: Share, now: datetime) -> EmailMessage:
        """*mail*, about its *share*; KeyError when the key of the link has left the ring.

        However often it is sent, its Message-ID is the same: who gets it twice can tell.
        """
        words = self.wording.words(mail, share)
        written = message(
            sender=self.sender,
            reply_to=self.reply_to,
            to=mail.to,
            subject=words.subject,
            text=self.wording.text(words),
            html=self.wording.html(words),
        )
        written["Date"] = format_datetime(now)
        written["Message-ID"] = f"<{mail.id}@{written['From'].addresses[0].domain}>"
        written["Content-Language"] = words.language
        return written
