"""Verifying the trail: every row is what was signed, in its place, and the end is not behind what is known outside."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select

from keyhole.store import schema, trail
from keyhole.store.chain import Head, Personal, Signing, digest, outline
from keyhole.store.generation import generation
from keyhole.store.heads import Outside
from keyhole.store.sql import Transaction

Progress = Callable[[int, int], None]

_AT_ONCE = 1000
_FIRST_GENERATION = 1
"""It moves with a row of the trail, never without: where it has moved, there were rows."""

_BEFORE_ALL = -(2**63)
"""Rows count from 1; one that somebody has put before them is shown like any other, and must be found."""


class Fault(StrEnum):
    """What is wrong with a trail, at one row."""

    REMOVED = "removed"
    """The row is missing, while later ones are there."""
    ALTERED = "altered"
    """The row is not what was signed, or not in its place."""
    PERSONAL_ALTERED = "personal-altered"
    """A personal value beside the row is not the one it was written with. (An erased one is no fault.)"""
    UNKNOWN_KEY = "unknown-key"
    """The row is signed with a key that is not at hand."""
    REPLACED = "replaced"
    """The row is well signed, but another one was seen in its place."""
    CUT_OFF = "cut-off"
    """This row was written, and everything from it on is gone."""
    HEAD_MOVED = "head-moved"
    """The database's own head is not its last row."""
    OUTSIDE_DAMAGED = "outside-damaged"
    """The file that holds the head outside the database cannot be read as one."""


@dataclass(frozen=True, slots=True)
class Intact:
    """Nothing is wrong with ``count`` rows. ``outside``: the last row known outside the database; None for none."""

    count: int
    outside: int | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that is wrong, and how."""

    seq: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it is kept: ``indexed`` are the columns that repeat its body."""

    seq: int
    indexed: dict[str, Any]
    key_id: str
    body: bytes
    digest: bytes
    personal: tuple[Personal, ...] = field(default=())


def check(tx: Transaction, signing: Signing, outside: Outside, progress: Progress | None) -> Intact | Broken:
    """Verify what *tx* sees; *outside* was read before it began."""
    head = trail.head(tx)
    rows = _told(_stored(tx), head.seq, progress)
    stray = tx.select(select(func.max(schema.trail_personal.c.seq)))[0][0] or 0
    found = verify(rows, head, stray, signing, outside)
    emptied = isinstance(found, Intact) and not found.count and generation(tx) > _FIRST_GENERATION
    return Broken(1, Fault.CUT_OFF) if emptied else found


def check_end(tx: Transaction, signing: Signing, outside: Outside, rows: int) -> Intact | Broken:
    """Verify the last *rows* rows of what *tx* sees, and the end; what comes before is taken as it is."""
    head = trail.head(tx)
    columns = schema.trail.c
    before = tx.select(select(columns.seq, columns.digest).where(columns.seq == head.seq - rows))
    start = Head(before[0][0], before[0][1]) if before and isinstance(before[0][1], bytes) else Head()
    stray = tx.select(select(func.max(schema.trail_personal.c.seq)))[0][0] or 0
    return verify(_stored(tx, start.seq or _BEFORE_ALL), head, stray, signing, outside, start)


def _stored(tx: Transaction, last: int = _BEFORE_ALL) -> Iterator[Stored]:
    while True:
        columns = schema.trail.c
        found = tx.select(select(schema.trail).where(columns.seq > last).order_by(columns.seq).limit(_AT_ONCE))
        if not found:
            return
        values = trail.personal(tx, [row[0] for row in found])
        for seq, at, event, subject, study, share, visit, key_id, body, signed in found:
            indexed = {"at": at, "event": event, "subject": subject, "study": study, "share": share, "visit": visit}
            yield Stored(seq, indexed, key_id, body, signed, tuple(values.get(seq, ())))
        last = found[-1][0]


def _told(rows: Iterable[Stored], total: int, progress: Progress | None) -> Iterator[Stored]:
    for done, row in enumerate(rows, 1):
        yield row
        if progress is not None and (done % _AT_ONCE == 0 or done == total):
            progress(done, max(done, total))


def verify(
    rows: Iterable[Stored],
    head: Head,
    last_personal: int,
    signing: Signing,
    outside: Outside,
    start: Head | None = None,
) -> Intact | Broken:
    """Verify *rows*, in order from the first, or from the one after *start*.

    *head* is the database's own, *last_personal* the last row that personal values are kept of.
    """
    known = {seen.seq: seen.digest for seen in outside.heads}
    end = start or Head()
    for row in rows:
        fault = _fault(row, end, signing, known.pop(row.seq, None))
        if fault is not None:
            return Broken(end.seq + 1 if fault is Fault.REMOVED else row.seq, fault)
        end = Head(row.seq, row.digest)
    return _end_fault(end, head, last_personal, outside) or Intact(
        end.seq, None if outside.last is None else outside.last.seq
    )


def _end_fault(end: Head, head: Head, last_personal: int, outside: Outside) -> Broken | None:
    furthest = max([head.seq, *(seen.seq for seen in outside.heads)])
    if furthest > end.seq:
        return Broken(end.seq + 1, Fault.CUT_OFF)
    if head != end:
        return Broken(end.seq, Fault.HEAD_MOVED)
    if last_personal > end.seq:
        return Broken(last_personal, Fault.PERSONAL_ALTERED)
    return Broken(end.seq, Fault.OUTSIDE_DAMAGED) if outside.damaged else None


def _fault(row: Stored, before: Head, signing: Signing, seen: bytes | None) -> Fault | None:
    if row.seq != before.seq + 1:
        return Fault.REMOVED if row.seq > before.seq else Fault.ALTERED
    if not all(isinstance(value, bytes) for value in (row.body, row.digest)):
        return Fault.ALTERED  # SQLite keeps whatever kind of value it is given
    key = signing.keys.get(row.key_id)
    if key is None:
        return Fault.UNKNOWN_KEY
    if not hmac.compare_digest(digest(key, before.digest, row.seq, row.body), row.digest):
        return Fault.ALTERED
    if seen is not None and not hmac.compare_digest(seen, row.digest):
        return Fault.REPLACED
    return _beside(row)


def _beside(row: Stored) -> Fault | None:
    """What is wrong with the values that stand beside a signed body."""
    indexed, commitments = outline(row.body)
    if indexed != row.indexed:
        return Fault.ALTERED
    if not all(_is_the_one(value, commitments.get(value.name)) for value in row.personal):
        return Fault.PERSONAL_ALTERED
    return None


def _is_the_one(value: Personal, commitment: str | None) -> bool:
    return all(isinstance(part, bytes) for part in (value.salt, value.value)) and value.commitment == commitment
