"""Stores under test: every contract test runs in memory, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from keyhole.store.database import DatabaseStore, open_store
from keyhole.store.memory import MemoryStore
from keyhole.store.migrations import migrate
from tests.postgres import postgres, postgresql_url
from tests.store.makers import SIGNING

__all__ = ["postgres", "postgresql_url"]

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.e2e)
"""A real server: `make check` leaves it out, `make test` does not."""

Open = Callable[[], DatabaseStore]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'keyhole.db'}"


@pytest.fixture(params=["sqlite", POSTGRESQL])
def empty_url(request: pytest.FixtureRequest) -> str:
    """The address of a database without tables, on each database in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def url(empty_url: str) -> str:
    """The address of a migrated database, on each database in turn."""
    migrate(empty_url)
    return empty_url


@pytest.fixture
async def opened(url: str, tmp_path: Path) -> AsyncIterator[Open]:
    """Open the same database once more; every store is closed at the end."""
    stores: list[DatabaseStore] = []

    def one_more() -> DatabaseStore:
        stores.append(open_store(url, SIGNING, tmp_path))
        return stores[-1]

    yield one_more
    for store in stores:
        await store.close()


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
def a_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "memory":
        yield None
        return
    url = request.getfixturevalue(f"{request.param}_url")
    migrate(url)
    yield url


@pytest.fixture
async def store(a_url: str | None, tmp_path: Path) -> AsyncIterator[MemoryStore | DatabaseStore]:
    """An empty store of each kind in turn."""
    store = MemoryStore(SIGNING) if a_url is None else open_store(a_url, SIGNING, tmp_path)
    yield store
    await store.close()
