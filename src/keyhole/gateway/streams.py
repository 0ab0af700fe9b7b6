"""The answers that are on their way, so that each can be ended: by its reader, by a withdrawal, by time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from weakref import WeakValueDictionary

from keyhole.access.decision import Reason

AT_ONCE = 32
"""Requests from one source that may be at the archive at the same time; OHIF has at most 35 under way."""

DOWNLOADS = 2
"""Studies or series that one source may download at the same time: each holds a connection to the archive for long."""

MAY_WAIT = 512
"""Requests of one holder that may wait for their turn."""


class Stream:
    """One answer on its way in the present task."""

    def __init__(self) -> None:
        """Bind to the task that calls."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream runs in a task")
        self._task = task
        self.ended: Reason | None = None
        self.left = False
        """The reader has gone."""

    def end(self, why: Reason) -> None:
        """Stop the answer: nothing more is read from the archive or handed to the socket."""
        if self.ended is None and not self.left:
            self.ended = why
            self._task.cancel()

    def leave(self) -> None:
        """Stop the answer because nobody reads it any more."""
        if self.ended is None and not self.left:
            self.left = True
            self._task.cancel()

    @property
    def stopped(self) -> bool:
        """Whether the task's cancellation is ours, and not that of the server."""
        return self.left or self.ended is not None


class TooMany(Exception):
    """The holder has too many requests waiting."""


class Streams:
    """All of them in this process, by holder (the subject's name)."""

    def __init__(self, at_once: int = AT_ONCE, may_wait: int = MAY_WAIT) -> None:
        """Let each source have *at_once* requests at the archive, and each holder *may_wait* more than that."""
        self._at_once = at_once
        self._may_wait = may_wait
        self._open: defaultdict[str, set[Stream]] = defaultdict(set)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._downloads: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def open(self, holder: str) -> AsyncIterator[Stream]:
        """Register the present task's answer to *holder*; swallow the cancellation that ends it.

        Raises :class:`TooMany` when the holder has too many already.
        """
        streams = self._open[holder]
        if len(streams) >= self._at_once + self._may_wait:
            raise TooMany
        stream = Stream()
        streams.add(stream)
        try:
            yield stream
            if stream.stopped:
                # The cancellation came too late to stop anything, and must not hit whatever the task does next.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not stream.stopped or task is None or task.uncancel() > 0:
                raise
        finally:
            streams.discard(stream)
            if not streams:
                self._open.pop(holder, None)

    def turn(self, source: str, *, long: bool = False) -> AbstractAsyncContextManager[None]:
        """What to hold while asking the archive, so that a flood from one *source* is felt by that source alone.

        A link may be opened any number of times: its visits are one source, or slow readers of two of them would keep
        everybody else from the archive. What is *long*, a download of many files, has its own turn before.
        """
        turn = self._turns.setdefault(source, asyncio.Semaphore(self._at_once))
        if not long:
            return turn
        return _both(self._downloads.setdefault(source, asyncio.Semaphore(min(DOWNLOADS, self._at_once))), turn)

    def holders(self) -> tuple[str, ...]:
        """Everyone with an answer on its way."""
        return tuple(self._open)

    def end(self, holder: str, why: Reason) -> int:
        """End all answers to *holder*; how many there were."""
        streams = tuple(self._open.get(holder, ()))
        for stream in streams:
            stream.end(why)
        return len(streams)

    def __len__(self) -> int:
        """How many answers are on their way."""
        return sum(map(len, self._open.values()))


@asynccontextmanager
async def _both(first: asyncio.Semaphore, second: asyncio.Semaphore) -> AsyncIterator[None]:
    async with first, second:
        yield
