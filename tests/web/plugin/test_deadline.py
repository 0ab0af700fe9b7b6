"""A deadline that costs nothing to whoever does not wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from keyhole.web.plugin.deadline import within


async def answers(*waits: float) -> str:
    for seconds in waits:
        await asyncio.sleep(seconds)
    return "answer"


@pytest.mark.parametrize("waits", [(), (0,), (0, 0, 0.001, 0)])
async def test_what_is_in_time_is_returned(waits: tuple[float, ...]) -> None:
    assert await within(30, answers(*waits)) == "answer"


async def test_what_is_late_is_cancelled() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("yes")

    with pytest.raises(TimeoutError):
        await within(0.001, waits())
    assert ended == ["yes"]


@pytest.mark.parametrize("waits", [(), (0,), (0.001, 0)])
async def test_what_is_raised_is_raised(waits: tuple[float, ...]) -> None:
    async def fails() -> None:
        await answers(*waits)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await within(30, fails())


async def test_a_result_that_somebody_else_gives_is_waited_for() -> None:
    given: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def waits() -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        return await asyncio.shield(given)

    asyncio.get_running_loop().call_later(0.01, given.set_result, "given")
    assert await within(30, waits()) == "given"


async def test_whoever_is_cancelled_cancels_what_they_wait_for() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.ensure_future(within(30, waits()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]
