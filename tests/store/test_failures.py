"""A full disk, a locked database, a lost database: StoreFailed, nothing half-written, and well again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import resource
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.errors import StoreFailed
from keyhole.store.chain import Signing
from keyhole.store.database import DatabaseStore, open_store
from keyhole.store.heads import Heads
from keyhole.store.migrations import migrate
from keyhole.store.sqlite import Sqlite
from keyhole.store.trail import TrailQuery
from keyhole.store.verify import Intact
from tests.postgres import Cluster
from tests.store.makers import SIGNING, record, share
from tests.store.raw import raw

PATIENCE = 0.2


@pytest.fixture
def database(sqlite_url: str, tmp_path: Path) -> Path:
    migrate(sqlite_url)
    return tmp_path / "keyhole.db"


@contextlib.asynccontextmanager
async def impatient(database: Path) -> Any:
    store = DatabaseStore(Sqlite(database, PATIENCE), SIGNING, Heads(database.parent))
    yield store
    await store.close()


async def recovers(operation: Callable[[], Awaitable[object]], within: float = 10) -> None:
    """Wait until *operation* works again."""
    until = time.monotonic() + within
    while True:
        try:
            await operation()
        except StoreFailed:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        else:
            return


def size(file: Path) -> int:
    return file.stat().st_size


def there(file: Path) -> bool:
    return file.exists()


@contextlib.contextmanager
def full_disk(at: int) -> Iterator[None]:
    """Let no file of this process grow beyond *at* bytes: what the kernel answers then is as final as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


async def test_nothing_is_kept_on_a_full_disk_and_everything_after_it(database: Path) -> None:
    async with impatient(database) as store:
        await store.append([record()])
        with full_disk(size(Path(f"{database}-wal"))):
            with pytest.raises(StoreFailed):
                await store.append([record(detail={"much": "x" * 20_000})])
            lost = share()
            with pytest.raises(StoreFailed):
                await store.add_share(lost, record(detail={"much": "x" * 20_000}))
            assert len(await store.trail(TrailQuery())) == 1
        await store.append([record(Event.SEARCH)])
        assert await store.share(lost.id) is None
        assert [row.record.event for row in await store.trail(TrailQuery())] == [Event.ACCESS, Event.SEARCH]
        assert await store.verify() == Intact(2, 2)


async def test_a_database_that_may_not_grow_says_so_and_loses_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = 0

    def connect(self: Sqlite, real: Any = Sqlite.connect) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(self)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(Sqlite, "connect", connect)
    with raw(f"sqlite:///{database}") as run:
        pages = run("PRAGMA page_count")[0][0]
    async with impatient(database) as store:
        with pytest.raises(StoreFailed, match="no room left"):
            await store.append([record(detail={"much": "x" * 20_000})])
        pages = 0x7FFFFFFF
        await store.append([record()])
        assert await store.verify() == Intact(1, 1)


