"""The stricter of two states of the same shares and keys: what a backup says, and what came to be since.

What was withdrawn, revoked, shortened, counted, locked or asked for after a backup was made stays so when it is
restored. Mail that waited in it is not sent again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, Table, inspect, null, select

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
    "bearer",
    "passcode",
    "birth_date",
    "mail_code",
    "terms",
    "attempts",
    "passed",
    "tried_at",
    "locked_at",
    "mail_to",
    "paper",
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
_TRIES = "attempts = now.attempts, passed = now.passed, tried_at = now.tried_at"
_NEW_LINK = f"generation = now.generation, key_id = now.key_id, paper = now.paper, locked_at = now.locked_at, {_TRIES}"
_SAME_LINK = "now.generation = shares.generation"
_TRIED = f"{_SAME_LINK} AND (now.attempts, now.passed) > (shares.attempts, shares.passed)"
_LOCKED = f"{_SAME_LINK} AND shares.locked_at IS NULL AND now.locked_at NOT NULL"
_ASKED = f"""
    {_SAME_LINK} AND (now.passcode NOT NULL OR now.birth_date NOT NULL OR now.mail_code OR now.terms)
    AND (now.passcode, now.birth_date, now.mail_code, now.terms, coalesce(now.mail_to, shares.mail_to))
        IS NOT (shares.passcode, shares.birth_date, shares.mail_code, shares.terms, shares.mail_to)
    OR shares.bearer AND NOT now.bearer
"""
_CONDITIONS = """
    passcode = now.passcode, birth_date = now.birth_date, mail_code = now.mail_code, terms = now.terms,
    mail_to = coalesce(now.mail_to, shares.mail_to), bearer = 0
"""
_LATER = (
    ("withdrawn", "shares", "shares.withdrawn_at IS NULL AND now.withdrawn_at NOT NULL", _WITHDRAWN),
    ("renewed", "shares", "now.generation > shares.generation", _NEW_LINK),
    ("tried", "shares", _TRIED, _TRIES),
    ("locked", "shares", _LOCKED, "locked_at = now.locked_at"),
    ("asked", "shares", _ASKED, _CONDITIONS),
    ("counted", "shares", "now.visits > shares.visits", _MORE_OPENINGS),
    ("shortened", "shares", _SHORTER, _LESS_TIME),
    ("revoked", "keys", "keys.revoked_at IS NULL AND now.revoked_at NOT NULL", "revoked_at = now.revoked_at"),
)
"""What is taken over: its name, the table, when, and how. A new link comes first: the rest is said of the same one."""

_LIVE = (
    "withdrawn_at IS NULL AND locked_at IS NULL AND expires_at > :at AND (max_visits IS NULL OR visits < max_visits)"
    " AND NOT EXISTS (SELECT 1 FROM now_shares now WHERE now.id = shares.id AND now.withdrawn_at IS NULL"
    " AND now.locked_at IS NULL AND now.expires_at > :at AND (now.max_visits IS NULL OR now.visits < now.max_visits))"
)
_WAITS = "sent_at IS NULL AND failed_at IS NULL"
_MAIL = ("id", "sent_at", "failed_at", "problem")
_OUTCOMES = """
    UPDATE mails SET sent_at = now.sent_at, failed_at = now.failed_at, problem = now.problem
    FROM now_mails AS now WHERE now.id = mails.id
