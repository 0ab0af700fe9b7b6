"""A whole database in one SQLite file, as it was at one moment: written while others write, and read elsewhere.

The file has this version's tables, whichever database it came from. SQLite's pages are copied by its backup interface,
PostgreSQL's rows table by table out of one snapshot: neither makes a writer wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, func, insert, select, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from keyhole.errors import StoreFailed
from keyhole.store import schema
from keyhole.store.address import parse_url
from keyhole.store.backend import failure
from keyhole.store.chain import Head
from keyhole.store.migrations import Schema, check_schema, migrate
from keyhole.store.sqlite import Sqlite

Progress = Callable[[int, int], None]

_COUNTERS = (schema.head, schema.generation)
"""Tables of one row, which is there from the first migration on."""

_OF_THE_MOMENT = (schema.buckets, schema.mail_codes)
"""Tables that a backup does not hold: what is in them is worth nothing, or should not be, when it is restored."""

_AT_ONCE = 1000
PAGES = 2048
"""How many pages of SQLite are copied before progress is told."""


def rows_of() -> tuple[Table, ...]:
    """The tables that hold rows, whatever versions add."""
    return tuple(table for table in schema.metadata.sorted_tables if table not in _COUNTERS)


def export(url: str, file: Path, progress: Progress) -> None:
    """Write the database at *url* to *file*, which is not there yet; *progress* is told parts done, parts in all."""
    parsed = parse_url(url)
    if check_schema(url) is not Schema.CURRENT:
        raise StoreFailed("the database is not at this version's schema")
    if parsed.get_backend_name() == "sqlite":
        copy_pages(Path(str(parsed.database)), file, progress)
    else:
        migrate(f"sqlite:///{file}")
        with transaction(parsed) as source, transaction(parse_url(f"sqlite:///{file}")) as target:
            copy_rows(source, target, progress)
    with opened(file) as kept:
        kept.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
        for table in _OF_THE_MOMENT:
            kept.execute(f"DELETE FROM {table.name}")  # noqa: S608


def copy_pages(path: Path, file: Path, progress: Progress) -> None:
    """Copy the SQLite database at *path*, as it is now, to *file*."""
    try:
        with closing(Sqlite(path).connect()) as source, closing(sqlite3.connect(file)) as target:
            source.execute("BEGIN")
            source.execute("SELECT seq FROM head").fetchall()  # from here on the source stands still for us
            source.backup(target, pages=PAGES, progress=lambda _, left, total: progress(total - left, total), sleep=0)
    except sqlite3.Error as error:
        raise failure(error) from None


def copy_rows(source: Connection, target: Connection, progress: Progress) -> None:
    """Copy all rows of *source* to *target*, whose tables are empty."""
    total = sum(count(source, table) for table in rows_of())
    done = 0
    for table in rows_of():
        for rows in _partitions(source, table):
            target.execute(insert(table), rows)
            done += len(rows)
            progress(done, total)
    for table in _COUNTERS:
        row = source.execute(select(table)).mappings().one()
        target.execute(update(table).values(dict(row)))


def count(connection: Connection, table: Table) -> int:
    """How many rows *table* has."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _partitions(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """The rows in the order of their keys, a thousand at a time: the trail takes none but the next one."""
    ordered = select(table).order_by(*table.primary_key.columns)
    found = connection.execute(ordered, execution_options={"yield_per": _AT_ONCE})
    for rows in found.mappings().partitions():
        yield [dict(row) for row in rows]


@contextmanager
def transaction(url: URL) -> Iterator[Connection]:
    """One moment of a database, or one step of it."""
    postgresql = url.get_backend_name() == "postgresql"
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if postgresql else {}
    engine = create_engine(url, poolclass=NullPool, **options)
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise failure(getattr(error, "orig", None) or error) from None
    finally:
        engine.dispose()


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The existing SQLite database in *file*, in autocommit mode, which nobody else has open."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as kept:
            yield kept
    except sqlite3.Error as error:
        raise failure(error) from None


def head_of(file: Path) -> Head:
    """The end of the trail in *file*."""
    with opened(file) as kept:
        return Head(*kept.execute("SELECT seq, digest FROM head").fetchone())


def holds(url: str, head: Head) -> bool:
    """Whether the trail in the database at *url* has the row that *head* was the end with."""
    with transaction(parse_url(url)) as connection:
        query = select(schema.trail.c.digest).where(schema.trail.c.seq == head.seq)
        return connection.execute(query).scalar_one_or_none() == head.digest


def last_row(connection: Connection) -> int:
    """The number of the last row of the trail, 0 without any."""
    return connection.execute(select(func.max(schema.trail.c.seq))).scalar_one() or 0


def move_generation(kept: sqlite3.Connection, present: Connection | None) -> None:
    """Move the generation in *kept* beyond that of *present*, so that whoever remembers rows of it reads them again."""
    now = 0 if present is None else present.execute(select(schema.generation.c.value)).scalar_one()
    kept.execute("UPDATE generation SET value = max(value, ?) + 1", (now,))
