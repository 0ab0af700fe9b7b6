"""The database as a file: whether it is there, current and safe where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from keyhole.operations.doctor import mounts
from keyhole.operations.doctor.finding import Finding, error, note, ok, warning
from keyhole.store.backend import failure
from keyhole.store.migrations import Schema, standing
from keyhole.store.sqlite import Sqlite

_FULL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFacts:
    """What was found out about a file. ``schema`` None: there is no file yet."""

    path: Path
    kind: str
    network: bool
    workers: int
    schema: Schema | None = None
    journal: str = "wal"
    synchronous: int = _FULL


def look(path: Path, workers: int) -> SqliteFacts:
    """Ask the file at *path*, and change nothing; StoreFailed when it cannot be read."""
    room = mounts.room(path.parent)
    if not path.exists():
        return SqliteFacts(path=path, kind=room.kind, network=room.network, workers=workers)
    backend = Sqlite(path)
    try:
        with closing(backend.connect()) as connection:
            cursor = connection.cursor()
            journal = str(cursor.execute("PRAGMA journal_mode").fetchone()[0])
            synchronous = int(cursor.execute("PRAGMA synchronous").fetchone()[0])
            made = cursor.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
            found = cursor.execute("SELECT version_num FROM alembic_version").fetchall() if made else []
    except backend.errors as problem:
        raise failure(problem) from None
    return SqliteFacts(
        path=path,
        kind=room.kind,
        network=room.network,
        workers=workers,
        schema=standing(tuple(row[0] for row in found)),
        journal=journal,
        synchronous=synchronous,
    )


def schema(found: Schema | None) -> Iterator[Finding]:
    """Whether a database is of this version."""
    match found:
        case Schema.CURRENT:
            yield ok("database-schema", "the database has this version's schema")
        case None:
            yield note("database-schema", "there is no database yet", "keyhole serve makes it when it starts")
        case Schema.BEHIND:
            yield warning(
                "database-schema",
                "the database is of an older version, or empty",
                "the next start of keyhole serve brings it up to date",
                "make a backup, then run: keyhole migrate",
            )
        case Schema.AHEAD:
            yield error(
                "database-schema",
                "the database is of a newer version than this program",
                "this version neither reads nor writes it",
                "install the newer version here too",
            )


def place(facts: SqliteFacts) -> Iterator[Finding]:
    """Whether SQLite works where the file lies."""
    if not facts.network:
        yield ok("database-place", "the database file is on a disk of this machine")
    elif facts.workers > 1:
        yield error(
            "database-place",
            f"the database file is on a network file system ({facts.kind}), used by {facts.workers} workers",
            "SQLite's workers share memory beside the file, which such file systems cannot: it can be damaged",
            "put KEYHOLE_DATA on a disk of this machine, or use PostgreSQL (KEYHOLE_DATABASE)",
        )
    else:
        yield warning(
            "database-place",
            f"the database file is on a network file system ({facts.kind})",
            "what was written may be lost with the network, and a second process or node can damage it",
            "put KEYHOLE_DATA on a disk of this machine, or use PostgreSQL (KEYHOLE_DATABASE)",
        )
    if facts.kind in ("tmpfs", "ramfs"):
        yield warning(
            "data-volatile",
            "the data folder is in memory",
            "shares and the trail are gone when this machine restarts",
            "set KEYHOLE_DATA to a folder on a disk",
        )


def durability(facts: SqliteFacts) -> Iterator[Finding]:
    """Whether what is answered for is on the disk."""
    if facts.schema is None:
        return
    if facts.journal == "wal" and facts.synchronous >= _FULL:
        yield ok("database-durable", "every commit is flushed to the disk (WAL, synchronous=FULL)")
    else:
        yield warning(
            "database-durable",
            f"the database file is in journal mode {facts.journal}",
            "readers and the writer keep each other waiting; something else has changed the file",
            "stop Keyhole, then run: sqlite3 keyhole.db 'PRAGMA journal_mode=WAL'",
        )
