"""Whoever reads slowly holds a seat only as long as nobody else needs it, and whoever keeps up keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.gateway import seats as module
from keyhole.gateway.seats import GRACE, RATE, Pace, Seats
from keyhole.gateway.streams import Stream, Streams
from tests.gateway.gate import FRAME, OK, SECOND, Gate, Reader, settled
from tests.gateway.small_archive import endless


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestPace:
    async def hand(self, pace: Pace, clock: Clock, seconds: float, size: int) -> None:
        async def send(_: object) -> None:
            clock.now += seconds

        await pace.keeping(send)({"type": "http.response.body", "body": b"x" * size})

    async def test_who_waits_is_behind_and_who_takes_catches_up(self, clock: Clock) -> None:
        pace = Pace(clock)
        await self.hand(pace, clock, 3, 0)
        assert pace.behind == 3
        await self.hand(pace, clock, 1, 2 * RATE)
        assert pace.behind == 2

    async def test_having_been_fast_is_no_credit(self, clock: Clock) -> None:
        pace = Pace(clock)
        await self.hand(pace, clock, 0, 100 * RATE)
        await self.hand(pace, clock, 3, 0)
        assert pace.behind == 3

    async def test_the_present_wait_counts(self, clock: Clock) -> None:
        pace = Pace(clock)

        async def never(_: object) -> None:
            await asyncio.Event().wait()

        task = asyncio.ensure_future(pace.keeping(never)({"type": "http.response.body", "body": b"x"}))
        await asyncio.sleep(0)
        clock.now += 7
        assert pace.behind == 7
        task.cancel()


@asynccontextmanager
async def sitting(seats: Seats, source: str) -> AsyncIterator[tuple[Stream, Pace]]:
    async with Streams().open(source) as stream, seats.taken(source, stream) as pace:
        yield stream, pace


class Sitter:
    """Somebody who takes a seat and stays."""

    def __init__(self, seats: Seats, source: str, behind: float = 0.0) -> None:
        self.seated = asyncio.Event()
        self.stream: Stream | None = None
        self.task = asyncio.ensure_future(self._sit(seats, source, behind))

    async def _sit(self, seats: Seats, source: str, behind: float) -> None:
        async with sitting(seats, source) as (self.stream, pace):
            pace._behind = behind
            self.seated.set()
            await asyncio.Event().wait()

    @property
    def sent_away(self) -> bool:
        return self.stream is not None and self.stream.ended is Reason.SLOW_READER

    async def rise(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def all_rise(*sitters: Sitter) -> None:
    for each in sitters:
        await each.rise()


class TestSeats:
    async def test_nobody_is_sent_away_while_there_is_room(self) -> None:
        seats = Seats(3, grace=5)
        sitters = [Sitter(seats, "a", 1000) for _ in range(3)]
        await settled()
        assert all(each.seated.is_set() and not each.sent_away for each in sitters)
        await all_rise(*sitters)

    async def test_the_slowest_of_whoever_holds_the_most_gives_way(self) -> None:
        seats = Seats(4, grace=5)
        alone, *many = [Sitter(seats, "b", 900), *(Sitter(seats, "a", behind) for behind in (6, 8, 7))]
        await settled()
        new = Sitter(seats, "c")
        await settled()
        assert new.seated.is_set()
        assert [each.sent_away for each in many] == [False, True, False]
        assert not alone.sent_away
        await all_rise(alone, *many, new)

    async def test_who_keeps_up_stays_however_many_wait(self) -> None:
        seats = Seats(2, grace=5)
        sitters = [Sitter(seats, "a", 4.9) for _ in range(2)]
        await settled()
        waiting = [Sitter(seats, name) for name in "bcd"]
        await settled()
        assert not any(each.seated.is_set() for each in waiting)
        assert not any(each.sent_away for each in sitters)
        await all_rise(sitters[0])
        await settled()
        assert [each.seated.is_set() for each in waiting] == [True, False, False]
        await all_rise(*sitters, *waiting)

    async def test_nobody_makes_room_for_more_of_its_own(self) -> None:
        seats = Seats(2, grace=5)
        slow = [Sitter(seats, name, 100) for name in "ab"]
        await settled()
        more = Sitter(seats, "a")
        await settled()
        assert not more.seated.is_set()
        assert not any(each.sent_away for each in slow)
        await all_rise(*slow, more)

    async def test_a_free_seat_goes_to_whoever_holds_the_fewest(self) -> None:
        seats = Seats(2, grace=5)
        first, second = Sitter(seats, "a"), Sitter(seats, "a")
        await settled()
        queue = [Sitter(seats, name) for name in "aab"]
        await settled()
        await first.rise()
        await settled()
        assert [each.seated.is_set() for each in queue] == [False, False, True]
        await all_rise(second, *queue)

    async def test_who_leaves_while_waiting_takes_no_seat(self) -> None:
        seats = Seats(1, grace=5)
        sitter, leaving, staying = Sitter(seats, "a"), Sitter(seats, "b"), Sitter(seats, "c")
        await settled()
        await leaving.rise()
        await sitter.rise()
        await settled()
        assert staying.seated.is_set()
        await staying.rise()
        assert (seats._taken, seats._waiting) == (set(), [])

    async def test_who_leaves_as_its_seat_comes_gives_it_back(self) -> None:
        seats = Seats(1, grace=5)
        sitter, leaving, staying = Sitter(seats, "a"), Sitter(seats, "b"), Sitter(seats, "c")
        await settled()
        sitter.task.cancel()
        leaving.task.cancel()
        await settled()
        assert staying.seated.is_set()
        await staying.rise()

    async def test_who_falls_behind_later_is_found_out(self) -> None:
        seats = Seats(1, grace=0.01)
        async with Streams().open("a"):
            pass
        slow = Sitter(seats, "a", 0.0)
        await settled()
        new = Sitter(seats, "b")
        await settled()
        assert not new.seated.is_set()
        (taken,) = seats._taken
        taken.pace._behind = 1.0
        async with asyncio.timeout(10):
            await new.seated.wait()
        assert slow.sent_away
        await new.rise()


def hogged(seats: int) -> Gate:
    gate = Gate(at_once=seats * 3 // 4)
    gate.gateway = replace(gate.gateway, seats={"main": Seats(seats, grace=0.01)})
    gate.caller = replace(gate.caller, app=gate.gateway)
    return gate


async def test_slow_readers_of_several_links_leave_the_archive_to_others() -> None:
    gate = hogged(4)
    gate.archive.answers[FRAME] = endless()
    hogs: list[Reader] = []
    for _ in range(4):
        hog = await gate.visitor((OK,))
        hogs += [gate.read(hog, FRAME, room=3) for _ in range(3)]
    await settled()
    assert gate.archive.under_way == 4
    other = await gate.visitor((SECOND,))
    for _ in range(5):
        async with asyncio.timeout(10):
            assert (await gate.get(other, f"/studies/{SECOND}/metadata")).status == 200
    lost = await gate.trail(Event.REFUSAL)
    assert {row.reason for row in lost} == {Reason.SLOW_READER}
    for hog in hogs:
        hog.leave()
        await hog.over()
    assert (len(gate.streams), gate.archive.under_way) == (0, 0)


async def test_a_reader_who_keeps_up_is_not_cut_off_for_others() -> None:
    gate = hogged(4)
    gate.archive.answers[FRAME] = endless()
    readers = [gate.read(await gate.visitor((OK,)), FRAME) for _ in range(4)]
    for each in readers:
        await each.until(5000)
    waiting = asyncio.ensure_future(gate.get(await gate.visitor((SECOND,)), f"/studies/{SECOND}/metadata"))
    for each in readers:
        await each.until(each.received + 50_000)
    assert not waiting.done()
    assert not any(each.task.done() for each in readers)
    readers[0].leave()
    async with asyncio.timeout(10):
        assert (await waiting).status == 200
    for each in readers:
        each.leave()
        await each.over()


def test_the_bounds_are_such_that_a_telephone_keeps_up() -> None:
    assert RATE * 8 <= 1_000_000
    assert GRACE >= 1
    assert module.Seats(1)._grace == GRACE
