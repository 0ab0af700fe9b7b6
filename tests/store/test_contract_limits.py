"""What every store promises about buckets: never more than allowed, however many ask, whatever the clock does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from keyhole.access.share import ShareChange
from tests.store.makers import (
    HOUR,
    MINUTE,
    NOW,
    Store,
    added,
    bucket,
    code,
    events,
    mail,
    record,
)

DAY = timedelta(days=1)


async def test_so_many_at_once_and_then_one_in_each_time(store: Store) -> None:
    mine = bucket(at_once=3, every=MINUTE)
    for _ in range(3):
        assert await store.left([mine], NOW) == {}
        assert await store.take([mine], NOW) == {}
    assert await store.left([mine], NOW) == {mine.name: MINUTE}
    assert await store.take([mine], NOW) == {mine.name: MINUTE}
    assert await store.take([mine], NOW + timedelta(seconds=20)) == {mine.name: timedelta(seconds=40)}
    assert await store.take([mine], NOW + MINUTE) == {}
    assert await store.take([mine], NOW + MINUTE) == {mine.name: MINUTE}
    for _ in range(3):
        assert await store.take([mine], NOW + HOUR) == {}
    assert await store.take([mine], NOW + HOUR) == {mine.name: MINUTE}


async def test_looking_takes_nothing(store: Store) -> None:
    mine = bucket(at_once=1)
    for _ in range(5):
        assert await store.left([mine], NOW) == {}
    assert await store.take([mine], NOW) == {}


async def test_one_is_taken_from_each_or_from_none(store: Store) -> None:
    small, large = bucket("small", at_once=1), bucket("large", at_once=3, every=HOUR)
    assert await store.take([small, large], NOW) == {}
    assert await store.take([small, large], NOW) == {"small": MINUTE}
    for _ in range(2):
        assert await store.take([large], NOW) == {}, "a refusal has taken none of it"
    assert await store.take([small, large], NOW) == {"small": MINUTE, "large": HOUR}
    assert await store.take([], NOW) == {}


async def test_buckets_are_apart(store: Store) -> None:
    assert await store.take([bucket("a", at_once=1)], NOW) == {}
    assert await store.take([bucket("b", at_once=1)], NOW) == {}
    assert await store.take([bucket("a", at_once=1)], NOW) == {"a": MINUTE}


async def test_of_many_at_once_no_more_get_one(store: Store) -> None:
    mine = bucket(at_once=7, every=HOUR)
    outcomes = await asyncio.gather(*(store.take([mine], NOW) for _ in range(100)))
    assert outcomes.count({}) == 7


async def test_a_clock_that_is_set_back_gives_nothing(store: Store) -> None:
    mine = bucket(at_once=2, every=MINUTE)
    for _ in range(2):
        await store.take([mine], NOW)
    for back in (MINUTE, HOUR, 23 * HOUR):
        assert await store.take([mine], NOW - back) == {mine.name: back + MINUTE}
    assert await store.take([mine], NOW) == {mine.name: MINUTE}


async def test_a_clock_that_was_far_ahead_shuts_nobody_out_for_ever(store: Store) -> None:
    """A node whose clock was years ahead for a moment: its bucket is empty, and fills as any other."""
    mine = bucket(at_once=2, every=MINUTE)
    for _ in range(2):
        await store.take([mine], NOW + 400 * DAY)
    assert await store.take([mine], NOW) == {mine.name: MINUTE}
    assert await store.take([mine], NOW + timedelta(seconds=59)) == {mine.name: timedelta(seconds=1)}
    assert await store.take([mine], NOW + MINUTE) == {}
    assert await store.take([mine], NOW + MINUTE) == {mine.name: MINUTE}


async def test_buckets_change_no_decision_and_are_no_news(store: Store) -> None:
    generation = await store.generation()
    await store.take([bucket()], NOW)
    assert await store.generation() == generation
    assert await events(store) == []


async def test_a_code_that_buckets_refuse_leaves_no_trace(store: Store) -> None:
    one = await added(store)
    first, second = code(one), code(one)
    mine, other = bucket("mine", at_once=1), bucket("other", at_once=9)
    assert await store.add_code(first, mail(one), [mine, other], record()) == {}
    assert await store.add_code(second, mail(one), [mine, other], record()) == {"mine": MINUTE}
    assert await store.code(one.id) == first
    assert len(await store.mails(one.id)) == 1
    assert len(await events(store)) == 2
    later = code(one, created_at=NOW + MINUTE)
    assert await store.add_code(later, mail(one), [mine, other], record()) == {}
    assert await store.code(one.id) == later


async def test_of_many_who_ask_for_a_code_at_once_as_many_get_one_as_may(store: Store) -> None:
    one = await added(store)
    mine = bucket(at_once=3, every=HOUR)
    asked = [store.add_code(code(one), mail(one), [mine], record()) for _ in range(20)]
    assert (await asyncio.gather(*asked)).count({}) == 3
    assert len(await store.mails(one.id)) == 3
    await store.change_share(one.id, ShareChange(note="n"), record())
    assert await store.code(one.id) is not None