async def test_writers_do_not_wait_long_for_a_locked_database(database: Path) -> None:
    async with impatient(database) as store:
        await store.append([record()])
        with raw(f"sqlite:///{database}") as run:
            run("BEGIN IMMEDIATE")
            begun = time.monotonic()
            outcomes = await asyncio.gather(*(store.append([record()]) for _ in range(5)), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [StoreFailed] * 5
            assert time.monotonic() - begun < 10 * PATIENCE
            assert len(await store.trail(TrailQuery())) == 1, "reading goes on"
            assert await store.generation() == 1
            run("ROLLBACK")
        await store.append([record()])
        assert await store.verify() == Intact(2, 2)


async def test_writers_do_not_wait_long_for_a_process_that_hangs(database: Path) -> None:
    async with impatient(database) as store:
        with Path(f"{database}.lock").open("w") as lock:  # noqa: ASYNC230 - a lock, held as another process does
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(StoreFailed, match="does not let go"):
                await store.append([record()])
        await store.append([record()])


async def test_a_database_that_is_gone_is_not_made_anew_and_is_found_again(database: Path) -> None:
    async with impatient(database) as store:
        await store.append([record()])
        away = {path: path.with_name("away-" + path.name) for path in (database, Path(f"{database}-wal"))}
        with raw(f"sqlite:///{database}") as run:
            run("PRAGMA wal_checkpoint(TRUNCATE)")
        for path, other in away.items():
            path.rename(other)
        generations = store.generations()
        for ask in (store.generation, lambda: store.append([record()]), lambda: anext(generations)):
            with pytest.raises(StoreFailed):
                await ask()
        assert not there(database)
        for path, other in away.items():
            other.rename(path)
        await recovers(lambda: store.append([record()]))
        assert await store.verify() == Intact(2, 2)
        assert await anext(store.generations()) == 1


async def test_a_database_without_tables_fails_without_telling_values(
    empty_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    if empty_url == sqlite_url:
        (tmp_path / "keyhole.db").touch()
    store = open_store(empty_url, Signing("first", SIGNING.keys), tmp_path)
    for ask in (
        store.generation,
        lambda: store.append([record(subject="user:eve")]),
        lambda: anext(store.generations()),
    ):
        with pytest.raises(StoreFailed) as caught:
            await ask()
        assert "eve" not in str(caught.value)
    await store.close()


async def test_an_error_does_not_quote_what_was_to_be_kept(url: str, tmp_path: Path) -> None:
    store = open_store(url, SIGNING, tmp_path)
    one = share(note="confidential")
    await store.add_share(one, record())
    with pytest.raises(StoreFailed) as caught:
        await store.add_share(one, record())
    assert one.id not in str(caught.value)
    assert caught.value.__cause__ is None
    await store.close()


async def test_no_row_is_kept_when_the_heads_cannot_be_written(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    store = open_store(url, SIGNING, folder)
    with pytest.raises(StoreFailed):
        await store.append([record()])
    assert await store.trail(TrailQuery()) == []
    folder.mkdir()
    await store.append([record()])
    assert await store.verify() == Intact(1, 1)
    await store.close()


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A server of its own, to be stopped."""
    cluster = Cluster()
    cluster.start()
    cluster.run("CREATE ROLE keyhole LOGIN")
    cluster.run("CREATE DATABASE keyhole OWNER keyhole")
    yield cluster
    cluster.remove()


@pytest.mark.e2e
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_a_server_that_was_lost_is_used_again_when_it_is_back(
    server: Cluster, tmp_path: Path, how: signal.Signals
) -> None:
    url = server.url("keyhole")
    migrate(url)
    store = open_store(url, SIGNING, tmp_path)
    one = share()
    await store.add_share(one, record())
    generations = store.generations()
    assert await anext(generations) == 2
    await asyncio.to_thread(server.stop, how)
    for ask in (store.generation, lambda: store.append([record()]), lambda: store.share(one.id)):
        with pytest.raises(StoreFailed):
            await ask()
    with pytest.raises(StoreFailed):
        async for _ in generations:
            pass
    with pytest.raises(StoreFailed):
        await anext(store.generations())
    await asyncio.to_thread(server.start)
    await recovers(lambda: store.append([record()]))
    assert await store.share(one.id) == one
    assert await anext(store.generations()) == 2
    assert isinstance(await store.verify(), Intact)
    await store.close()


@pytest.mark.e2e
async def test_a_restart_between_two_requests_is_not_noticed(server: Cluster, tmp_path: Path) -> None:
    url = server.url("keyhole")
    migrate(url)
    store = open_store(url, SIGNING, tmp_path)
    await store.append([record()])
    await asyncio.gather(*(store.generation() for _ in range(8)))
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    await store.append([record()])
    await asyncio.gather(*(store.generation() for _ in range(8)))
    assert await store.verify() == Intact(2, 2)
    await store.close()


@pytest.mark.e2e
async def test_writers_do_not_wait_long_for_a_head_that_somebody_holds(server: Cluster, tmp_path: Path) -> None:
    url = server.url("keyhole")
    migrate(url)
    store = open_store(url, SIGNING, tmp_path)
    with raw(url) as run:
        run("BEGIN")
        run("SELECT * FROM head FOR UPDATE")
        with pytest.raises(StoreFailed):
            await store.append([record()])
        run("ROLLBACK")
    await store.append([record()])
    assert await store.verify() == Intact(1, 1)
    await store.close()
