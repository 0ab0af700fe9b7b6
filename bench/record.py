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
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

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


async def rounds(url: str, heads: Path, bare: Callable[[], None], count: int) -> tuple[float, float]:
    """The medians, in milliseconds: a release among 32, and a bare commit."""
    migrate(url)
    store = open_store(url, Signing("first", {"first": b"k" * 32}), heads)
    ledger = Ledger(store, lambda: datetime.now(UTC))
    releases, commits = [], []
    try:
        for number in range(-2, count):
            waits = await asyncio.gather(*(timed(ledger, f"{number}-{visit}") for visit in range(AT_ONCE)))
            begun = time.perf_counter()
            bare()
            commit = (time.perf_counter() - begun) * 1000
            if number >= 0:  # the first ones connect and warm up
                releases += waits
                commits.append(commit)
    finally:
        await store.close()
    return statistics.median(releases), statistics.median(commits)


def on_sqlite(folder: Path, count: int) -> tuple[float, float]:
    """Both medians on SQLite."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE bare (row TEXT)")
        return asyncio.run(
            rounds(
                f"sqlite:///{folder / 'keyhole.db'}",
                folder,
                lambda: connection.execute("INSERT INTO bare VALUES (?)", (_ROW,)) and None,
                count,
            )
        )


def on_postgresql(folder: Path, count: int) -> tuple[float, float]:
    """Both medians on PostgreSQL."""
    with postgresql() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (row TEXT)")
        return asyncio.run(
            rounds(url, folder, lambda: connection.execute("INSERT INTO bare VALUES (%s)", (_ROW,)) and None, count)
        )


def main() -> None:
    """Measure both, print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    count = parser.parse_args().rounds
    print(f"{AT_ONCE} first accesses at once, medians of {count} rounds, against one bare durable commit between them")
    with tempfile.TemporaryDirectory(prefix="keyhole-bench-") as one:
        release, commit = on_sqlite(Path(one), count)
    told = verdict(release, SQLITE_TARGET)
    print(f"SQLite      release {told} ms   bare commit {commit:.2f} ms   {release / commit:.1f} x")
    with tempfile.TemporaryDirectory(prefix="keyhole-bench-") as other:
        release, commit = on_postgresql(Path(other), count)
    print(f"PostgreSQL  release {release:.2f} ms   bare commit {commit:.2f} ms   ", end="")
    print(f"{verdict(release / commit, POSTGRESQL_TARGET)} x")


if __name__ == "__main__":
    main()
