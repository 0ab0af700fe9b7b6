"""Every answer on its way can be ended, and its end hits nothing else."""

from __future__ import annotations

import asyncio

import pytest

from keyhole.access.decision import Reason
from keyhole.gateway.streams import Stream, Streams, TooMany


async def forever(streams: Streams, holder: str, begun: asyncio.Event) -> Stream:
    async with streams.open(holder) as running:
        begun.set()
        await asyncio.Event().wait()
    await asyncio.sleep(0)  # the end of the stream must not cancel what comes after it
    return running


async def test_ending_a_holder_ends_all_of_its_streams_and_no_others() -> None:
    streams = Streams()
    events = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.ensure_future(forever(streams, name, e)) for name, e in zip("aab", events, strict=True)]
    await asyncio.gather(*(event.wait() for event in events))
    assert streams.end("a", Reason.WITHDRAWN) == 2
    ended = await asyncio.gather(*tasks[:2])
    assert [stream.ended for stream in ended] == [Reason.WITHDRAWN] * 2
    assert streams.holders() == ("b",)
    streams.end("b", Reason.EXPIRED)
    await tasks[2]
    assert len(streams) == 0


async def test_an_end_that_comes_too_late_cancels_nothing_else() -> None:
    streams = Streams()
    async with streams.open("a") as running:
        running.end(Reason.EXPIRED)
    await asyncio.sleep(0)
    assert running.ended is Reason.EXPIRED


async def test_a_reader_who_left_is_not_also_withdrawn() -> None:
    streams = Streams()
    async with streams.open("a") as running:
        running.leave()
        running.end(Reason.WITHDRAWN)
        await asyncio.Event().wait()
    assert running.left
    assert running.ended is None


async def test_the_servers_own_cancellation_goes_through() -> None:
    streams = Streams()
    begun = asyncio.Event()
    task = asyncio.ensure_future(forever(streams, "a", begun))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert streams.holders() == ()


async def test_a_holder_with_too_many_is_refused_and_others_are_not() -> None:
    streams = Streams(at_once=1, may_wait=1)
    events = [asyncio.Event() for _ in range(2)]
    tasks = [asyncio.ensure_future(forever(streams, "a", event)) for event in events]
    await asyncio.gather(*(event.wait() for event in events))
    with pytest.raises(TooMany):
        async with streams.open("a"):
            raise AssertionError
    async with streams.open("b"):
        pass
    streams.end("a", Reason.VISIT_ENDED)
    await asyncio.gather(*tasks)


async def test_turns_are_per_holder() -> None:
    streams = Streams(at_once=1)
    async with streams.open("a"), streams.turn("a"):
        assert streams.turn("a").locked()
        assert not streams.turn("b").locked()
