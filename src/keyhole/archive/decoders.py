"""Decoder processes, bounded in number and time. One that crashes or hangs costs its own picture, and is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator

import msgspec

from keyhole.archive.order import SECONDS, Order, Reply
from keyhole.errors import ArchiveFailed, ArchiveTimeout

_HEAD = 4
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_ANSWER_MOST = 256 * 1024 * 1024
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""What a decoder is told of our environment, which holds secrets."""
_PROGRAM = "import numpy\nfrom keyhole.archive.decoder import main\nmain()"
COMMAND = (sys.executable, "-P", "-c", _PROGRAM)


class Decoders:
    """Up to *count* processes, started when they are needed and ended when they have not been for *idle* seconds."""

    def __init__(
        self, count: int = 2, *, seconds: float = SECONDS, idle: float = 60.0, command: tuple[str, ...] = COMMAND
    ) -> None:
        """Start nothing yet. A picture may take *seconds*, and wait three times as long for its turn."""
        self._turns = asyncio.Semaphore(count)
        self._seconds, self._idle, self._command = seconds, idle, command
        self._free: dict[Process, asyncio.TimerHandle] = {}
        self._all: set[Process] = set()

    async def render(self, order: Order) -> Reply:
        """What a decoder makes of *order*. Raises ArchiveTimeout when it takes too long, ArchiveFailed on a crash."""
        async with self._turn(), self._process() as process:
            try:
                async with asyncio.timeout(self._seconds):
                    return await _asked(process, order)
            except TimeoutError:
                raise ArchiveTimeout("a picture took too long to decode") from None
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                raise ArchiveFailed("a picture could not be decoded: its decoder broke down") from error

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(3 * self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise ArchiveTimeout("too many pictures are being decoded") from None
        try:
            yield
        finally:
            self._turns.release()

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        """A process of one's own; one that has not answered properly is of no more use."""
        process = self._idle_one() or await self._start()
        try:
            yield process
        except BaseException:
            self._end(process)
            raise
        later = asyncio.get_running_loop().call_later(self._idle, self._end, process)
        self._free[process] = later

    def _idle_one(self) -> Process | None:
        while self._free:
            process, timer = self._free.popitem()
            timer.cancel()
            if process.returncode is None:
                return process
            self._all.discard(process)
        return None

    async def _start(self) -> Process:
        # One thread each: there are as many processes as there is to do.
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True
            )
        except OSError as error:
            raise ArchiveFailed(f"no decoder can be started: {error.strerror}") from error
        self._all.add(process)
        return process

    def _end(self, process: Process) -> None:
        timer = self._free.pop(process, None)
        if timer is not None:
            timer.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def close(self) -> None:
        """End all processes."""
        for process in self._all:
            self._end(process)
        await asyncio.gather(*(process.wait() for process in self._all))
        self._all.clear()


async def _asked(process: Process, order: Order) -> Reply:
    if process.stdin is None or process.stdout is None:
        raise EOFError("a decoder without pipes")
    content = msgspec.msgpack.encode(order)
    process.stdin.write(len(content).to_bytes(_HEAD, "big") + content)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(_HEAD), "big")
    if length > _ANSWER_MOST:
        raise EOFError("a decoder that answers nonsense")
    return _REPLIES.decode(await process.stdout.readexactly(length))
