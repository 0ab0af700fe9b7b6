"""Limits, codes and mails in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from keyhole.access.decision import Record
from keyhole.access.limit import Bucket
from keyhole.access.mail import Mail, MailCode
from keyhole.errors import StoreFailed
from keyhole.store import limits
from keyhole.store.chain import Signing, micros
from keyhole.store.limits import Level
from keyhole.store.mails import settled, settles, turn, waits
from keyhole.store.memory_trail import MemoryTrail
from keyhole.store.rows import mail_values, to_mail


class MemoryPost(MemoryTrail):
    """What limits strangers, and what they are sent."""

    def __init__(self, signing: Signing | None = None) -> None:
        """Nothing is sent yet, and nobody limited."""
        super().__init__(signing)
        self._buckets: dict[str, int] = {}
        self._codes: dict[str, MailCode] = {}
        self._mails: dict[str, Mail] = {}

    # -- limits

    async def take(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """Take one from each of *buckets*, or none of any."""
        return self._take(buckets, now)

    def _take(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        levels = self._look(buckets, now)
        missing = limits.waits(levels)
        for name, full_at in limits.after(levels).items():
            self._buckets.pop(name, None)  # so that what was written last stands last
            self._buckets[name] = full_at
        for name in self._full(micros(now)):
            del self._buckets[name]
        return missing

    def _full(self, now: int) -> list[str]:
        oldest = islice(self._buckets.items(), limits.SWEPT)
        return [name for name, full_at in oldest if full_at < limits.gone(now)]

    async def left(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """As :meth:`take`, without taking."""
        return limits.waits(self._look(buckets, now))

    def _look(self, buckets: Sequence[Bucket], now: datetime) -> list[Level]:
        return [limits.level(bucket, self._buckets.get(bucket.name), micros(now)) for bucket in buckets]

    # -- codes

    async def add_code(
        self, code: MailCode, mail: Mail, buckets: Sequence[Bucket], record: Record
    ) -> Mapping[str, timedelta]:
        """Keep *code* and *mail*, unless *buckets* refuse."""
        missing = self._take(buckets, code.created_at)
        if not missing:
            self._append([record])
            self._codes[code.share] = code
            self._post([mail])
        return missing

    async def code(self, share_id: str) -> MailCode | None:
        """The newest code of the share, spent ones left out."""
        return self._codes.get(share_id)

    # -- mails

    def _post(self, mails: Sequence[Mail]) -> None:
        for mail in mails:
            if mail.id in self._mails:
                raise StoreFailed("there is a mail with this id already")
            self._mails[mail.id] = _plain(mail)

    async def mails(self, share_id: str) -> Sequence[Mail]:
        """The mails about a share, oldest first."""
        return sorted((mail for mail in self._mails.values() if mail.share == share_id), key=_age)

    async def failed_mails(self, limit: int = 100) -> Sequence[Mail]:
        """The mails that could not be sent, newest first."""
        failed = [(mail.failed_at, mail.id, mail) for mail in self._mails.values() if mail.failed_at is not None]
        return [mail for *_, mail in sorted(failed, reverse=True)[:limit]]

    async def claim_mails(self, now: datetime, until: datetime, limit: int) -> Sequence[Mail]:
        """Mails that are due, codes and then those due first before the others."""
        due = [mail for mail in self._mails.values() if waits(mail) and mail.due_at <= now]
        claimed = [replace(mail, due_at=until, tries=mail.tries + 1) for mail in sorted(due, key=turn)[:limit]]
        self._mails |= {mail.id: mail for mail in claimed}
        return claimed

    async def settle_mail(self, mail: Mail, record: Record | None = None) -> None:
        """Keep what became of a claimed mail."""
        kept = self._mails.get(mail.id)
        if kept is None or not settles(mail, kept):
            return
        self._append([] if record is None else [record])
        self._mails[mail.id] = settled(kept, _plain(mail))


def _plain(mail: Mail) -> Mail:
    """*mail* as it comes back from a database."""
    return to_mail(tuple(mail_values(mail).values()))


def _age(mail: Mail) -> tuple[datetime, str]:
    return mail.created_at, mail.id
