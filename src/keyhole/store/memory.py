"""The store in memory: nothing outlives the process, everything else is as in a database, the chain included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from keyhole.access.condition import Answered
from keyhole.access.decision import Reason, Record
from keyhole.access.mail import Mail
from keyhole.access.role_book import RoleBook
from keyhole.access.share import ApiKey, Share, ShareChange, Visit
from keyhole.errors import StoreFailed
from keyhole.store import rules
from keyhole.store.chain import Signing, plain
from keyhole.store.memory_post import MemoryPost
from keyhole.store.rows import share_values, to_share


class MemoryStore(MemoryPost):
    """A :class:`keyhole.gateway.ports.Store` for one event loop. No method waits in its middle: each one is atomic."""

    def __init__(self, signing: Signing | None = None) -> None:
        """An empty store; without *signing* it makes a key of its own."""
        super().__init__(signing)
        self._visits: dict[str, Visit] = {}
        self._keys: dict[str, ApiKey] = {}
        self._books: list[RoleBook] = []

    # -- shares

    async def share(self, share_id: str) -> Share | None:
        """The share as it is now."""
        return self._shares.get(share_id)

    async def shares(
        self, *, creator: str | None = None, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """Shares, newest first, after the one called *after*."""
        last = None if after is None else self._shares.get(after)
        if after is not None and last is None:
            return []
        found = [
            share
            for share in sorted(self._shares.values(), key=_age, reverse=True)
            if (creator is None or share.creator == creator)
            and (study is None or any(resource.study == study for resource in share.resources))
            and (last is None or _age(share) < _age(last))
        ]
        return found[:limit]

    async def share_of_paper(self, digests: Sequence[bytes]) -> Share | None:
        """The share whose code for paper has one of *digests*."""
        return next((share for share in self._shares.values() if share.paper in digests), None)

    async def add_share(self, share: Share, record: Record, mails: Sequence[Mail] = ()) -> None:
        """Keep a new *share*, and *mails* to be sent."""
        _refuse_known(share.id, self._shares)
        self._refuse_known_paper(share)
        self._post(mails)
        self._append([record])
        self._shares[share.id] = _plain(share)
        await self._move()

    async def change_share(
        self, share_id: str, change: ShareChange, record: Record, mails: Sequence[Mail] = ()
    ) -> Share | None:
        """Apply *change*, and keep *mails*; a withdrawal ends the share's visits as well."""
        before = self._shares.get(share_id)
        if before is None:
            return None
        after = _plain(rules.changed(before, change))
        if after == before and not mails:
            return before
        self._refuse_known_paper(after)
        self._post(mails)
        self._append([record])
        if after != before:
            await self._change(before, after, record)
        return after

    async def _change(self, before: Share, after: Share, record: Record) -> None:
        self._shares[after.id] = after
        if rules.ends_codes(before, after):
            self._codes.pop(after.id, None)
        if after.withdrawn_at is not None:
            self._end(lambda visit: visit.share == after.id, after.withdrawn_at, record)
        await self._move()

    def _refuse_known_paper(self, share: Share) -> None:
        others = (each.paper for each in self._shares.values() if each.id != share.id)
        if share.paper is not None and share.paper in others:
            raise StoreFailed("there is one with this code for paper already")

    # -- attempts

    async def begin_attempt(
        self, share_id: str, link_generation: int, most: int, now: datetime, lock: Record, mails: Sequence[Mail] = ()
    ) -> Share | Reason:
        """Take up an attempt to answer, or say why not."""
        share = self._shares.get(share_id)
        outcome = rules.attempted(share, link_generation, most, now)
        if isinstance(outcome, Share):
            self._shares[share_id] = outcome
        elif share is not None and outcome is Reason.LOCKED and share.locked_at is None:
            await self._lock(replace(share, locked_at=now), [lock], mails)
        return outcome

    async def fail_attempt(
        self,
        share_id: str,
        link_generation: int,
        most: int,
        now: datetime,
        refusal: Record,
        lock: Record,
        mails: Sequence[Mail] = (),
    ) -> Share | None:
        """Record a wrong answer, and lock the share with the last."""
        share = self._shares.get(share_id)
        if share is None:
            return None
        after = rules.failed(share, link_generation, most, now)
        if after == share:
            self._append([refusal])
        else:
            await self._lock(after, [refusal, lock], mails)
        return after

    async def _lock(self, share: Share, records: Sequence[Record], mails: Sequence[Mail]) -> None:
        self._post(mails)
        self._append(records)
        self._shares[share.id] = share
        await self._move()

    # -- visits

    async def visit(self, visit_id: str) -> Visit | None:
        """The visit as it is now."""
        return self._visits.get(visit_id)

    async def visits(self, share_id: str) -> Sequence[Visit]:
        """The visits of a share, oldest first."""
        return sorted((visit for visit in self._visits.values() if visit.share == share_id), key=_age)

    async def visits_of_staff(self, since: datetime) -> Sequence[Visit]:
        """The visits without a share that were made at *since* or later, oldest first."""
        made = (visit for visit in self._visits.values() if visit.share is None and visit.created_at >= since)
        return sorted(made, key=_age)

    async def begin_visit(
        self,
        visit: Visit,
        now: datetime,
        record: Record,
        *,
        link_generation: int | None = None,
        answered: Answered | None = None,
        first: Sequence[Mail] = (),
    ) -> Share | Reason:
        """Count an opening, keep *visit* and spend the code, or say why not."""
        share = self._shares.get(visit.share or "")
        why = rules.unopenable(share, now, link_generation, answered, self._codes.get(visit.share or ""))
        if share is None or why is not None:
            return why or Reason.WITHDRAWN
        _refuse_known(visit.id, self._visits)
        self._post(first if share.visits == 0 else ())
        self._append([record])
        counted = self._shares[share.id] = rules.opened(share, now)
        self._visits[visit.id] = visit
        if share.conditions.mail_code:
            del self._codes[share.id]
        await self._move()
        return counted

    async def prepare_visit(self, visit: Visit, record: Record) -> None:
        """Keep a visit that nobody has redeemed yet."""
        _refuse_known(visit.id, self._visits)
        self._append([record])
        self._visits[visit.id] = visit
        await self._move()

    async def redeem_visit(
        self, code_digest: bytes, digest: bytes, now: datetime, ends_at: datetime, record: Record
    ) -> Visit | None:
        """Begin a prepared visit, once."""
        for visit in self._visits.values():
            waits = visit.begun_at is None and visit.ended_at is None and now < visit.ends_at
            if waits and visit.digest == code_digest:
                self._append([replace(record, visit=visit.id)])
                begun = replace(visit, digest=digest, begun_at=now, seen_at=now, ends_at=ends_at)
                self._visits[visit.id] = begun
                await self._move()
                return begun
        return None

    async def seen(self, visits: Mapping[str, datetime]) -> None:
        """Move ``seen_at`` of these visits forward."""
        for visit_id, at in visits.items():
            visit = self._visits.get(visit_id)
            if visit is not None and (visit.seen_at is None or visit.seen_at < at):
                self._visits[visit_id] = replace(visit, seen_at=at)

    async def end_visit(self, visit_id: str, now: datetime, record: Record) -> None:
        """End a visit; the first end stands, and a second leaves no record."""
        visit = self._visits.get(visit_id)
        if visit is not None and visit.ended_at is None:
            self._append([record])
            self._visits[visit_id] = replace(visit, ended_at=now)
            await self._move()

    def _end(self, which: Callable[[Visit], bool], now: datetime, record: Record) -> None:
        ended = [visit for visit in self._visits.values() if visit.ended_at is None and which(visit)]
        self._append(rules.ends(record, ended, now))
        for visit in ended:
            self._visits[visit.id] = replace(visit, ended_at=now)

    # -- keys

    async def key(self, key_id: str) -> ApiKey | None:
        """The key as it is now."""
        return self._keys.get(key_id)

    async def keys(self) -> Sequence[ApiKey]:
        """All keys, oldest first."""
        return sorted(self._keys.values(), key=_age)

    async def add_key(self, key: ApiKey, record: Record) -> None:
        """Keep a new *key*."""
        _refuse_known(key.id, self._keys)
        self._append([record])
        self._keys[key.id] = replace(key, name=plain(key.name))
        await self._move()

    async def revoke_key(self, key_id: str, now: datetime, record: Record) -> ApiKey | None:
        """End a key and the visits it made; the first end stands, and a second leaves no record."""
        key = self._keys.get(key_id)
        if key is None or key.revoked_at is not None:
            return key
        self._append([record])
        self._keys[key_id] = replace(key, revoked_at=now)
        self._end(lambda visit: visit.subject == key.principal, now, record)
        await self._move()
        return self._keys[key_id]

    # -- the Explorer's roles

    async def role_book(self) -> RoleBook | None:
        """The roles in force; None while nobody has changed them."""
        return self._books[-1] if self._books else None

    async def role_books(self, limit: int = 100) -> Sequence[RoleBook]:
        """The last *limit* versions of the roles, newest first."""
        return self._books[::-1][:limit]

    async def change_roles(self, document: str, record: Record) -> RoleBook:
        """Put *document* in force as the next version."""
        book = RoleBook(
            version=len(self._books) + 1, document=document, changed_at=record.at, changed_by=record.subject
        )
        self._append([record])
        self._books.append(book)
        await self._move()
        return book


def _plain(share: Share) -> Share:
    """*share* as it comes back from a database."""
    return to_share(tuple(share_values(share).values()))


def _age(thing: Share | Visit | ApiKey) -> tuple[datetime, str]:
    return thing.created_at, thing.id


def _refuse_known(name: str, held: Mapping[str, object]) -> None:
    if name in held:
        raise StoreFailed("there is one with this id already")
