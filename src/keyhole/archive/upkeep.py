"""Keep the index up to date for as long as this process is the elected one, and try to be elected as long as not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from pathlib import Path

from keyhole.archive.election import Election
from keyhole.archive.indexing import Indexer, Outcome, Progress
from keyhole.archive.threads import Threads
from keyhole.errors import ArchiveFailed, KeyholeError

_log = logging.getLogger(__name__)
_REST = 10
"""After a pass over the folder, rest at least this many times as long as it took."""


class Upkeep:
    """The index of *folder* in the file *index*, looked over every *every* seconds."""

    def __init__(self, folder: Path, index: Path, every: float) -> None:
        """Stand for election beside the index; nothing is read yet."""
        self._folder, self._index, self._every = folder, index, every
        self._election = Election(index.with_name(f"{index.name}.lock"))
        self._indexer: Indexer | None = None
        self._one_pass = threading.Lock()
        self._stop = threading.Event()
        self._threads = Threads(1, "keyhole-index")
        self._task: asyncio.Task[None] | None = None

    @property
    def elected(self) -> bool:
        """Whether this process writes the index."""
        return self._election.won

    def look_over(self, progress: Progress | None = None) -> Outcome | None:
        """One pass over the folder, in this thread; None when another process is the elected one.

        Raises ArchiveFailed, or Misconfigured when the index is another file.
        """
        with self._one_pass:
            try:
                if self._stop.is_set() or not self._election.stand():
                    return None
                if self._indexer is None:
                    self._indexer = Indexer(self._folder, self._index, self._stop)
            except OSError as error:
                raise ArchiveFailed(f"the index of the folder cannot be made: {error.strerror}") from error
            return self._indexer.run(progress)

    async def begin(self) -> None:
        """Look over the folder again and again from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._again_and_again(), name="keyhole-index")

    async def once(self, progress: Progress | None = None) -> Outcome | None:
        """:meth:`look_over` in the thread that is there for it."""
        return await self._threads.run(lambda: self.look_over(progress))

    async def _again_and_again(self) -> None:
        while True:
            took = await self._pass()
            await asyncio.sleep(max(self._every, _REST * took))

    async def _pass(self) -> float:
        """One pass and how many seconds it took; a failure is logged, and the next pass tries again."""
        begun = time.monotonic()
        try:
            outcome = await self.once()
        except KeyholeError as error:
            _log.warning("the folder cannot be indexed now: %s", error)
        except Exception:  # noqa: BLE001 - whatever it is, the next pass is to come
            _log.exception("the folder cannot be indexed now")
        else:
            if outcome is not None and outcome.changed:
                _log.info("indexed: %d read, %d removed, %d there", outcome.read, outcome.removed, outcome.files)
        return time.monotonic() - begun

    async def end(self) -> None:
        """Stop after the file being read, and let another process be elected."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._threads.shutdown)
        if self._indexer is not None:
            self._indexer.close()
        self._election.resign()
