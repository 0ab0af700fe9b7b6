"""Links on paper, for their senders: QR codes and letters. Whoever may be shown a link may print it, on record."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.access.share import Share
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.desk import Desk
from keyhole.gateway.letter.content import Letterhead, Paper, letter
from keyhole.gateway.letter.pdf import pdf
from keyhole.gateway.letter.qr import Picture, qr_code
from keyhole.language import LANGUAGES, language
from keyhole.sharing.paper import grouped, paper_code
from keyhole.sharing.visit import closed

ADDRESS = "c"
"""Where codes are typed, below the public URL."""

_OVER: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.WITHDRAWN: "this share was withdrawn",
        Reason.EXPIRED: "this share has ended",
        Reason.USED_UP: "this share has been opened as often as it may be",
        Reason.LOCKED: "this share is locked after too many wrong answers",
    }
)


@dataclass(frozen=True, slots=True)
class Letters:
    """One per process. Raises what the desk raises, and Refused for a letter that would open nothing."""

    desk: Desk
    head: Letterhead

    async def qr(self, subject: Subject, share_id: str, picture: Picture, client: Client = LOCAL) -> bytes:
        """The QR code of a share's link."""
        link = await self.desk.show_link(subject, share_id, client, form="qr")
        return qr_code(link, picture)

    async def letter(
        self, subject: Subject, share_id: str, paper: Paper, tag: str | None = None, client: Client = LOCAL
    ) -> bytes:
        """The letter to a share's recipient as PDF, in the language *tag* (BCP 47) or in the recipient's own."""
        share = await self.desk.share(subject, share_id, client)
        self._check(share, tag)
        await self.desk.show_link(subject, share_id, client, form="letter")
        wanted = tag or share.language
        text = letter(
            share,
            link=self.desk.link(share),
            code=grouped(paper_code(self.desk.ring, share.key_id, share.id, share.generation)),
            address=self._address,
            head=self.head,
            speech=language(wanted) if wanted else self.head.language,
        )
        return await asyncio.to_thread(pdf, text, paper, self.head)

    def _check(self, share: Share, tag: str | None) -> None:
        over = _OVER.get(closed(share, self.desk.now()) or Reason.NOT_YET)
        if over is not None:
            raise Refused(over, "renew it, or share the study again: this letter would open nothing")
        if share.paper is None:
            raise Refused("this share has no code for paper", f"make one with: keyhole renew {share.id} --paper")
        if tag is not None and tag not in LANGUAGES:
            raise Refused("there are no letters in that language", f"languages are {', '.join(LANGUAGES)}")

    @property
    def _address(self) -> str:
        """What people type: browsers add https by themselves, and nothing else."""
        return f"{self.desk.public_url.rstrip('/').removeprefix('https://')}/{ADDRESS}"
