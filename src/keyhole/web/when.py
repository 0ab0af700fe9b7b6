"""Times as people and programs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def duration(text: str) -> timedelta:
    """The time that ``7d``, ``12h`` or ``30m`` names; ValueError for anything else, and for no time at all."""
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError("is not a duration such as 7d, 12h or 30m")
    return int(match[1]) * _UNITS[match[2]]


def instant(text: str) -> datetime:
    """The moment, in UTC, that *text* names with its zone (RFC 3339 section 5.6); ValueError for anything else."""
    try:
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # the 30th of February; the year 9999 in a zone behind UTC
        pass
    raise ValueError("is not a time with its zone, such as 2026-03-01T12:00:00Z")


def written(moment: datetime) -> str:
    """*moment* as :func:`instant` reads it: UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
