"""What changes do to rows, as pure functions: the same for every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from keyhole.access.decision import Reason
from keyhole.access.share import Share, ShareChange


def changed(share: Share, change: ShareChange) -> Share:
    """*share* after *change*; an earlier withdrawal stands."""
    limit = share.max_visits
    return replace(
        share,
        expires_at=change.expires_at or share.expires_at,
        not_before=change.not_before or share.not_before,
        max_visits=None if limit is None else limit + change.more_visits,
        recipient=share.recipient if change.recipient is None else change.recipient,
        note=share.note if change.note is None else change.note,
        key_id=change.new_link_key or share.key_id,
        generation=share.generation + (change.new_link_key is not None),
        withdrawn_at=share.withdrawn_at or change.withdrawn_at,
    )


def unopenable(share: Share | None, now: datetime, link_generation: int | None) -> Reason:
    """Why an opening of *share* was not counted. A share that is gone, or whose link was renewed, is withdrawn."""
    if share is None or share.withdrawn_at is not None or link_generation not in (None, share.generation):
        return Reason.WITHDRAWN
    if share.expires_at <= now:
        return Reason.EXPIRED
    if share.not_before is not None and now < share.not_before:
        return Reason.NOT_YET
    return Reason.USED_UP
