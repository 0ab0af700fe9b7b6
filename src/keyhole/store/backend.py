"""What the writer and the readers need of a database, and one connection of theirs to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from keyhole.errors import StoreFailed
from keyhole.store.sql import Cursor, DialectName


class Connection(Protocol):
    """What both drivers' connections do (PEP 249), in autocommit mode: transactions are begun in words."""

    def cursor(self) -> Cursor:
        """A new cursor."""

    def close(self) -> None:
        """Let go; an open transaction is rolled back."""


class Backend(Protocol):
    """A database. Its driver's errors leave it only through :class:`keyhole.errors.StoreFailed`."""

    @property
    def dialect(self) -> DialectName:
        """The SQL it speaks."""

    @property
    def begin_write(self) -> str:
        """The statement that begins a transaction that writes."""

    @property
    def begin_read(self) -> str:
        """The statement that begins a transaction that sees one moment."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Everything that the driver raises."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Those of ``errors`` that concern one statement's values, while the transaction can go on."""

    @property
    def readers(self) -> int:
        """How many threads read."""

    def connect(self) -> Connection:
        """A new connection, within a bounded time."""

    def usable(self, connection: Connection) -> bool:
        """Whether *connection* still leads to the database, as far as can be told without asking."""

    def roll_back(self, connection: Connection) -> None:
        """Undo the open transaction, if there is one."""

    def turn(self) -> AbstractContextManager[None]:
        """The right to write, where the database's own way of taking turns is not fair."""

    def pipeline(self, connection: Connection) -> AbstractContextManager[Any]:
        """Send statements without waiting for each one's answer, where that can be done."""

    def announce(self, cursor: Cursor) -> None:
        """Tell listeners, at the commit, that the generation has moved."""

    def generations(self) -> AsyncIterator[int]:
        """As :meth:`keyhole.gateway.ports.Generations.generations`."""

    def wake(self) -> None:
        """This process has moved the generation. Called in the writer's thread."""


class Session:
    """One connection, made when needed and dropped when it fails. For one thread."""

    def __init__(self, backend: Backend) -> None:
        """Connect to *backend* later."""
        self._backend = backend
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """The connection, made anew when there is none or it leads nowhere."""
        if self._connection is not None and not self._backend.usable(self._connection):
            self.drop()
        if self._connection is None:
            self._connection = self._backend.connect()
        return self._connection

    @property
    def connected(self) -> bool:
        """Whether there is a connection that seems usable."""
        return self._connection is not None and self._backend.usable(self._connection)

    def roll_back(self) -> None:
        """Undo what was not committed; keep the connection if it can still do that."""
        if self._connection is not None:
            try:
                self._backend.roll_back(self._connection)
            except self._backend.errors:
                self.drop()

    def drop(self) -> None:
        """Close the connection; what was not committed is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._backend.errors):  # it is gone either way
                connection.close()


_WHY = {
    "SQLITE_FULL": "there is no room left on its disk",
    "SQLITE_READONLY": "it, or its folder, may not be written by this user",
    "SQLITE_READONLY_DIRECTORY": "its folder may not be written by this user",
    "SQLITE_CANTOPEN": "its file cannot be opened by this user",
    "SQLITE_BUSY": "another program keeps it locked",
    "SQLITE_NOTADB": "its file is no SQLite database",
    "SQLITE_CORRUPT": "its file is damaged: restore a backup",
    "ConnectionTimeout": "its server did not answer in time",
    "53100": "there is no room left on its disk",
    "3D000": "its server has no database of that name",
    "08P01": "what answers in its name does not do what a server does: a pooler, most likely",
    "28P01": "its server refuses the user or the password",
    "42501": "its server does not allow this user to do that",
}
"""What an operator can do something about, by SQLite's name of the error, SQLSTATE, or the kind of exception."""


def failure(error: BaseException) -> StoreFailed:
    """*error* as ours. Only its kind is told: drivers quote values."""
    if isinstance(error, StoreFailed):
        return StoreFailed(*error.args)
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or type(error).__name__
    why = _WHY.get(name, "it cannot be reached" if name == "OperationalError" else name)
    return StoreFailed(f"the database failed: {why}")
