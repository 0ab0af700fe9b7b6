"""The place of a database, in which another one is put: all of it or nothing, while nobody uses it.

What was there is set aside: an SQLite database in a file beside it, PostgreSQL's tables in a schema of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from keyhole.errors import Refused
from keyhole.store import schema
from keyhole.store.address import parse_url
from keyhole.store.backend import failure
from keyhole.store.migrations import migrate, migrate_on
from keyhole.store.portable import PAGES, Progress, copy_pages, copy_rows, count, opened, rows_of, transaction
from keyhole.store.postgresql import ANNOUNCE
from keyhole.store.sqlite import Sqlite

_IN_USE = "the database is in use"
_HINT = "stop keyhole serve, on every node, and try again"


class Present(Protocol):
    """What is in the place now, while nobody writes to it."""

    @property
    def rows(self) -> Connection | None:
        """The database that is there; None when there is none, or it is damaged."""

    @property
    def empty(self) -> bool:
        """Whether nothing is kept there; a damaged file is something."""

    def replace(self, file: Path, stamp: str, progress: Progress) -> str | None:
        """Put the database in *file* in the place, durable when :func:`alone_at` ends; where the one from before is.

        That is named with *stamp*, and None when there was nothing.
        """


@contextmanager
def alone_at(url: str) -> Iterator[Present]:
    """The place at *url*, which nobody else writes to meanwhile; Refused while a server uses it."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        with _alone_at_file(Path(str(parsed.database))) as there:
            yield there
    else:
        with _alone_on_server(parsed) as served:
            yield served


def _holds_rows(connection: Connection) -> bool:
    there = set(inspect(connection).get_table_names())
    return any(count(connection, table) for table in rows_of() if table.name in there)


# -- SQLite


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    rows: Connection | None
    empty: bool

    def replace(self, file: Path, stamp: str, progress: Progress) -> str | None:
        aside = self.path.with_name(f"{self.path.name}.{stamp}")
        if self.rows is None and not self.empty:
            self._move(aside)
        elif not self.empty:
            copy_pages(self.path, aside, progress)
            aside.chmod(0o600)
        if not self.path.exists():
            migrate(f"sqlite:///{self.path}")
        self._overwrite(file, progress)
        return None if self.empty else str(aside)

    def _move(self, aside: Path) -> None:
        """A damaged file can be put in order by nothing: it goes, with its journals."""
        for ending in ("", "-wal", "-shm", "-journal"):
            if (found := Path(f"{self.path}{ending}")).exists():
                found.rename(f"{aside}{ending}")

    def _overwrite(self, file: Path, progress: Progress) -> None:
        """One transaction of SQLite's own: whoever opens the file next, even after a crash, finds one or the other."""
        try:
            with closing(sqlite3.connect(self.path, timeout=2, isolation_level=None)) as target, opened(file) as source:
                target.execute("PRAGMA synchronous=FULL")
                source.backup(
                    target, pages=PAGES, sleep=0, progress=lambda _, left, total: progress(total - left, total)
                )
        except sqlite3.Error as error:
            raise failure(error) from None


@contextmanager
def _alone_at_file(path: Path) -> Iterator[_File]:
    with ExitStack() as stack:
        stack.enter_context(Sqlite(path).turn())
        if not path.exists():
            yield _File(path, None, empty=True)
            return
        if not _leave_wal(path):
            yield _File(path, None, empty=False)
            return
        rows = stack.enter_context(transaction(parse_url(f"sqlite:///{path}")))
        yield _File(path, rows, empty=not _holds_rows(rows))


def _leave_wal(path: Path) -> bool:
    """Find out that nobody has the file open (else it cannot leave WAL mode); whether it is an undamaged database."""
    try:
        with closing(sqlite3.connect(path, timeout=2, isolation_level=None)) as found:
            found.execute("PRAGMA journal_mode=DELETE")
            return bool(found.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise Refused(_IN_USE, _HINT) from None
        raise failure(error) from None
    except sqlite3.DatabaseError:
        return False


# -- PostgreSQL


@dataclass(frozen=True, slots=True)
class _Served:
    connection: Connection
    empty: bool

    @property
    def rows(self) -> Connection | None:
        return None if self.empty else self.connection

    def replace(self, file: Path, stamp: str, progress: Progress) -> str | None:
        aside = None if self.empty else f"keyhole_{stamp.replace('-', '_').lower()}"
        if aside is not None:
            self._set_aside(aside)
        migrate_on(self.connection)
        with transaction(parse_url(f"sqlite:///{file}")) as source:
            copy_rows(source, self.connection, progress)
        self.connection.execute(text(ANNOUNCE))
        return aside and f"the schema {aside} of the database"

    def _set_aside(self, name: str) -> None:
        self.connection.execute(text(f"CREATE SCHEMA {name}"))
        for table in (*schema.metadata.tables, "alembic_version"):
            self.connection.execute(text(f"ALTER TABLE IF EXISTS {table} SET SCHEMA {name}"))
        self.connection.execute(text(f"ALTER FUNCTION keyhole_append_only() SET SCHEMA {name}"))


_PATIENT = """
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL synchronous_commit = on
"""
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keyhole'"
    " AND pid <> pg_backend_pid()"
)


@contextmanager
def _alone_on_server(url: URL) -> Iterator[_Served]:
    with transaction(url) as connection:
        connection.execute(text(_PATIENT))
        if connection.execute(_OTHERS).scalar_one():
            raise Refused(_IN_USE, _HINT)
        has_tables = inspect(connection).has_table(schema.head.name)
        if has_tables:
            connection.execute(text("LOCK TABLE head IN ACCESS EXCLUSIVE MODE"))
        yield _Served(connection, empty=not (has_tables and _holds_rows(connection)))
