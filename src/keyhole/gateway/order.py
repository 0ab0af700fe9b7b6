"""What can be ordered at the desk, checked before anything is asked or kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from keyhole.access.resource import Resource, is_uid
from keyhole.access.share import Share, ShareChange, ShareKind
from keyhole.errors import Refused

WORDS_LONGEST = 1000
"""Characters of a note, a recipient or a name."""

MOST_RESOURCES = 100
MOST_VISITS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOrder:
    """What to share: ``resources`` are tuples of a StudyInstanceUID and, for one series, its SeriesInstanceUID."""

    archive: str
    resources: tuple[tuple[str, ...], ...]
    expires_at: datetime
    kind: ShareKind = ShareKind.VIEW
    not_before: datetime | None = None
    max_visits: int | None = None
    note: str | None = None
    recipient: str | None = None

    def check(self, now: datetime, longest: timedelta) -> None:
        """Raise Refused for what cannot be shared by anybody at *now*, or for *longest* at most."""
        _check_times(self.not_before, self.expires_at)
        _check_end(self.expires_at, now, longest)
        _check_start(self.not_before, self.expires_at)
        _check_words(self.note, self.recipient)
        if self.max_visits is not None and not 1 <= self.max_visits <= MOST_VISITS:
            raise Refused("a share needs at least one visit", "leave the number of visits out for no limit")


def check_change(change: ShareChange, share: Share, ring_key: str, now: datetime, longest: timedelta) -> None:
    """Raise Refused when *share* cannot be changed so; *ring_key* is the one that new links are derived from."""
    if share.withdrawn_at is not None:
        raise Refused("this share was withdrawn", "share the study again: a withdrawal is for good")
    _check_times(change.not_before, change.expires_at)
    if change.expires_at is not None:
        _check_end(change.expires_at, now, longest)
    if change.expires_at is not None or change.not_before is not None:
        _check_start(change.not_before or share.not_before, change.expires_at or share.expires_at)
    _check_words(change.note, change.recipient)
    if change.more_visits and share.max_visits is None:
        raise Refused("this share has no limit of visits", "it can be opened as often as wanted until its end")
    if not 0 <= change.more_visits <= MOST_VISITS - (share.max_visits or 0):
        raise Refused("that is no number of visits to add", "name one to add; withdraw the share to allow no more")
    if change.new_link_key not in (None, ring_key):
        raise Refused("links are made with the current key of the ring")


def named(order: ShareOrder) -> tuple[Resource, ...]:
    """The resources that *order* names, each once; Refused for none, for too many, and for what is no UID."""
    if not order.resources:
        raise Refused("a share needs a study", "name it by its StudyInstanceUID")
    if len(order.resources) > MOST_RESOURCES:
        raise Refused(f"a share holds at most {MOST_RESOURCES} studies")
    for names in order.resources:
        if len(names) not in (1, 2) or not all(map(is_uid, names)):
            raise Refused("that is not a UID", "a UID has digits and dots, at most 64 characters")
    return tuple(dict.fromkeys(Resource.of(order.archive, *names) for names in order.resources))


def _check_times(*times: datetime | None) -> None:
    if any(time is not None and time.utcoffset() is None for time in times):
        raise Refused("a time needs its zone", "for example 2026-03-01T12:00:00Z")


def _check_end(expires_at: datetime, now: datetime, longest: timedelta) -> None:
    if expires_at <= now:
        raise Refused("a share cannot end before it begins", "give a time to come, for example --for 7d")
    if expires_at > now + longest:
        days = longest / timedelta(days=1)
        raise Refused(f"a share may last {days:g} days at most here", "KEYHOLE_LONGEST_SHARE sets the limit")


def _check_start(not_before: datetime | None, expires_at: datetime) -> None:
    if not_before is not None and not_before >= expires_at:
        raise Refused("the share would end before it may be opened", "give an earlier start or a later end")


def _check_words(*texts: str | None) -> None:
    if any(text is not None and len(text) > WORDS_LONGEST for text in texts):
        raise Refused(f"notes and recipients have at most {WORDS_LONGEST} characters")
