"""Buckets that are full again leave no rows behind, whoever made them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from keyhole.store import limits
from keyhole.store.memory import MemoryStore
from tests.store.conftest import Open
from tests.store.makers import HOUR, NOW, bucket
from tests.store.raw import raw

DAYS = timedelta(days=3)


async def test_rows_of_full_buckets_go_step_by_step(url: str, opened: Open) -> None:
    store = opened()
    for number in range(50):
        await store.take([bucket(f"address-{number}")], NOW)
    lasting = bucket("lasting", every=10 * DAYS)
    await store.take([lasting], NOW)
    with raw(url) as run:
        assert run("SELECT count(*) FROM buckets") == [(51,)]
        await store.take([bucket("another")], NOW + HOUR)
        assert run("SELECT count(*) FROM buckets") == [(52,)], "what is full for hours only might be needed again"
        await store.take([bucket("another")], NOW + DAYS)
        assert run("SELECT count(*) FROM buckets") == [(52 - limits.SWEPT,)], "no taker waits for all of it"
        for _ in range(2):
            await store.take([bucket("another")], NOW + DAYS)
        assert sorted(run("SELECT name FROM buckets")) == [("another",), ("lasting",)]


async def test_a_flood_of_addresses_is_forgotten_in_memory_as_well() -> None:
    store: Any = MemoryStore()
    for number in range(50):
        await store.take([bucket(f"address-{number}"), bucket("everybody", at_once=1000)], NOW)
    for _ in range(4):
        await store.take([bucket("everybody", at_once=1000)], NOW + DAYS)
    assert list(store._buckets) == ["everybody"]


async def test_a_refusal_takes_no_turn_of_the_writers(opened: Open, monkeypatch: Any) -> None:
    """A flood that is refused does not stand in the way of what is recorded and released."""
    store = opened()
    mine = bucket(at_once=1)
    assert await store.take([mine], NOW) == {}

    async def write(*_: object, **__: object) -> None:
        raise AssertionError("somebody wrote")

    monkeypatch.setattr(store._writer, "write", write)
    assert await store.take([mine, bucket("other")], NOW) == {mine.name: mine.every}
    assert await store.claim_mails(NOW, NOW + HOUR, 5) == [], "nor does looking for mail"
