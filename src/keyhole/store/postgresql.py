"""PostgreSQL, for any number of machines.

Every connection goes to the server itself or through a pooler that keeps sessions: ``LISTEN``, prepared statements
and session settings are used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import psycopg
from sqlalchemy.engine import URL

from keyhole.errors import StoreFailed
from keyhole.store.backend import Connection, failure
from keyhole.store.sql import Cursor, DialectName

_CHANNEL = "keyhole_generation"
ANNOUNCE = f"NOTIFY {_CHANNEL}"
"""Tells every listening process, once it is committed, that the generation has moved."""
_TEST_EVERY = 0.4
"""Seconds without news after which the listening connection is tested."""

_ANSWERS_WITHIN = 1.0
_GENERATION = "SELECT value FROM generation WHERE id = 1"
_CONNECT: dict[str, Any] = {
    "autocommit": True,
    "application_name": "keyhole",
    "client_encoding": "utf8",
    "connect_timeout": 2,
    # A server that has gone without a word is noticed after 5 s, whether we were sending or waiting.
    "tcp_user_timeout": 5000,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
_SETTINGS = """
SET lock_timeout = '2s';
SET statement_timeout = '10s';
SET idle_in_transaction_session_timeout = '10s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
"""Nobody holds the head of the chain for long, dead or alive; what is committed is on the disk."""


class Postgresql:
    """A database on a PostgreSQL server."""

    dialect: DialectName = "postgresql"
    begin_write = "BEGIN ISOLATION LEVEL READ COMMITTED"
    begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    errors = (psycopg.Error,)
    refusals = (psycopg.IntegrityError, psycopg.DataError)
    readers = 4

    def __init__(self, url: URL) -> None:
        """Use the database at *url*."""
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def connect(self) -> Connection:
        """A new connection, within 2 seconds per address."""
        connection = psycopg.connect(self._conninfo, **_CONNECT)
        try:
            connection.execute(_SETTINGS)
        except psycopg.Error:
            connection.close()
            raise
        return cast("Connection", connection)

    def usable(self, connection: Connection) -> bool:
        """Whether the connection has not been found lost yet."""
        return not cast("psycopg.Connection[Any]", connection).closed

    def roll_back(self, connection: Connection) -> None:
        """Undo the open transaction; a lost connection has none."""
        connection.cursor().execute("ROLLBACK")

    def turn(self) -> AbstractContextManager[None]:
        """The lock on the head's row is fair: waiters get it in the order they came."""
        return nullcontext()

    def pipeline(self, connection: Connection) -> AbstractContextManager[Any]:
        """One round trip for several statements; their errors come at the latest when it ends."""
        return cast("psycopg.Connection[Any]", connection).pipeline()

    def announce(self, cursor: Cursor) -> None:
        """Notify every listening process; sent by the server at the commit."""
        cursor.execute(ANNOUNCE)

    def wake(self) -> None:
        """This process listens like all others."""

    async def generations(self) -> AsyncIterator[int]:
        """Listen on a connection of its own, and test it whenever nothing was heard for 0.4 s."""
        connection = await self._listen()
        try:
            while True:
                yield await _generation(connection)
                await _heard(connection)
        finally:
            await connection.close()

    async def _listen(self) -> psycopg.AsyncConnection[Any]:
        try:
            connection = await psycopg.AsyncConnection.connect(self._conninfo, **_CONNECT)
        except psycopg.Error as error:
            raise failure(error) from None
        try:
            await connection.execute(f"LISTEN {_CHANNEL}")
        except psycopg.Error as error:
            await connection.close()
            raise failure(error) from None
        return connection


async def _generation(connection: psycopg.AsyncConnection[Any]) -> int:
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN):
            row = await (await connection.execute(_GENERATION)).fetchone()
    except (psycopg.Error, TimeoutError) as error:
        raise failure(error) from None
    if row is None:
        raise StoreFailed("the database has no generation")
    return int(row[0])


async def _heard(connection: psycopg.AsyncConnection[Any]) -> None:
    try:
        async for _ in connection.notifies(timeout=_TEST_EVERY, stop_after=1):
            pass
    except psycopg.Error as error:
        raise failure(error) from None
