"""The database on a server: current, durable, reached directly, and with enough connections."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from sqlalchemy.engine import URL

from keyhole.operations.doctor.finding import Finding, error, many, note, ok, warning
from keyhole.settings.values import is_loopback
from keyhole.store.backend import failure
from keyhole.store.migrations import Schema, standing
from keyhole.store.postgresql import Postgresql

OLDEST = 140000
"""The oldest release that its makers still mend."""

PER_WORKER = Postgresql.readers + 2
"""Connections of one worker: its readers, its writer, and the one that listens."""

_SPARE = 5
"""For the command line, migrations and somebody's psql."""

_SETTINGS = "SELECT name, reset_val FROM pg_settings WHERE name = ANY(%s)"
_NAMES = ["fsync", "full_page_writes", "synchronous_commit", "max_connections", "superuser_reserved_connections"]
_LIMITS = (
    "SELECT r.rolconnlimit, d.datconnlimit FROM pg_roles r, pg_database d"
    " WHERE r.rolname = current_user AND d.datname = current_database()"
)
_USED = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """What was found out about a server.

    ``greeted`` is the backend's process id as the server told it when connecting, ``alone`` as asked, ``beside`` that
    of a second connection in an open transaction. Times are in seconds since 1970: the server's, and ours around it.
    """

    host: str
    version: int
    schema: Schema | None
    greeted: int
    alone: int
    beside: int
    encrypted: bool
    standby: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[int, ...] = ()
    used: int = 0
    clock: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def pooled(self) -> bool:
        """Whether something between answers in the server's name."""
        return self.shared or self.greeted != self.alone

    @property
    def shared(self) -> bool:
        """Whether two connections were given one backend, so that no session is one's own."""
        return self.alone == self.beside


def look(url: URL) -> PostgresFacts:
    """Ask the server at *url*, and change nothing; StoreFailed when it cannot be asked."""
    backend = Postgresql(url)
    try:
        with closing(backend.connect()) as one, closing(backend.connect()) as other:
            return _look(cast("psycopg.Connection[Any]", one), cast("psycopg.Connection[Any]", other), url)
    except psycopg.Error as problem:
        raise failure(problem) from None


def _look(one: psycopg.Connection[Any], other: psycopg.Connection[Any], url: URL) -> PostgresFacts:
    alone = _value(one, "SELECT pg_backend_pid()")
    with other.transaction():  # holds a backend: a pooler that shares them has just let the first one's go
        beside = _value(other, "SELECT pg_backend_pid()")
    before = time.time()
    theirs = float(_value(one, "SELECT extract(epoch FROM clock_timestamp())"))
    after = time.time()
    made = _value(one, "SELECT to_regclass('alembic_version') IS NOT NULL")
    versions = one.execute("SELECT version_num FROM alembic_version").fetchall() if made else []
    limits = one.execute(_LIMITS).fetchone()
    return PostgresFacts(
        host=str(url.host or ""),
        version=one.info.server_version,
        schema=standing(tuple(row[0] for row in versions)),
        greeted=one.info.backend_pid,
        alone=alone,
        beside=beside,
        encrypted=one.pgconn.ssl_in_use,
        standby=_value(one, "SELECT pg_is_in_recovery()"),
        settings=dict(one.execute(_SETTINGS, [_NAMES]).fetchall()),
        limits=tuple(limit for limit in limits or () if limit >= 0),
        used=_value(one, _USED),
        clock=(before, theirs, after),
    )


def _value(connection: psycopg.Connection[Any], statement: str) -> Any:  # noqa: ANN401 - one column of any type
    row = connection.execute(statement.encode()).fetchone()
    return None if row is None else row[0]


def server(facts: PostgresFacts) -> Iterator[Finding]:
    """Which release, and whether it takes writes."""
    name = f"PostgreSQL {facts.version // 10_000}.{facts.version % 10_000}"
    if facts.version < OLDEST:
        yield warning(
            "database-version",
            f"the database is {name}",
            "its makers no longer mend that release, and Keyhole is not tested on it",
            "upgrade it",
        )
    else:
        yield ok("database-version", f"the database is {name}")
    if facts.standby:
        yield error(
            "database-standby",
            "the database is a standby, and takes no writes",
            "nothing can be put on the trail, so nothing is released",
            "let KEYHOLE_DATABASE name the primary",
        )


def durability(facts: PostgresFacts) -> Iterator[Finding]:
    """Whether what is answered for is on the disk."""
    off = [name for name in ("fsync", "full_page_writes") if facts.settings.get(name) == "off"]
    if off:
        yield error(
            "database-durable",
            f"the database runs with {' and '.join(off)} off",
            "a crash of its machine can lose or damage everything, the trail included",
            "turn it on in postgresql.conf and reload",
        )
    if facts.settings.get("synchronous_commit") == "off":
        yield note(
            "database-commit",
            "the database is set to answer before a commit is on its disk (synchronous_commit = off)",
            "Keyhole turns it on for its own connections",
        )
    if not off:
        yield ok("database-durable", "every commit is flushed to the database's disk")


def pooler(facts: PostgresFacts) -> Iterator[Finding]:
    """Whether sessions are one's own: LISTEN, prepared statements and settings live in them."""
    if facts.shared:
        yield error(
            "database-pooler",
            "a pooler between gives each transaction another session of the database",
            "announcements of withdrawals are lost and limits on waiting do not hold: links live on, requests hang",
            "let KEYHOLE_DATABASE name the database itself, or set the pooler's pool_mode to session",
        )
    elif facts.pooled:
        yield note(
            "database-pooler",
            "something between answers in the database's name: a pooler that keeps sessions, it seems",
            "it works, and each of Keyhole's connections holds one of the pooler's for good",
            "naming the database itself in KEYHOLE_DATABASE takes one thing less that can fail",
        )
    else:
        yield ok("database-pooler", "the database is reached directly, without a pooler")


def connections(facts: PostgresFacts, workers: int) -> Iterator[Finding]:
    """Whether there are enough connections for *workers* of this node."""
    most = int(facts.settings.get("max_connections", 0)) - int(facts.settings.get("superuser_reserved_connections", 0))
    allowed = min((most, *facts.limits))
    needed = workers * PER_WORKER + _SPARE
    told = f"{many(workers, 'worker')} and what else there is need {needed} connections; the database allows {allowed}"
    if allowed < needed:
        yield error(
            "database-connections",
            told,
            "some workers are refused, and answer nothing",
            "raise max_connections (or the limit of the role or the database), or run fewer workers",
        )
    elif facts.used > allowed * 0.9:
        yield warning(
            "database-connections",
            f"{facts.used} of the database's {allowed} connections are taken",
            "soon somebody is refused",
            "raise max_connections, or find who holds them: SELECT * FROM pg_stat_activity",
        )
    else:
        yield ok("database-connections", told)


def way(facts: PostgresFacts) -> Iterator[Finding]:
    """Whether what goes to the server can be read on the way."""
    local = not facts.host or facts.host.startswith("/") or is_loopback(facts.host)
    if not local and not facts.encrypted:
        yield warning(
            "database-plain",
            "the database is on another host and is reached without TLS",
            "names, notes and recipients can be read on the way, and changed",
            "add ?sslmode=verify-full to KEYHOLE_DATABASE, once the server has a certificate",
        )
    else:
        yield ok("database-plain", "nobody on the way reads what goes to the database")
