"""Run what reads files and SQLite off the event loop, in a bounded number of threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """A small pool. What is queued behind it waits; the event loop does not."""

    def __init__(self, count: int, name: str) -> None:
        """Use at most *count* threads."""
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[[], T]) -> T:
        """What *function* returns."""
        return await asyncio.wrap_future(self._pool.submit(function))

    def later(self, function: Callable[[], object]) -> None:
        """Do *function* in its turn, or now when the pool takes no more work; nobody waits for it."""
        try:
            running = self._pool.submit(function)
        except RuntimeError:
            function()
        else:
            running.add_done_callback(lambda done: function() if done.cancelled() else None)

    async def stream(self, chunks: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        """What *chunks* yields, each read in a thread when it is asked for.

        When the reader leaves, the generator is closed as soon as the chunk being read is there; nobody waits for it.
        """
        running: Future[bytes | None] | None = None
        try:
            while True:
                running = self._pool.submit(next, chunks, None)
                chunk = await asyncio.wrap_future(running)
                if chunk is None:
                    return
                yield chunk
        finally:
            self._close_after(running, chunks)

    def _close_after(self, running: Future[bytes | None] | None, chunks: Generator[bytes, None, None]) -> None:
        def close(_done: object = None) -> None:
            # The pool may be gone already: then this is the thread to close in.
            with contextlib.suppress(ValueError):
                try:
                    self._pool.submit(chunks.close)
                except RuntimeError:
                    chunks.close()

        if running is None:
            close()
        else:
            running.add_done_callback(close)

    def shutdown(self) -> None:
        """Take no more work; what runs is waited for, what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
