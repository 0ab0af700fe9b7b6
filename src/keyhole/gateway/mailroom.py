"""Mail for senders: a link mailed to its recipient, its text to copy, and the mails that could not be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keyhole.access.mail import Mail
from keyhole.access.share import Share, ShareChange
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway import limits, share_records
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.decisions import TooOften
from keyhole.gateway.desk import Desk, NotFound
from keyhole.gateway.post.address import address
from keyhole.gateway.post.fate import over
from keyhole.gateway.post.rows import link_mail
from keyhole.gateway.post.writer import Wording

_MOST_FAILED = 1000
"""Failed mails looked through, those of shares that others see among them."""


class NoMail(Refused):
    """No mail server is set."""

    def __init__(self) -> None:
        """Say so, and which setting it is."""
        super().__init__(
            "nothing was mailed: KEYHOLE_SMTP_HOST is not set, so this Keyhole has no mail server",
            "send the link in another way; its text to copy: keyhole mail SHARE --copy",
        )


@dataclass(frozen=True, slots=True)
class Mailroom:
    """For whoever has a desk. Raises what the desk raises."""

    desk: Desk

    async def send_link(self, subject: Subject, share_id: str, to: str | None = None, client: Client = LOCAL) -> Mail:
        """Put the link of a share into the queue, for its recipient or for the address *to*.

        It takes the right to be shown the link, and is on record as that. Raises :class:`NoMail` without a mail server,
        and TooOften for a sender who mails too many.
        """
        desk, now = self.desk, self.desk.now()
        share = await desk.giving(subject, share_id, client)
        mail = self._mail(share, to)
        desk.link(share)  # refused when its key has left the ring
        waits = await desk.store.take((limits.links_mailed(desk.ring, subject.name),), now)
        if waits:
            raise TooOften(max(waits.values()).total_seconds(), "too many links were mailed")
        shown = share_records.link_shown(share, subject, client, now)
        record = replace(
            shown, detail={**shown.detail, "form": "mail"}, personal={**shown.personal, "mail_to": mail.to}
        )
        if await desk.store.change_share(share.id, ShareChange(), record, (mail,)) is None:
            raise NotFound(f"there is no share {share.id}")
        return mail

    def _mail(self, share: Share, to: str | None) -> Mail:
        """The mail, if it may be sent and its link opens something."""
        if not self.desk.policy.mails:
            raise NoMail
        why = over(share, self.desk.now())
        if why is not None:
            raise Refused(f"this link opens nothing: {why}", "renew the share, or share the study again")
        mail = link_mail(share, self.desk.now(), to)
        return replace(mail, to=address(mail.to, self.desk.policy.mail_domains))

    async def link_text(self, subject: Subject, share_id: str, client: Client = LOCAL) -> str:
        """What the mail with the link would say, to be sent in another way; that it was shown is on the trail."""
        await self.desk.show_link(subject, share_id, client, form="text")
        share = await self.desk.share(subject, share_id, client)
        return self._wording.link_text(share)

    async def failed(self, subject: Subject) -> Sequence[Mail]:
        """The mails that could not be sent about the shares that *subject* sees, newest first."""
        seen: dict[str, bool] = {}
        mails = await self.desk.store.failed_mails(_MOST_FAILED)
        for name in dict.fromkeys(mail.share for mail in mails):
            share = await self.desk.store.share(name)
            seen[name] = share is not None and self.desk.may_see(subject, share)
        return [mail for mail in mails if seen[mail.share]]

    @property
    def _wording(self) -> Wording:
        return Wording(site=self.desk.mail_site, public_url=self.desk.public_url, ring=self.desk.ring)
