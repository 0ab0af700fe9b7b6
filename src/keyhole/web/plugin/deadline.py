"""A deadline that costs nothing to whoever does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """What *coroutine* returns; TimeoutError, and its cancellation, when it waits for longer than *seconds*.

    It is begun before any timer is set: most answers about images come from memory, and a timer costs as much as they.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    async with asyncio.timeout(seconds):
        return await _Rest(coroutine, waits_for)


class _Rest(Generic[T]):
    """What is left of a coroutine that has been begun and *waits_for* something."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    sent = yield waits_for
                except BaseException as error:  # noqa: BLE001 - for the coroutine, whatever it is: cancellation too
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(sent)
            except StopIteration as end:
                result: T = end.value
                return result
