"""When each visit was last used, kept in memory and written now and then: it decides idling and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from keyhole.access.share import Visit
from keyhole.errors import StoreFailed

WRITTEN_EVERY = 15.0
"""Seconds; small against the idle time of a visit."""


class Sightings(Protocol):
    """Where sightings are kept."""

    async def seen(self, visits: Mapping[str, datetime]) -> None:
        """Move ``seen_at`` of these visits forward."""


class Attendance:
    """The sightings of this process."""

    def __init__(self, sightings: Sightings) -> None:
        """Write to *sightings*."""
        self._sightings = sightings
        self._unwritten: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}

    def last(self, visit_id: str) -> datetime | None:
        """When this process saw the visit last, if it was not long ago."""
        return self._unwritten.get(visit_id) or self._written.get(visit_id)

    def saw(self, visit: Visit, now: datetime) -> None:
        """*visit* is in use."""
        self._unwritten[visit.id] = now

    async def run(self) -> None:
        """Write now and then, for ever. What fails is written the next time."""
        while True:
            await asyncio.sleep(WRITTEN_EVERY)
            await self.write()

    async def write(self) -> None:
        """Write what is not written yet."""
        seen, self._unwritten = self._unwritten, {}
        if not seen:
            return
        self._written = seen  # known while it is being written: a visit must not look idle for that moment
        try:
            await self._sightings.seen(seen)
        except StoreFailed:
            self._unwritten = {**seen, **self._unwritten}
