"""Rows held in memory are never older than one second, and never older than the generation that was confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyhole.access.resource import Resource
from keyhole.access.share import ApiKey, Share, ShareKind, Visit
from keyhole.errors import Stale, StoreFailed
from keyhole.gateway.current import CONFIRMED_FOR, Current

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHARE = Share(
    id="a" * 16,
    archive="pacs",
    resources=(Resource.of("pacs", "1.2"),),
    kind=ShareKind.VIEW,
    creator="user:anna",
    created_at=NOW,
    expires_at=NOW + timedelta(days=1),
    key_id="k",
)


class Rows:
    """One share, counted reads, and a database that can be lost."""

    def __init__(self) -> None:
        self.kept: Share | None = SHARE
        self.at = 1
        self.reads = 0
        self.lost = False
        self.slow = False
        self.moves_while_reading = False

    async def share(self, share_id: str) -> Share | None:
        self.reads += 1
        row = self.kept
        if self.moves_while_reading:
            self.at += 1
            self.moves_while_reading = False
            await asyncio.sleep(0)
        return row if row is not None and row.id == share_id else None

    async def visit(self, visit_id: str) -> Visit | None:
        raise AssertionError(visit_id)

    async def key(self, key_id: str) -> ApiKey | None:
        raise AssertionError(key_id)

    async def generation(self) -> int:
        if self.lost:
            raise StoreFailed("the database is gone")
        if self.slow:
            await asyncio.sleep(3600)
        return self.at

    async def generations(self) -> AsyncIterator[int]:
        while not self.lost:
            yield self.at
            await asyncio.sleep(0)
        raise StoreFailed("the database is gone")


class Clock:
    """Seconds that go forward when told to."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def current(rows: Rows, clock: Clock) -> Current:
    return Current(rows, clock)


async def test_a_row_is_read_once_while_the_generation_stands(current: Current, rows: Rows, clock: Clock) -> None:
    assert await current.share(SHARE.id) == SHARE
    clock.at += 10 * CONFIRMED_FOR
    assert await current.share(SHARE.id) == SHARE
    assert rows.reads == 1


async def test_a_new_generation_empties_the_memory(current: Current, rows: Rows, clock: Clock) -> None:
    await current.share(SHARE.id)
    rows.kept, rows.at = replace(SHARE, withdrawn_at=NOW), 2
    clock.at += CONFIRMED_FOR
    assert (await current.share(SHARE.id)) == rows.kept


async def test_what_does_not_exist_is_remembered_too(current: Current, rows: Rows) -> None:
    assert await current.share("b" * 16) is None
    assert await current.share("b" * 16) is None
    assert rows.reads == 1


async def test_a_row_read_while_the_generation_moved_is_not_kept(current: Current, rows: Rows) -> None:
    async def follow() -> None:
        async for generation in rows.generations():
            current._confirm(generation)

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    rows.moves_while_reading = True
    await current.share(SHARE.id)
    await current.share(SHARE.id)
    following.cancel()
    assert rows.reads == 2


async def test_a_lost_database_decides_nothing_and_is_used_again_when_it_is_back(
    current: Current, rows: Rows, clock: Clock
) -> None:
    await current.share(SHARE.id)
    rows.lost = True
    clock.at += CONFIRMED_FOR / 2
    assert await current.share(SHARE.id) == SHARE
    clock.at += CONFIRMED_FOR / 2
    with pytest.raises(Stale):
        await current.share(SHARE.id)
    rows.lost = False
    assert await current.share(SHARE.id) == SHARE


async def test_a_database_that_hangs_is_not_waited_for(
    current: Current, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyhole.gateway.current.CONFIRMED_FOR", 0.01)
    rows.slow = True
    with pytest.raises(Stale):
        await current.share(SHARE.id)


async def test_following_goes_on_after_a_loss(
    current: Current, rows: Rows, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyhole.gateway.current._RETRY_AFTER", 0)
    following = asyncio.ensure_future(current.follow())
    await asyncio.sleep(0.01)
    rows.lost = True
    await asyncio.sleep(0.01)
    rows.lost, rows.at = False, 7
    clock.at = 100
    await asyncio.sleep(0.01)
    rows.lost = True  # what is confirmed now was confirmed by following
    assert await current.share(SHARE.id) == SHARE
    following.cancel()


async def test_the_memory_is_bounded(current: Current, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhole.gateway.current._MOST_ROWS", 3)
    for letter in "abcde":
        await current.share(letter * 16)
    assert len(current._held) == 3


async def test_a_changed_row_can_be_forgotten_at_once(current: Current, rows: Rows) -> None:
    await current.share(SHARE.id)
    rows.kept = replace(SHARE, visits=1)
    current.forget([SHARE.id])
    assert await current.share(SHARE.id) == rows.kept
