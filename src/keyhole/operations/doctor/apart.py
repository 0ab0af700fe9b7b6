"""Waiting with an end for what cannot be interrupted: a hung network file system, a name server that is silent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def apart(work: Callable[[], T]) -> T:
    """What *work* returns, run in a thread that nobody waits for at the end of the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except Exception as failure:  # noqa: BLE001 - raised again where it is waited for
            _tell(loop, _failed, done, failure)
        else:
            _tell(loop, _done, done, result)

    threading.Thread(target=run, name="keyhole-doctor", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(tell, *arguments)


def _done(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _failed(future: asyncio.Future[T], failure: Exception) -> None:
    if not future.done():
        future.set_exception(failure)
