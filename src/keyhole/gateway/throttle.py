"""How often somebody may ask: a token bucket each, in memory. Pure but for what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MOST_NAMES = 1000
"""Names remembered; the one that came longest ago is forgotten first, which is as if its bucket were full."""


@dataclass(frozen=True, slots=True)
class _Bucket:
    tokens: float
    at: datetime


class Throttle:
    """So many at once, and so many a second, for each name. One per process: it bounds work, it guards no secret."""

    def __init__(self, *, at_once: int, per_second: float) -> None:
        """A full bucket holds *at_once* tokens and gets *per_second*."""
        self._most = at_once
        self._rate = per_second
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str, count: int, now: datetime) -> float:
        """Take *count* tokens of *name*, or none: the seconds to wait until there are as many, 0 when taken.

        More than a full bucket holds can never be taken: ValueError.
        """
        if count > self._most:
            raise ValueError("more than there can be")
        tokens = self._tokens(name, now)
        if tokens < count:
            return (count - tokens) / self._rate
        self._buckets.pop(name, None)
        self._buckets[name] = _Bucket(tokens - count, now)
        if len(self._buckets) > MOST_NAMES:
            del self._buckets[next(iter(self._buckets))]
        return 0.0

    def _tokens(self, name: str, now: datetime) -> float:
        held = self._buckets.get(name)
        if held is None:
            return self._most
        passed = max(0.0, (now - held.at).total_seconds())  # a clock may be set back
        return min(self._most, held.tokens + passed * self._rate)
