"""A database behind the store's back: what somebody does who holds the database and not the signing key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from keyhole.store.address import parse_url

Run = Callable[..., Sequence[tuple[Any, ...]]]


@contextmanager
def raw(url: str) -> Iterator[Run]:
    """Run statements (``?`` for values) with the rights of the store's own role."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    else:
        connection = psycopg.connect(url, autocommit=True)

    def run(statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        if not url.startswith("sqlite"):
            statement = statement.replace("?", "%s")
        cursor = connection.execute(statement, values)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall() if cursor.description else ()
        return rows

    try:
        yield run
    finally:
        connection.close()


@contextmanager
def tampering(url: str) -> Iterator[Run]:
    """The same, with the guards taken away first."""
    with raw(url) as run:
        if url.startswith("sqlite"):
            for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                run(f"DROP TRIGGER {name}")
        else:
            for table in ("trail", "trail_personal"):
                run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                run(f"GRANT ALL ON {table} TO CURRENT_USER")
        yield run


def migrate_to(url: str, revision: str) -> None:
    """Bring the database at *url* to an earlier version's schema."""
    config = Config()
    config.set_main_option("script_location", "keyhole.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(parse_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
