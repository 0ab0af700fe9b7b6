"""The stricter of two states of the same shares and keys: what a backup says, and what came to be since.

What was withdrawn, revoked, shortened or counted after a backup was made stays so when it is restored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, inspect, select

from keyhole.store import schema
from keyhole.store.chain import moment

_SHARE = (
    "id",
    "expires_at",
    "key_id",
    "generation",
    "not_before",
    "max_visits",
    "visits",
    "first_opened_at",
    "last_opened_at",
    "withdrawn_at",
)
_KEY = ("id", "expires_at", "revoked_at")
_AT_ONCE = 1000

_MORE_OPENINGS = """
    visits = now.visits,
    max_visits = CASE WHEN shares.max_visits < now.visits THEN now.visits ELSE shares.max_visits END,
    first_opened_at = coalesce(shares.first_opened_at, now.first_opened_at),
    last_opened_at = now.last_opened_at
"""
_LESS_TIME = """
    expires_at = min(shares.expires_at, now.expires_at),
    not_before = CASE WHEN now.not_before > coalesce(shares.not_before, 0) THEN now.not_before
                      ELSE shares.not_before END
"""
_SHORTER = "now.expires_at < shares.expires_at OR now.not_before > coalesce(shares.not_before, 0)"
_WITHDRAWN = "withdrawn_at = now.withdrawn_at"
_LATER = (
    ("withdrawn", "shares", "shares.withdrawn_at IS NULL AND now.withdrawn_at NOT NULL", _WITHDRAWN),
    ("renewed", "shares", "now.generation > shares.generation", "generation = now.generation, key_id = now.key_id"),
    ("counted", "shares", "now.visits > shares.visits", _MORE_OPENINGS),
    ("shortened", "shares", _SHORTER, _LESS_TIME),
    ("revoked", "keys", "keys.revoked_at IS NULL AND now.revoked_at NOT NULL", "revoked_at = now.revoked_at"),
)
"""What is taken over: its name, the table, when, and how."""

_LIVE = (
    "withdrawn_at IS NULL AND expires_at > :at AND (max_visits IS NULL OR visits < max_visits)"
    " AND NOT EXISTS (SELECT 1 FROM now_shares now WHERE now.id = shares.id AND now.withdrawn_at IS NULL"
    " AND now.expires_at > :at AND (now.max_visits IS NULL OR now.visits < now.max_visits))"
)
_LIVE_KEY = (
    "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :at)"
    " AND NOT EXISTS (SELECT 1 FROM now_keys now WHERE now.id = keys.id AND now.revoked_at IS NULL)"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """The ids of shares and keys of which something later was taken over, and how many shares are lost."""

    withdrawn: Sequence[str] = ()
    renewed: Sequence[str] = ()
    counted: Sequence[str] = ()
    shortened: Sequence[str] = ()
    revoked: Sequence[str] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True)
class LiveShare:
    """A share that can be opened after a restore, and as far as is known cannot now."""

    id: str
    expires_at: datetime
    visits: int
    max_visits: int | None
    creator: str
    note: str | None
    key_id: str


@dataclass(frozen=True, slots=True)
class LiveKey:
    """The key of a program that works after a restore, and as far as is known does not now."""

    id: str
    name: str


def know(kept: sqlite3.Connection, present: Connection | None) -> None:
    """Have what is *present* beside the backup that is open as *kept*; None: nothing is known."""
    for name, table, columns in (("now_shares", schema.shares, _SHARE), ("now_keys", schema.keys, _KEY)):
        kept.execute(f"DROP TABLE IF EXISTS temp.{name}")
        kept.execute(f"CREATE TEMP TABLE {name} ({', '.join(columns)}, PRIMARY KEY (id)) WITHOUT ROWID")
        if present is None:
            continue
        query = select(*(table.c[column] for column in columns))
        found = present.execute(query, execution_options={"yield_per": _AT_ONCE})
        places = ", ".join("?" * len(columns))
        for rows in found.partitions():
            kept.executemany(f"INSERT INTO now_{table.name} VALUES ({places})", map(tuple, rows))  # noqa: S608
    if present is not None and inspect(present).has_table(schema.plugin_roles.name):
        _take_roles(kept, present)


def _take_roles(kept: sqlite3.Connection, present: Connection) -> None:
    """Later versions of the plugin's roles stand: who lost one since does not get it back."""
    columns = [column.name for column in schema.plugin_roles.columns]
    last = kept.execute("SELECT coalesce(max(version), 0) FROM plugin_roles").fetchone()[0]
    later = present.execute(select(schema.plugin_roles).where(schema.plugin_roles.c.version > last))
    places = ", ".join("?" * len(columns))
    kept.executemany(f"INSERT INTO plugin_roles VALUES ({places})", [tuple(row) for row in later])  # noqa: S608


def tighten(kept: sqlite3.Connection) -> Kept:
    """Take over what :func:`know` made known, and say of which shares and keys."""
    done: dict[str, list[str]] = {}
    for name, table, when, how in _LATER:
        join = f"FROM now_{table} AS now WHERE now.id = {table}.id AND ({when})"
        done[name] = _ids(kept.execute(f"SELECT {table}.id FROM {table} WHERE EXISTS (SELECT 1 {join})"))  # noqa: S608
        kept.execute(f"UPDATE {table} SET {how} {join}")  # noqa: S608
    lost = kept.execute("SELECT count(*) FROM now_shares WHERE id NOT IN (SELECT id FROM shares)").fetchone()[0]
    return Kept(**done, lost=lost)


def live_shares(kept: sqlite3.Connection, at: int) -> list[LiveShare]:
    """The shares that would live again at the moment *at*, the soonest to end first."""
    columns = ", ".join(field.name for field in fields(LiveShare))
    query = f"SELECT {columns} FROM shares WHERE {_LIVE} ORDER BY expires_at, id"  # noqa: S608
    return [LiveShare(name, moment(ends), *row) for name, ends, *row in kept.execute(query, {"at": at})]


def live_keys(kept: sqlite3.Connection, at: int) -> list[LiveKey]:
    """The keys of programs that would work again at the moment *at*."""
    query = f"SELECT id, name FROM keys WHERE {_LIVE_KEY} ORDER BY created_at, id"  # noqa: S608
    return [LiveKey(*row) for row in kept.execute(query, {"at": at})]


def withdraw(kept: sqlite3.Connection, shares: Iterable[str], keys: Iterable[str], at: int) -> None:
    """End these *shares* and *keys* at the moment *at*."""
    kept.executemany("UPDATE shares SET withdrawn_at = ? WHERE id = ?", [(at, share) for share in shares])
    kept.executemany("UPDATE keys SET revoked_at = ? WHERE id = ?", [(at, key) for key in keys])


def end_visits(kept: sqlite3.Connection, at: int) -> int:
    """End all visits at the moment *at*; how many of them were running when the backup was made."""
    running = kept.execute("SELECT count(*) FROM visits WHERE ended_at IS NULL AND ends_at > ?", (at,)).fetchone()[0]
    kept.execute("UPDATE visits SET ended_at = ? WHERE ended_at IS NULL", (at,))
    return int(running)


def _ids(rows: Iterable[Sequence[str]]) -> list[str]:
    return [row[0] for row in rows]
