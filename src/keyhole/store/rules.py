"""What changes do to rows, as pure functions: the same for every database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from keyhole.access.condition import Answered
from keyhole.access.decision import Event, Reason, Record
from keyhole.access.mail import MailCode
from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareChange, Visit
from keyhole.errors import StoreFailed

GIVEN_UP_AFTER = timedelta(minutes=1)
"""An attempt that has been under way for so long is never found right any more."""

_MOST_ENDS = 1000
_FROM_WHERE = ("address", "agent")


def changed(share: Share, change: ShareChange) -> Share:
    """*share* after *change*; an earlier withdrawal stands, and conditions end a token that would go around them.

    StoreFailed when other conditions are to be replaced than those that the share has by now.
    """
    if change.instead_of not in (None, share.conditions):
        raise StoreFailed("somebody else has changed what the link asks meanwhile")
    limit = share.max_visits
    conditions = share.conditions if change.conditions is None else change.conditions
    after = replace(
        share,
        expires_at=change.expires_at or share.expires_at,
        not_before=change.not_before or share.not_before,
        max_visits=None if limit is None else limit + change.more_visits,
        recipient=share.recipient if change.recipient is None else change.recipient,
        note=share.note if change.note is None else change.note,
        withdrawn_at=share.withdrawn_at or change.withdrawn_at,
        bearer=share.bearer and not conditions,
        conditions=conditions,
        mail_to=share.mail_to if change.mail_to is None else change.mail_to,
        notify=share.notify if change.notify is None else change.notify,
        language=share.language if change.language is None else change.language,
        paper=share.paper if change.paper is None else change.paper,
    )
    if change.resources is not None:
        after = _holding(after, change.resources)
    return after if change.new_link_key is None else _with_new_link(after, change.new_link_key, change.paper)


def ends_codes(before: Share, after: Share) -> bool:
    """Whether a change from *before* to *after* leaves no mailed code: it is of another link or somebody else's."""
    return (before.generation, before.mail_to) != (after.generation, after.mail_to)


def _holding(share: Share, resources: tuple[Resource, ...]) -> Share:
    """*share* with other *resources*; Orthanc's names stay when they are known of all."""
    names = dict(zip(share.resources, share.orthanc_ids, strict=False))
    kept = tuple(names[each] for each in resources if each in names)
    return replace(share, resources=resources, orthanc_ids=kept if len(kept) == len(resources) else ())


def _with_new_link(share: Share, key_id: str, paper: bytes | None) -> Share:
    """*share* with a link that nobody has tried to open yet."""
    return replace(
        share,
        key_id=key_id,
        generation=share.generation + 1,
        attempts=0,
        passed=0,
        tried_at=None,
        locked_at=None,
        paper=paper,
    )


def closed(share: Share | None, now: datetime, link_generation: int | None) -> Reason | None:
    """Why *share* is not opened, whatever is answered; None when it may be.

    One that is gone, or whose link was renewed, is withdrawn.
    """
    if share is None or share.withdrawn_at is not None or link_generation not in (None, share.generation):
        return Reason.WITHDRAWN
    if share.expires_at <= now:
        return Reason.EXPIRED
    if share.not_before is not None and now < share.not_before:
        return Reason.NOT_YET
    if share.locked_at is not None:
        return Reason.LOCKED
    if share.max_visits is not None and share.visits >= share.max_visits:
        return Reason.USED_UP
    return None


def unopenable(
    share: Share | None, now: datetime, link_generation: int | None, answered: Answered | None, code: MailCode | None
) -> Reason | None:
    """Why *share*, whose newest code that is not spent is *code*, is not opened; None when it is."""
    why = closed(share, now, link_generation)
    return why if why is not None or share is None else unanswered(share, now, answered, code)


def unanswered(share: Share, now: datetime, answered: Answered | None, code: MailCode | None) -> Reason | None:
    """Why *answered* does not open *share*, whose newest code that is not spent is *code*; None when it does."""
    if answered is None:
        return Reason.ANSWERS_NEEDED if share.conditions else None
    if answered.conditions != share.conditions:
        return Reason.WRONG_ANSWER
    if share.conditions and share.passed >= share.attempts:
        return Reason.WRONG_ANSWER  # nothing was taken up that could pass
    if share.conditions.mail_code and not _good(code, answered.code, share.generation, now):
        return Reason.WRONG_ANSWER
    return None


def _good(code: MailCode | None, nonce: str | None, generation: int, now: datetime) -> bool:
    return code is not None and (code.nonce, code.generation) == (nonce, generation) and now < code.ends_at


def opened(share: Share, now: datetime) -> Share:
    """*share* with one more opening, and with the attempt that was right, when something is asked."""
    return replace(
        share,
        visits=share.visits + 1,
        first_opened_at=share.first_opened_at or now,
        last_opened_at=now,
        passed=share.passed + bool(share.conditions),
    )


def attempted(share: Share | None, link_generation: int, most: int, now: datetime) -> Share | Reason:
    """*share* with one more attempt taken up, or why there is none."""
    why = closed(share, now, link_generation)
    if share is None or why is not None:
        return why or Reason.WITHDRAWN
    if share.attempts - share.passed >= most:
        return Reason.LOCKED if _given_up(share, now) else Reason.TOO_MANY
    return replace(share, attempts=share.attempts + 1, tried_at=max(share.tried_at or now, now))


def _given_up(share: Share, now: datetime) -> bool:
    """Whether no attempt is under way any more: the process that took it up is gone, or no one waits for it."""
    return share.tried_at is None or now - share.tried_at >= GIVEN_UP_AFTER


def failed(share: Share, link_generation: int, most: int, now: datetime) -> Share:
    """*share* after a wrong answer to the link of *link_generation*: locked when that was the last of *most*."""
    last = share.attempts - share.passed >= most
    if share.generation != link_generation or share.locked_at is not None or not last:
        return share
    return replace(share, locked_at=now)


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
