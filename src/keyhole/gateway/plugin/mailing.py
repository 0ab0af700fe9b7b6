"""Mail that people write in Orthanc Explorer 2, with a link in it.

Whoever may share there may have any recipient and any HTML sent in the site's name. What leaves is therefore plain
formatting, with no address in it but our own, at least one link that opens something now, and not too often.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from html import unescape
from typing import Protocol

import msgspec
import nh3

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.share import Share
from keyhole.errors import MailFailed, Refused
from keyhole.gateway.client import Client
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.templates import Templates
from keyhole.gateway.plugin.tokens import Tokens
from keyhole.gateway.post.address import address
from keyhole.gateway.post.message import message
from keyhole.gateway.throttle import Throttle
from keyhole.sharing import link

MAILS_AT_ONCE = 30
MAILS_PER_SECOND = 1 / 20
"""What each Orthanc may send: a mailing list is not what this is for."""

MOST_RECIPIENTS = 10
_CONTENT_LONGEST = 200_000
_SEPARATORS = re.compile(r"[;,\s]+")
_LINK = re.compile(r"/s/([a-z2-7]{16})#([a-z2-7]{35})")
_TOKEN = re.compile(r"kht_[a-z2-7]{16}_[a-z2-7]{32}")
_INLINE = frozenset({"a", "b", "br", "code", "em", "i", "s", "span", "strong", "sub", "sup", "u"})
_BLOCKS = frozenset({"blockquote", "div", "h1", "h2", "h3", "h4", "hr", "li", "ol", "p", "pre", "ul"})
_TABLES = frozenset({"table", "tbody", "td", "th", "thead", "tr"})


class MailOrder(msgspec.Struct, rename="kebab", frozen=True):
    """The body of ``POST emails/send``; any field may be missing or null."""

    destination_email: str | None = None
    email_title: str | None = None
    email_content: str | None = None
    layout_template: str | None = None


class Post(Protocol):
    """Where mail is handed over (:class:`keyhole.gateway.smtp.MailServer`)."""

    async def send(self, message: EmailMessage) -> None:
        """Return when it was taken; raise MailFailed."""


class Rows(Protocol):
    """Where shares are found."""

    async def share(self, share_id: str, /) -> Share | None:
        """The share, or None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """One per process. ``roots`` are the addresses that a link in a mail may begin with, Keyhole's own first.

    ``domains`` bounds the recipients; any without. Raises Refused for what is not sent, in words for the sender.
    """

    post: Post
    templates: Templates
    rows: Rows
    tokens: Tokens
    ring: link.Ring
    ledger: Ledger
    throttle: Throttle
    sender: str
    reply_to: str | None
    domains: frozenset[str]
    roots: Sequence[str]
    now: Callable[[], datetime]

    async def send(self, caller: Caller, order: MailOrder, client: Client) -> None:
        """Send what *order* says to each recipient alone; each one is on record before it leaves."""
        recipients = self._recipients(order.destination_email or "")
        content = self._cleaned(order.email_content or "")
        share = await self._shared(content, caller)
        wait = self.throttle.take(caller.name, len(recipients), self.now())
        if wait:
            raise Refused(f"too many mails were sent: try again in {round(wait) or 1} seconds")
        mails = self._messages(recipients, order, content)
        each = (self._post(mail, to, share, caller, client) for to, mail in mails.items())
        failed = [error for error in await asyncio.gather(*each, return_exceptions=True) if error is not None]
        unforeseen = next((error for error in failed if not isinstance(error, MailFailed)), None)
        if unforeseen is not None:
            raise unforeseen
        if failed:
            many = "" if len(recipients) == 1 else f"{len(failed)} of {len(recipients)} mails did not leave: "
            raise Refused(f"{many}{failed[0]}")

    def _recipients(self, text: str) -> list[str]:
        names = list(dict.fromkeys(name for name in _SEPARATORS.split(text) if name))
        if not names:
            raise Refused("a mail needs a recipient")
        if len(names) > MOST_RECIPIENTS:
            raise Refused(f"a mail has at most {MOST_RECIPIENTS} recipients")
        return [address(name, self.domains) for name in names]

    def _cleaned(self, content: str) -> str:
        if len(content) > _CONTENT_LONGEST:
            raise Refused("the mail is too long")
        return nh3.clean(
            content,
            tags=set(_INLINE | _BLOCKS | _TABLES),
            attributes={"a": {"href"}},
            url_schemes={"http", "https"},
            attribute_filter=self._own_links,
            link_rel="noopener noreferrer",
        )

    def _own_links(self, element: str, attribute: str, value: str) -> str | None:  # noqa: ARG002 - nh3's signature
        return value if any(value.startswith((f"{root}/", f"{root}?")) for root in self.roots) else None

    async def _shared(self, content: str, caller: Caller) -> Share:
        """The first share that a link in *content* opens now."""
        text, now = unescape(content), self.now()
        for found in _LINK.finditer(text):
            share, secret = await self.rows.share(found[1]), link.parse_secret(found[2])
            opens = share is not None and secret is not None and link.verify(share, secret, self.ring)
            if share is not None and opens and self.tokens.closed(share, caller, now) is None:
                return share
        for found in _TOKEN.finditer(text):
            of = await self.tokens.share(found[0])
            if isinstance(of, Share) and self.tokens.is_bearer(of) and self.tokens.closed(of, caller, now) is None:
                return of
        raise Refused("the mail has no link in it that opens something: put the link of the share into its text")

    def _messages(self, recipients: Sequence[str], order: MailOrder, content: str) -> dict[str, EmailMessage]:
        title, text = order.email_title or "", _as_text(content)
        html = self.templates.laid_out(order.layout_template, content)
        return {
            to: message(sender=self.sender, reply_to=self.reply_to, to=to, subject=title, text=text, html=html)
            for to in recipients
        }

    async def _post(self, mail: EmailMessage, recipient: str, share: Share, caller: Caller, client: Client) -> None:
        sent = Record(
            at=self.now(),
            event=Event.MAIL_SENT,
            subject=caller.principal,
            archive=share.archive,
            action=Action.SHARE,
            share=share.id,
            personal={**client.personal(), "recipient": recipient},
        )
        await self.ledger.write(sent)
        try:
            await self.post.send(mail)
        except MailFailed:
            await self.ledger.write(replace(sent, event=Event.FAILURE, detail={"what": "the mail was not taken"}))
            raise


def _as_text(content: str) -> str:
    """*content* for readers of plain text: the addresses stand beside their words."""
    named = re.sub(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', _beside, content, flags=re.DOTALL)
    broken = re.sub(r"<(?:br|/p|/div|/li|/h[1-4]|/tr)\s*/?>", "\n", named)
    return unescape(nh3.clean(broken, tags=set())).strip() + "\n"


def _beside(found: re.Match[str]) -> str:
    return found[1] if found[1] == found[2] else f"{found[2]} {found[1]}"
