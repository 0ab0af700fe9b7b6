"""An opened share: how long it lasts and what is shown for it (design section 7)."""

from __future__ import annotations

from datetime import datetime, timedelta

from keyhole.access.decision import Reason
from keyhole.access.share import Share, Visit
from keyhole.sharing.link import Secret

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
CODE_LASTS = timedelta(seconds=60)
COOKIE = "keyhole_visit"


def begin(share: Share, visit_id: str, secret: Secret, now: datetime) -> Visit:
    """The visit that an opening of *share* at *now* begins, for whoever holds *secret*."""
    return Visit(
        id=visit_id,
        digest=secret.digest(),
        subject=share.principal,
        archive=share.archive,
        created_at=now,
        begun_at=now,
        seen_at=now,
        ends_at=min(now + LONGEST, share.expires_at),
        share=share.id,
        limited=share.max_visits is not None,
    )


def closed(share: Share, now: datetime) -> Reason | None:
    """Why *share* cannot be opened at *now*; None when it can."""
    if share.withdrawn_at is not None:
        return Reason.WITHDRAWN
    if now >= share.expires_at:
        return Reason.EXPIRED
    if share.not_before is not None and now < share.not_before:
        return Reason.NOT_YET
    if share.locked_at is not None:
        return Reason.LOCKED
    if share.max_visits is not None and share.visits >= share.max_visits:
        return Reason.USED_UP
    return None


def over(visit: Visit, share: Share | None, now: datetime) -> Reason | None:
    """Why *visit* has ended by *now*; None while it lasts.

    A visit of a limited share does not end by idling: coming back would cost its holder an opening.
    """
    if visit.share is not None:
        if share is None or share.withdrawn_at is not None:
            return Reason.WITHDRAWN
        if now >= share.expires_at:
            return Reason.EXPIRED
    if visit.begun_at is None or visit.ended_at is not None or now >= visit.ends_at:
        return Reason.VISIT_ENDED
    if not visit.limited and visit.seen_at is not None and now >= visit.seen_at + IDLE:
        return Reason.VISIT_ENDED
    return None


def bearer(visit: Visit, secret: Secret) -> str:
    """The value of ``Authorization: Bearer`` for programs."""
    return f"khv_{visit.id}_{secret.reveal()}"
