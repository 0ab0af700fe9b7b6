"""What changes do to rows, as pure functions: the same for every database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.share import Share, ShareChange, Visit

_MOST_ENDS = 1000
_FROM_WHERE = ("address", "agent")


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


def ends(record: Record, visits: Iterable[Visit], now: datetime) -> list[Record]:
    """That those of *visits* which were running ended with what *record* tells: one for each, oldest first.

    After a thousand, the rest is one record: whoever has a link can begin many, and they end in one transaction.
    """
    running = sorted(
        (visit for visit in visits if visit.begun_at is not None and now < visit.ends_at),
        key=lambda visit: (visit.created_at, visit.id),
    )
    end = replace(
        record,
        event=Event.VISIT_ENDED,
        study=None,
        series=None,
        action=None,
        detail={"because": record.event.value},
        personal={name: value for name, value in record.personal.items() if name in _FROM_WHERE},
    )
    told = [replace(end, archive=visit.archive, share=visit.share, visit=visit.id) for visit in running[:_MOST_ENDS]]
    rest = len(running) - len(told)
    return [*told, replace(end, times=rest)] if rest else told
