"""The index: one SQLite file beside the folder, written by one elected process and read by all (WAL).

It is a cache: whatever is in it can be read again from the folder, and is when the file's version is another.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from keyhole.archive.frames import PixelLayout
from keyhole.errors import ArchiveFailed, Misconfigured

APPLICATION = 0x4B685831
VERSION = 1
CHUNK = 200

_SCHEMA = """
CREATE TABLE folder (root BLOB NOT NULL);
CREATE TABLE files (
    path BLOB PRIMARY KEY, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, uid TEXT, problem TEXT
) WITHOUT ROWID;
CREATE INDEX files_by_uid ON files (uid, path) WHERE uid IS NOT NULL;
CREATE INDEX files_by_problem ON files (path) WHERE problem IS NOT NULL;
CREATE TABLE instances (
    id INTEGER PRIMARY KEY, study TEXT NOT NULL, series TEXT NOT NULL, uid TEXT NOT NULL UNIQUE,
    path BLOB NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    sop_class TEXT NOT NULL, number INTEGER NOT NULL, patient TEXT NOT NULL, transfer_syntax TEXT NOT NULL,
    frames INTEGER, offset INTEGER, length INTEGER, bits INTEGER, word INTEGER, extended INTEGER
);
CREATE INDEX instances_by_series ON instances (study, series, number, uid);
CREATE TABLE datasets (id INTEGER PRIMARY KEY, dataset BLOB NOT NULL);
CREATE TABLE studies (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, date TEXT NOT NULL, time TEXT NOT NULL, patient_id TEXT NOT NULL,
    mixed INTEGER NOT NULL, dataset BLOB NOT NULL
);
CREATE INDEX studies_in_order ON studies (date DESC, time DESC, uid);
CREATE INDEX studies_by_patient ON studies (patient_id);
CREATE TABLE series (
    id INTEGER PRIMARY KEY, study TEXT NOT NULL, uid TEXT NOT NULL, dataset BLOB NOT NULL, UNIQUE (study, uid)
);
CREATE INDEX series_by_uid ON series (uid);
"""
_NAMES = ("id", "study", "series", "number", "uid", "path", "mtime_ns", "size", "sop_class", "transfer_syntax")
_INSTANCE_COLUMNS = f"{', '.join(_NAMES)}, frames, offset, length, bits, word, extended"


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """Where an instance is, and how to read it."""

    id: int
    study: str
    series: str
    number: int
    uid: str
    path: bytes
    mtime_ns: int
    size: int
    sop_class: str
    transfer_syntax: str
    layout: PixelLayout | None

    @property
    def place(self) -> str:
        """Its path below the DICOMweb root."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.uid}"

    @property
    def position(self) -> tuple[str, int, str]:
        """Where it stands in the order of :meth:`Index.instances`."""
        return self.series, self.number, self.uid


@contextmanager
def index_errors() -> Iterator[None]:
    """Turn what SQLite raises into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise ArchiveFailed(f"the index of the folder cannot be used: {error}") from error


def create(path: Path, root: bytes) -> sqlite3.Connection:
    """Open the index of *root* for its one writer, empty when it is new, another folder's, or of another version.

    Raises Misconfigured when the file is something else, which is then left alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # It is about patients: nobody else may read it. SQLite gives its other files the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        _prepare(connection, path, root)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, root: bytes) -> None:
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise Misconfigured(f"{path} cannot be used as the index of a folder: {error}") from error
    if tables and application != APPLICATION:
        raise Misconfigured(f"{path} is not the index of a folder; name another file for it")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and version == VERSION and connection.execute("SELECT root FROM folder").fetchone() == (root,):
        return
    with transaction(connection):
        for table in tables:
            connection.execute(f'DROP TABLE "{table}"')  # names from our own schema
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO folder VALUES (?)", (root,))
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def connect_writer(path: Path, root: bytes) -> sqlite3.Connection:
    """Open the index of *root* for an upload; raises ArchiveFailed when nobody has made it yet."""
    if not path.exists():
        raise ArchiveFailed("the folder is not indexed yet")
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        usable = version == VERSION and connection.execute("SELECT root FROM folder").fetchone() == (root,)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    if not usable:
        connection.close()
        raise ArchiveFailed("the folder is not indexed yet")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


class Index:
    """Reads the index; safe from any thread. Every method raises ArchiveFailed when it cannot."""

    def __init__(self, path: Path) -> None:
        """Read the index at *path*, once it is there."""
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            if not self._path.exists():
                raise ArchiveFailed("the folder is not indexed yet")
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of one of our own statements."""
        with index_errors():
            return self._connection().execute(statement, values).fetchall()

    def each(self, statement: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """All rows of one of our own statements, one at a time; to be read in one thread."""
        with index_errors():
            yield from self._connection().execute(statement, values)

    def ids(self, statement: str, values: Sequence[object] = ()) -> array[int]:
        """The first column of all rows, 8 bytes each."""
        with index_errors():
            return array("q", (row[0] for row in self._connection().execute(statement, values)))

    def instances(self, *uids: str, after: tuple[str, int, str] = ("", -(2**62), "")) -> list[InstanceRow]:
        """Up to 200 instances of a study, series or instance, by series, number and UID, from *after* on."""
        names = ("study", "series", "uid")[: len(uids)]
        where = " AND ".join(f"{name} = ?" for name in names)
        statement = (
            f"SELECT {_INSTANCE_COLUMNS} FROM instances WHERE {where} AND (series, number, uid) > (?, ?, ?) "  # noqa: S608 - our own names
            f"ORDER BY series, number, uid LIMIT {CHUNK}"
        )
        return [_instance_row(row) for row in self.rows(statement, (*uids, *after))]

    def datasets(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The JSON text of instances by id, at most 200; those that are gone are missing."""
        marks = ", ".join("?" * len(ids))
        found = self.rows(f"SELECT id, dataset FROM datasets WHERE id IN ({marks})", ids)  # noqa: S608 - marks only
        return {one: zlib.decompress(dataset) for one, dataset in found}

    def listed(self, statement: str) -> list[tuple[str, str]]:
        """Pairs of text and bytes that one of our own statements finds; nothing while there is no index."""
        if not self._path.exists():
            return []
        return [(_shown(name), why) for name, why in self.rows(statement)]

    def close(self) -> None:
        """Let go of the file. Nothing may be reading."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()


def _shown(name: bytes | str) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def _instance_row(row: tuple[Any, ...]) -> InstanceRow:
    frames, offset, length, bits, word, extended = row[len(_NAMES) :]
    layout = None if frames is None else PixelLayout(frames, offset, length, bits, word, bool(extended))
    return InstanceRow(**dict(zip(_NAMES, row, strict=False)), layout=layout)


decode = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode
