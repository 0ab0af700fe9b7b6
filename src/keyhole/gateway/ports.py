"""What the gateway and the web pages need of the store, as small Protocols. ``app.py`` hands the real thing over.

Every method raises :class:`keyhole.errors.StoreFailed` when the database cannot be read or written. Every method that
changes something takes the trail's record of it and writes both in one transaction: neither is there without the
other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from keyhole.access.condition import Answered
from keyhole.access.decision import Reason, Record
from keyhole.access.limit import Bucket
from keyhole.access.mail import Mail, MailCode
from keyhole.access.role_book import RoleBook
from keyhole.access.share import ApiKey, Share, ShareChange, Visit


class Trail(Protocol):
    """The append-only record."""

    async def append(self, records: Sequence[Record]) -> None:
        """Return only when all *records* are durable, in this order; raise StoreFailed otherwise."""


class Shares(Protocol):
    """Shares by id."""

    async def share(self, share_id: str) -> Share | None:
        """The share as it is now."""

    async def shares(
        self, *, creator: str | None = None, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """Shares, newest first; *after* is the id of the last one of the page before."""

    async def share_of_paper(self, digests: Sequence[bytes]) -> Share | None:
        """The share whose code for paper has one of *digests* (one for each key of the ring)."""

    async def add_share(self, share: Share, record: Record, mails: Sequence[Mail] = ()) -> None:
        """Keep a new *share*, and *mails* to be sent."""

    async def change_share(
        self, share_id: str, change: ShareChange, record: Record, mails: Sequence[Mail] = ()
    ) -> Share | None:
        """Apply *change* atomically and return the share as it is then; None when there is none.

        *mails* are kept in the same step. A share with ``conditions`` loses its ``bearer``. A new link, or
        another ``mail_to``, leaves no mailed code.
        """


class Visits(Protocol):
    """Visits by id."""

    async def visit(self, visit_id: str) -> Visit | None:
        """The visit as it is now."""

    async def visits(self, share_id: str) -> Sequence[Visit]:
        """The visits of a share, oldest first."""

    async def visits_of_staff(self, since: datetime) -> Sequence[Visit]:
        """The visits without a share that were made at *since* or later, oldest first."""

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
        """Count an opening of the visit's share and keep *visit*, in one atomic step.

        Exactly as many simultaneous openings succeed as the share has left. Returns the share as it is then, or the
        reason why it cannot be opened (WITHDRAWN, EXPIRED, NOT_YET, LOCKED, USED_UP), in which case nothing has
        changed. *link_generation* is that of the link that was shown: a new link made meanwhile has withdrawn it.

        *answered* says that the share's conditions were met: the attempt that :meth:`begin_attempt` took up counts as
        passed, and a mailed code is spent; WRONG_ANSWER when it was spent before, or when the conditions are not those
        that were answered. Without it a share that has conditions is not opened: ANSWERS_NEEDED. *first* are mails to
        be sent when this is the first opening.
        """

    async def begin_attempt(
        self, share_id: str, link_generation: int, most: int, now: datetime, lock: Record, mails: Sequence[Mail] = ()
    ) -> Share | Reason:
        """Take up an attempt to answer the share's conditions, before anything is checked: one atomic step.

        No more than *most* attempts are ever under way or wrong, on any number of nodes. Returns the share as it is
        then, or why not: WITHDRAWN, EXPIRED, NOT_YET, LOCKED, USED_UP, or TOO_MANY while others under way may yet be
        right. One that has been under way for a minute never will be: when such ones leave none, the share is locked
        here, with *lock* and *mails* as in :meth:`fail_attempt`.
        """

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
        """An attempt was answered wrongly: *refusal* is recorded, and it is never given back.

        With the last of *most* the share is locked, in the same step: *lock* is recorded and *mails* are kept. Returns
        the share as it is then; None when there is none.
        """

    async def prepare_visit(self, visit: Visit, record: Record) -> None:
        """Keep a visit that an application made and nobody has redeemed yet (``begun_at`` None)."""

    async def redeem_visit(
        self, code_digest: bytes, digest: bytes, now: datetime, ends_at: datetime, record: Record
    ) -> Visit | None:
        """Begin the prepared visit whose code has *code_digest*, once, until its ``ends_at``.

        From then on its secret has *digest* and it lasts until *ends_at*. None when there is no such visit, or it has
        begun, or its time is over. The record's ``visit`` is filled in.
        """

    async def seen(self, visits: Mapping[str, datetime]) -> None:
        """Move ``seen_at`` of these visits forward. No record: this is not news."""

    async def end_visit(self, visit_id: str, now: datetime, record: Record) -> None:
        """End a visit; the first end stands."""


class Limits(Protocol):
    """Counters that limit strangers, in the database that is always there."""

    async def take(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """Take one from each of *buckets*, or none of any: those that had none, with the time until they do.

        Empty: taken. Atomic over any number of nodes. A clock that was set back costs time, and never gives more.
        """

    async def left(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """As :meth:`take`, without taking."""


class Codes(Protocol):
    """One-time codes that were mailed."""

    async def add_code(
        self, code: MailCode, mail: Mail, buckets: Sequence[Bucket], record: Record
    ) -> Mapping[str, timedelta]:
        """Keep *code* and *mail*, replacing the share's codes before, unless *buckets* refuse as in :meth:`take`."""

    async def code(self, share_id: str) -> MailCode | None:
        """The newest code of the share, spent ones left out."""


