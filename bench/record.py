"""How long a first access waits for its record: ``python bench/record.py``.

32 visits open a study each at the same moment: the time until each one's record is durable, which is when the first
byte may leave, as the median over all of them. Beside it, in the same rounds, one bare durable commit of one row by
the database's driver. On SQLite and on PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from rig.measure import verdict
from rig.postgresql import postgresql

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.gateway.ledger import Ledger
from keyhole.store.chain import Signing
from keyhole.store.database import open_store
from keyhole.store.migrations import migrate

AT_ONCE = 32
SQLITE_TARGET, POSTGRESQL_TARGET = 2.0, 3.0
_ROW = "x" * 300
_WARM_UP = 2
Among = Callable[[], Awaitable[list[float]]]


def access(visit: str) -> Record:
    """The first access of a visit."""
    return Record(
        at=datetime.now(UTC),
        event=Event.ACCESS,
        subject=f"visit:{visit}",
        archive="main",
        study="1.2.826.1",
        action=Action.RETRIEVE,
        share="a" * 16,
        visit=visit,
        personal={"address": "192.0.2.1", "agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0"},
    )


async def timed(ledger: Ledger, visit: str) -> float:
    """The milliseconds until an access may be released."""
    record = access(visit)
    begun = time.perf_counter()
    await ledger.release(record)
    return (time.perf_counter() - begun) * 1000


@dataclass(frozen=True, slots=True)
class Medians:
    """In milliseconds: a release among 32, a bare commit alone, and a bare commit among 32."""

    release: float
    alone: float
    among: float | None


async def rounds(url: str, heads: Path, alone: Callable[[], object], among: Among | None, count: int) -> Medians:
    """Release and commit in turns."""
    migrate(url)
    store = open_store(url, Signing("first", {"first": b"k" * 32}), heads)
    ledger = Ledger(store, lambda: datetime.now(UTC))
    releases: list[float] = []
    commits: list[float] = []
    crowd: list[float] = []
    try:
        for number in range(-_WARM_UP, count):
            waits = await asyncio.gather(*(timed(ledger, f"{number}-{visit}") for visit in range(AT_ONCE)))
            begun = time.perf_counter()
            alone()
            commit = (time.perf_counter() - begun) * 1000
            together = await among() if among else []
            if number >= 0:
                releases += waits
                commits.append(commit)
                crowd += together
    finally:
        await store.close()
    return Medians(statistics.median(releases), statistics.median(commits), statistics.median(crowd) if crowd else None)


def on_sqlite(folder: Path, count: int) -> Medians:
    """The medians on SQLite."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE bare (row TEXT)")
        commit = partial(connection.execute, "INSERT INTO bare VALUES (?)", (_ROW,))
        return asyncio.run(rounds(f"sqlite:///{folder / 'keyhole.db'}", folder, commit, None, count))


async def _timed_commit(connection: psycopg.AsyncConnection[Any]) -> float:
    begun = time.perf_counter()
    await connection.execute("INSERT INTO bare VALUES (%s)", (_ROW,))
    return (time.perf_counter() - begun) * 1000


async def _on_postgresql(url: str, folder: Path, count: int) -> Medians:
    async with AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
            for _ in range(AT_ONCE)
        ]

        async def among() -> list[float]:
            return await asyncio.gather(*map(_timed_commit, crowd))

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE bare (row TEXT)")
            alone = partial(connection.execute, "INSERT INTO bare VALUES (%s)", (_ROW,))
            return await rounds(url, folder, alone, among, count)


def on_postgresql(folder: Path, count: int) -> Medians:
    """The medians on PostgreSQL."""
    with postgresql() as url:
        return asyncio.run(_on_postgresql(url, folder, count))


def main() -> None:
    """Measure both, print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    count = parser.parse_args().rounds
    print(f"{AT_ONCE} first accesses at once, medians of {count} rounds, with bare durable commits between them")
    with tempfile.TemporaryDirectory(prefix="keyhole-bench-") as one:
        found = on_sqlite(Path(one), count)
    print(f"SQLite      release {verdict(found.release, SQLITE_TARGET)} ms   one bare commit {found.alone:.2f} ms")
    with tempfile.TemporaryDirectory(prefix="keyhole-bench-") as other:
        found = on_postgresql(Path(other), count)
    assert found.among is not None
    print(
        f"PostgreSQL  release {found.release:.2f} ms   to one bare commit among {AT_ONCE} ({found.among:.2f} ms):"
        f" {verdict(found.release / found.among, POSTGRESQL_TARGET)}, to one alone ({found.alone:.2f} ms):"
        f" {found.release / found.alone:.1f}"
    )


if __name__ == "__main__":
    main()
