"""Seats at an archive: as many as there are connections for readers, and who gives one up when they are scarce.

A reader who takes its answer slowly holds a connection all the while. As long as there are seats enough nobody minds.
When somebody waits for one, a reader who is much too slow loses its own, those of the link that holds the most first;
and the seat goes to whoever holds the fewest. So nobody is kept from the archive by links that read one byte a minute,
however many they are, and a reader who keeps up is never sent away.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from keyhole.access.decision import Reason
from keyhole.gateway.relay import Message, Send
from keyhole.gateway.streams import Stream

GRACE: Final = 5.0
"""Seconds by which a reader may fall behind before it can lose its seat."""

RATE: Final = 64 * 1024
"""Bytes per second that keep a reader from falling behind: half a megabit."""


class Pace:
    """How far one reader is behind: the seconds it let its answer wait, less those its bytes stand for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing has been handed to the reader yet."""
        self._clock = clock
        self._behind = 0.0
        self._since: float | None = None

    @property
    def behind(self) -> float:
        """Seconds, those of the present wait included. Having been fast once is no credit for later."""
        return self._behind + (0.0 if self._since is None else self._clock() - self._since)

    def keeping(self, send: Send) -> Send:
        """*send*, with the pace kept by whoever takes what it sends."""

        async def paced(message: Message) -> None:
            self._since = self._clock()
            try:
                await send(message)
            finally:
                waited, self._since = self._clock() - self._since, None
                self._behind = max(0.0, self._behind + waited - len(message.get("body", b"")) / RATE)

        return paced


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    """Where the answer ``stream`` to ``source`` sits, or waits to sit."""

    source: str
    stream: Stream
    pace: Pace
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Seats:
    """Those at one archive, in this process."""

    def __init__(self, most: int, *, grace: float = GRACE, clock: Callable[[], float] = time.monotonic) -> None:
        """Let *most* answers be under way at once, and readers be *grace* seconds behind."""
        self._most = most
        self._grace = grace
        self._clock = clock
        self._taken: set[_Seat] = set()
        self._waiting: list[_Seat] = []
        self._look: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def taken(self, source: str, stream: Stream) -> AsyncIterator[Pace]:
        """A seat for the answer *stream* to *source*; it may be ended (SLOW_READER) for the pace that is yielded."""
        seat = _Seat(source, stream, Pace(self._clock))
        if self._waiting or len(self._taken) >= self._most:
            self._waiting.append(seat)
            self._give()
            self._watch()
        else:  # on the way of every image, and nearly always so
            self._taken.add(seat)
        try:
            if seat not in self._taken:
                await seat.given
            yield seat.pace
        finally:
            if seat in self._waiting:
                self._waiting.remove(seat)
            self._taken.discard(seat)
            self._give()

    def _give(self) -> None:
        """Give what is free to those who hold the fewest, the longest waiting of them first."""
        while self._waiting and len(self._taken) < self._most:
            counts = self._counts()
            waiting = [seat for seat in self._waiting if not seat.given.done()]
            if not waiting:
                return
            seat = min(waiting, key=lambda each: counts[each.source])
            self._waiting.remove(seat)
            self._taken.add(seat)
            seat.given.set_result(None)

    def _counts(self) -> Counter[str]:
        return Counter(seat.source for seat in self._taken)

    def _watch(self) -> None:
        """Look for seats to clear, now and for as long as somebody waits."""
        if self._look is None and self._waiting:
            self._clear()
            self._look = asyncio.get_running_loop().call_later(self._grace / 4, self._again)

    def _again(self) -> None:
        self._look = None
        self._watch()

    def _clear(self) -> None:
        """End one slow answer for each that waits, unless it is of a source that holds no more than the waiting one."""
        counts = self._counts()
        leaving = sum(seat.stream.stopped for seat in self._taken)
        slow = [seat for seat in self._taken if not seat.stream.stopped and seat.pace.behind >= self._grace]
        for waiting in sorted(self._waiting, key=lambda seat: counts[seat.source])[leaving : self._most]:
            slow.sort(key=lambda seat: (counts[seat.source], seat.pace.behind))
            if not slow or counts[slow[-1].source] <= counts[waiting.source]:
                return
            loser = slow.pop()
            counts[loser.source] -= 1
            counts[waiting.source] += 1
            loser.stream.end(Reason.SLOW_READER)
