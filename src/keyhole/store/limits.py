"""Buckets that limit strangers: in each is a number of tokens that comes back one by one.

Kept is one time for each: when it is full again (the generic cell rate algorithm, ITU-T I.371 annex A). It only ever
moves forward while clocks are sound, so that one that is set back costs time and gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, insert, select, update

from keyhole.access.limit import Bucket
from keyhole.store import schema
from keyhole.store.chain import micros
from keyhole.store.sql import Statement, Transaction

_SOUND = 86_400_000_000
"""A day in microseconds. Clocks are no more apart, and are not set back further, unless one of them is wrong."""

SWEPT = 20
"""How many rows of full buckets go with each that is written: more than come with it."""

_MICROSECOND = timedelta(microseconds=1)

_b = schema.buckets.c
_ONE = Statement(select(_b.full_at).where(_b.name == bindparam("bucket")))
_ADD = Statement(insert(schema.buckets))
_MOVE = Statement(update(schema.buckets).where(_b.name == bindparam("bucket")).values(full_at=bindparam("then")))
_SWEEP = Statement(
    delete(schema.buckets).where(
        _b.name.in_(select(_b.name).where(_b.full_at < bindparam("gone")).order_by(_b.full_at).limit(SWEPT))
    )
)


@dataclass(frozen=True, slots=True)
class Level:
    """How a bucket stands at one moment; times in microseconds.

    ``kept``: whether it has a row. ``full_at``: when it is full again. ``wait``: until there is a token, 0 when there
    is one. ``doubted``: its row is from a clock that was far ahead, and the bucket counts as empty from now on.
    """

    bucket: Bucket
    kept: bool
    full_at: int
    wait: int
    doubted: bool


def level(bucket: Bucket, kept: int | None, now: int) -> Level:
    """How *bucket* stands, whose row says *kept*."""
    every = bucket.every // _MICROSECOND
    whole = bucket.at_once * every
    full_at = now if kept is None else max(kept, now)
    doubted = full_at > now + whole + _SOUND
    if doubted:
        full_at = now + whole
    return Level(bucket, kept is not None, full_at, max(0, full_at + every - whole - now), doubted)


def gone(now: int) -> int:
    """Buckets that were full before this moment need no row: they would be full on the slowest clock as well."""
    return now - _SOUND


def waits(levels: Iterable[Level]) -> dict[str, timedelta]:
    """Those that have no token, with the time until they do."""
    return {each.bucket.name: each.wait * _MICROSECOND for each in levels if each.wait}


def after(levels: Sequence[Level]) -> dict[str, int]:
    """What rows say when one was taken from each; where one is missing, only rows that were doubted are put right."""
    if any(each.wait for each in levels):
        return {each.bucket.name: each.full_at for each in levels if each.doubted}
    return {each.bucket.name: each.full_at + each.bucket.every // _MICROSECOND for each in levels}


def look(tx: Transaction, buckets: Sequence[Bucket], now: datetime) -> list[Level]:
    """How *buckets* stand."""
    return [level(bucket, _kept(tx, bucket), micros(now)) for bucket in buckets]


def _kept(tx: Transaction, bucket: Bucket) -> int | None:
    row = tx.row(_ONE, {"bucket": bucket.name})
    return None if row is None else int(row[0])


def take(tx: Transaction, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
    """Take one from each of *buckets*, or none of any. All writers take turns before this."""
    levels = look(tx, buckets, now)
    written = after(levels)
    for each in levels:
        if each.bucket.name in written:
            _write(tx, each, written[each.bucket.name])
    if written:
        tx.count(_SWEEP, {"gone": gone(micros(now))})
    return waits(levels)


def _write(tx: Transaction, of: Level, full_at: int) -> None:
    if of.kept:
        tx.count(_MOVE, {"bucket": of.bucket.name, "then": full_at})
    else:
        tx.count(_ADD, {"name": of.bucket.name, "full_at": full_at})
