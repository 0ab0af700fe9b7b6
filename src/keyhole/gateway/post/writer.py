"""A mail of the queue, written: links and codes are derived here, at the moment of sending, and kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from keyhole.access.mail import Mail, MailKind
from keyhole.access.share import Share
from keyhole.gateway.post.message import line, message
from keyhole.gateway.post.words import Voice, Words
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One per process. ``sender`` and ``reply_to`` are mailboxes as the settings check them.

    ``site`` is what the site calls itself and ``spoken`` its own language (a BCP 47 tag); ``names``: whether the
    recipient may be named as the sender named them.
    """

    sender: str
    reply_to: str | None
    site: str
    spoken: str | None
    names: bool
    public_url: str
    ring: link.Ring

    def written(self, mail: Mail, share: Share, now: datetime) -> EmailMessage:
        """*mail*, about its *share*; KeyError when the key of the link has left the ring.

        However often it is sent, its Message-ID is the same: who gets it twice can tell.
        """
        words = self._words(mail, share)
        written = message(
            sender=self.sender,
            reply_to=self.reply_to,
            to=mail.to,
            subject=words.subject,
            text=_laid_out("mail.txt", words),
            html=_laid_out("mail.html", words),
        )
        written["Date"] = format_datetime(now)
        written["Message-ID"] = f"<{mail.id}@{written['From'].addresses[0].domain}>"
        written["Content-Language"] = words.language
        return written

    def link_text(self, share: Share) -> str:
        """The text of the mail with the link, for who sends it in another way; KeyError as :meth:`written`."""
        return _laid_out("mail.txt", self._link(share, share.language)).rpartition("\n-- \n")[0]

    def _words(self, mail: Mail, share: Share) -> Words:
        match mail.kind:
            case MailKind.LINK:
                return self._link(share, mail.language)
            case MailKind.CODE:
                code = condition.mail_code(self.ring, share.key_id, share.id, mail.generation, mail.nonce or "")
                return self._voice(mail.language).code(code, mail.give_up_at)
            case MailKind.OPENED:
                return self._voice(mail.language).opened(share)
            case MailKind.LOCKED:
                return self._voice(mail.language).locked(share)
            case MailKind.ENDING:
                return self._voice(mail.language).ending(share)

    def _link(self, share: Share, tag: str | None) -> Words:
        return self._voice(tag).link(share, link.link(self.public_url, share, self.ring))

    def _voice(self, tag: str | None) -> Voice:
        return Voice(line(self.site), language(tag or self.spoken), self.names)


def _laid_out(template: str, words: Words) -> str:
    return _TEMPLATES.get_template(template).render(words=words)