class Mails(Protocol):
    """Mail that waits, was sent or could not be."""

    async def mails(self, share_id: str) -> Sequence[Mail]:
        """The mails about a share, oldest first."""

    async def failed_mails(self, limit: int = 100) -> Sequence[Mail]:
        """The mails that could not be sent, newest first."""

    async def claim_mails(self, now: datetime, until: datetime, limit: int) -> Sequence[Mail]:
        """Mails due at *now*, codes and then oldest first, for whoever asks alone until *until*, ``tries`` one higher.

        Who dies with one in hand leaves it to the next who asks after *until*.
        """

    async def settle_mail(self, mail: Mail, record: Record | None = None) -> None:
        """Keep what became of a claimed mail: ``due_at``, ``sent_at``, ``failed_at`` and ``problem`` as they are."""


class Keys(Protocol):
    """API keys by id."""

    async def key(self, key_id: str) -> ApiKey | None:
        """The key as it is now."""

    async def keys(self) -> Sequence[ApiKey]:
        """All keys, oldest first."""

    async def add_key(self, key: ApiKey, record: Record) -> None:
        """Keep a new *key*."""

    async def revoke_key(self, key_id: str, now: datetime, record: Record) -> ApiKey | None:
        """End a key, and the visits it made; the first end stands. None when there is no such key."""


class RoleBooks(Protocol):
    """What roles may do in Orthanc Explorer 2, every version of it."""

    async def role_book(self) -> RoleBook | None:
        """The roles in force; None while nobody has changed them."""

    async def role_books(self, limit: int = 100) -> Sequence[RoleBook]:
        """The last *limit* versions of the roles, newest first."""

    async def change_roles(self, document: str, record: Record) -> RoleBook:
        """Put *document* in force as the next version; whoever wrote *record* has changed it then."""


class Generations(Protocol):
    """The counter that every change of shares, visits, keys or roles increments in its own transaction.

    Attempts that lock nothing, limits, codes and mails do not: no decision rests on them, and each is read anew.
    """

    async def generation(self) -> int:
        """The generation now, read from the database."""

    def generations(self) -> AsyncIterator[int]:
        """Confirm the generation again and again (at least every 0.5 s) and yield it each time it is confirmed."""


class Store(Trail, Shares, Visits, Limits, Codes, Mails, Keys, RoleBooks, Generations, Protocol):
    """All of it."""

    async def close(self) -> None:
        """Finish what is queued and let go."""
