"""A database with any number of shares in it, written past the program, in seconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psycopg

from keyhole.access.resource import Resource
from keyhole.access.secret import new_id
from keyhole.access.share import Share, ShareKind
from keyhole.gateway import keys_file
from keyhole.store.migrations import migrate
from keyhole.store.rows import share_values

_BATCH = 10_000
_STUDIES = ("study", "share")


def prepare(data: Path, database: str | None = None) -> str:
    """A first start's key ring and schema, in *data* and in *database*, or SQLite there; the database's URL."""
    data.mkdir(parents=True, exist_ok=True)
    keys_file.load(data)
    url = database or f"sqlite:///{data / 'keyhole.db'}"
    migrate(url)
    return url


def some(count: int, key_id: str, *, studies: Sequence[str] = (), every: int = 1) -> Iterator[Share]:
    """*count* shares of a study each, made one a second until now: of *studies* in turn each *every*-th one.

    The studies of all the others are in no archive.
    """
    now = datetime.now(UTC)
    wanted = cycle(studies)
    for number in range(count):
        study = next(wanted) if studies and number % every == 0 else f"1.2.826.0.1.3680043.10.9999.{number}"
        yield Share(
            id=new_id(),
            archive="archive",
            resources=(Resource.of("archive", study),),
            kind=ShareKind.VIEW,
            creator="operator:bench",
            created_at=now - timedelta(seconds=count - number),
            expires_at=now + timedelta(days=7),
            key_id=key_id,
        )


def keep(url: str, shares: Iterable[Share]) -> None:
    """Put *shares* into the database at *url*."""
    made = iter(shares)
    batches = iter(lambda: list(islice(made, _BATCH)), [])
    if url.startswith("sqlite:///"):
        _into_sqlite(url.removeprefix("sqlite:///"), batches)
    else:
        _into_postgresql(url, batches)


def _rows(batch: Sequence[Share]) -> tuple[list[Mapping[str, Any]], list[tuple[str, str]]]:
    """The rows of both tables."""
    return [share_values(share) for share in batch], [(share.resources[0].path[0], share.id) for share in batch]


def _into_sqlite(path: str, batches: Iterable[Sequence[Share]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for batch in batches:
            rows, studies = _rows(batch)
            places = ", ".join(f":{name}" for name in rows[0])
            connection.executemany(f"INSERT INTO shares ({', '.join(rows[0])}) VALUES ({places})", rows)
            connection.executemany(f"INSERT INTO share_studies ({', '.join(_STUDIES)}) VALUES (?, ?)", studies)
        connection.commit()


def _into_postgresql(url: str, batches: Iterable[Sequence[Share]]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for batch in batches:
            rows, studies = _rows(batch)
            for table, names, values in (
                ("shares", tuple(rows[0]), [tuple(row.values()) for row in rows]),
                ("share_studies", _STUDIES, studies),
            ):
                with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
                    for value in values:
                        copy.write_row(value)
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")
