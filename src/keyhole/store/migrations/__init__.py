"""The database's schema, from the first version on: made, brought up to date, and told apart.

Alembic does the work, without a file of settings: its scripts are part of the package, and their names tell their
revisions. It is loaded only when there is something to do, for it and what it loads stay in memory with 8 MB.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from keyhole.errors import StoreFailed
from keyhole.store.address import parse_url
from keyhole.store.backend import failure

_PATIENCE = 30
"""Seconds to wait for another process that migrates."""

_LOCK = 7_201_951_004_553_811_021
"""PostgreSQL's advisory lock of whoever migrates: any number that nobody else uses."""


class Schema(StrEnum):
    """How a database's schema stands to this version of the program."""

    BEHIND = "behind"
    """To be migrated; an empty or missing database as well."""
    CURRENT = "current"
    AHEAD = "ahead"
    """A newer version has migrated it: this one must not write to it."""


def migrate(url: str) -> None:
    """Bring the database at *url* to this version's schema, all or nothing; make a missing SQLite file.

    Any number of processes may do so at once. Raises StoreFailed when the database cannot be reached or changed, and
    when it is ahead.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        _make_file(Path(str(parsed.database)))
    with _connected(parsed) as connection:
        migrate_on(connection)


def migrate_on(connection: Connection) -> None:
    """As :func:`migrate`, in the transaction of *connection*, alone with whoever else migrates."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _upgrade(connection)


def check_schema(url: str) -> Schema:
    """How the schema of the database at *url* stands; StoreFailed when the database cannot be reached."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return Schema.BEHIND
    with _connected(parsed) as connection:
        return standing(_found(connection))


def standing(found: tuple[str, ...]) -> Schema:
    """How a database that names the revisions *found* stands."""
    known = _revisions()
    if found == (max(known),):
        return Schema.CURRENT
    return Schema.BEHIND if known.issuperset(found) else Schema.AHEAD


@cache
def _revisions() -> frozenset[str]:
    """All that this version knows; the greatest is the newest."""
    return frozenset(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*_*.py"))


def _found(connection: Connection) -> tuple[str, ...]:
    if not inspect(connection).has_table("alembic_version"):
        return ()
    return tuple(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.util.exc import CommandError  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", "keyhole.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StoreFailed("the database is ahead of this version") from None


def _make_file(path: Path) -> None:
    """An empty database that only its owner may read, in WAL mode, which a file keeps."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise failure(error) from None


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    """One connection in a transaction that nobody else migrates in."""
    engine = create_engine(url, poolclass=NullPool, connect_args=_arguments(url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection
    except SQLAlchemyError as error:
        raise failure(getattr(error, "orig", None) or error) from None
    finally:
        engine.dispose()


def _arguments(url: URL) -> dict[str, Any]:
    return {"timeout": _PATIENCE} if url.get_backend_name() == "sqlite" else {"connect_timeout": 5}


def _leave_transactions_to_us(connection: sqlite3.Connection, _: object) -> None:
    """The driver would commit between the statements of a migration."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