"""
_YET_TO_COME = "kind = 'ending' AND due_at > :at"
_NOT_SENT_AGAIN = "it waited when a backup was made, which was restored since: send it again if it is still needed"

_LIVE_KEY = (
    "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :at)"
    " AND NOT EXISTS (SELECT 1 FROM now_keys now WHERE now.id = keys.id AND now.revoked_at IS NULL)"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """The ids of shares and keys of which something later was taken over, and how many shares are lost."""

    withdrawn: Sequence[str] = ()
    renewed: Sequence[str] = ()
    tried: Sequence[str] = ()
    locked: Sequence[str] = ()
    asked: Sequence[str] = ()
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
    for name, columns in (("shares", _SHARE), ("keys", _KEY), ("mails", _MAIL)):
        kept.execute(f"DROP TABLE IF EXISTS temp.now_{name}")
        kept.execute(f"CREATE TEMP TABLE now_{name} ({', '.join(columns)}, PRIMARY KEY (id)) WITHOUT ROWID")
    if present is None:
        return
    _put(kept, "now_shares", _found(present, schema.shares, _SHARE))
    _put(kept, "now_keys", _found(present, schema.keys, _KEY))
    tables = inspect(present).get_table_names()
    if schema.plugin_roles.name in tables:
        _take_roles(kept, present)
    if schema.mails.name in tables:
        _know_mails(kept, present)
        _take_buckets(kept, present)


Found = Iterable[Sequence[tuple[object, ...]]]


def _found(present: Connection, table: Table, columns: Sequence[str]) -> Found:
    """The rows of *table*; columns that an older version did not have are NULL."""
    there = {column["name"] for column in inspect(present).get_columns(table.name)}
    query = select(*(table.c[name] if name in there else null() for name in columns))
    found = present.execute(query, execution_options={"yield_per": _AT_ONCE})
    return ([tuple(row) for row in rows] for rows in found.partitions())


def _put(kept: sqlite3.Connection, table: str, found: Found) -> None:
    for rows in found:
        kept.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608


def _know_mails(kept: sqlite3.Connection, present: Connection) -> None:
    """What became of the mails that wait in the backup."""
    waiting = _ids(kept.execute(f"SELECT id FROM mails WHERE {_WAITS}"))  # noqa: S608
    for start in range(0, len(waiting), _AT_ONCE):
        some = schema.mails.c.id.in_(waiting[start : start + _AT_ONCE])
        rows = present.execute(select(*(schema.mails.c[name] for name in _MAIL)).where(some)).all()
        _put(kept, "now_mails", [[tuple(row) for row in rows]] if rows else [])


def _take_buckets(kept: sqlite3.Connection, present: Connection) -> None:
    """What limits strangers goes on limiting them."""
    kept.execute("DELETE FROM buckets")
    _put(kept, "buckets", _found(present, schema.buckets, [column.name for column in schema.buckets.columns]))


def _take_roles(kept: sqlite3.Connection, present: Connection) -> None:
    """Later versions of the plugin's roles stand: who lost one since does not get it back."""
    last = kept.execute("SELECT coalesce(max(version), 0) FROM plugin_roles").fetchone()[0]
    later = present.execute(select(schema.plugin_roles).where(schema.plugin_roles.c.version > last)).all()
    _put(kept, "plugin_roles", [[tuple(row) for row in later]] if later else [])


def tighten(kept: sqlite3.Connection) -> Kept:
    """Take over what :func:`know` made known, and say of which shares and keys."""
    done: dict[str, list[str]] = {}
    for name, table, when, how in _LATER:
        join = f"FROM now_{table} AS now WHERE now.id = {table}.id AND ({when})"
        done[name] = _ids(kept.execute(f"SELECT {table}.id FROM {table} WHERE EXISTS (SELECT 1 {join})"))  # noqa: S608
        kept.execute(f"UPDATE {table} SET {how} {join}")  # noqa: S608
    kept.execute(_OUTCOMES)
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


def stop_mails(kept: sqlite3.Connection, at: int) -> int:
    """Send nothing that waits in the backup, and accept no code that was mailed before it; how many mails those are.

    Who was to get a mail may have got it since, and what it says may be true no more. A notice of a share's end that is
    due after *at* nobody can have got: it goes on waiting, and is looked at again when it is due.
    """
    kept.execute("DELETE FROM mail_codes")
    stopped = f"UPDATE mails SET failed_at = :at, problem = :why WHERE {_WAITS} AND NOT ({_YET_TO_COME})"  # noqa: S608
    return kept.execute(stopped, {"at": at, "why": _NOT_SENT_AGAIN}).rowcount


def _ids(rows: Iterable[Sequence[str]]) -> list[str]:
    return [row[0] for row in rows]
