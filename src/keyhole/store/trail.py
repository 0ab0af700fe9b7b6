"""The trail in its tables: appending to the chain, and searching it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Select, and_, bindparam, insert, or_, select, update

from keyhole.access.decision import Event, Record
from keyhole.store import schema
from keyhole.store.chain import Head, Personal, decode, micros
from keyhole.store.chain import Row as ChainRow
from keyhole.store.sql import Row, Statement, Transaction

MOST_ROWS = 10_000
"""The most rows of one answer, whatever is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailQuery:
    """Which rows of the trail, and how many; what is None does not matter.

    ``study`` also finds what happened with shares of several studies, which names none of them in its rows.
    ``since`` is included, ``until`` is not. ``after_seq`` continues a list: rows later in it than that one.
    """

    study: str | None = None
    share: str | None = None
    visit: str | None = None
    subject: str | None = None
    events: frozenset[Event] = frozenset()
    """Empty: all of them."""
    since: datetime | None = None
    until: datetime | None = None
    after_seq: int | None = None
    limit: int = 1000
    newest_first: bool = False

    def __post_init__(self) -> None:
        """Refuse a list of nothing."""
        if self.limit < 1:
            raise ValueError("a list has at least one row")


@dataclass(frozen=True, slots=True)
class TrailRow:
    """A record with its number in the trail; ``erased`` when personal values of it are gone."""

    seq: int
    record: Record
    erased: bool


_t = schema.trail.c
_head = schema.head
_HEAD = select(_head.c.seq, _head.c.digest).where(_head.c.id == bindparam("one"))
_SEE_HEAD = Statement(_HEAD)
_TAKE_HEAD = Statement(_HEAD.with_for_update())
_MOVE_HEAD = Statement(
    update(_head)
    .where(_head.c.id == bindparam("one"))
    .values(seq=bindparam("last_seq"), digest=bindparam("last_digest"))
)
_APPEND = Statement(insert(schema.trail))
_APPEND_PERSONAL = Statement(insert(schema.trail_personal))


def take_head(tx: Transaction) -> Head:
    """The end of the chain; nobody else moves it until the transaction ends."""
    return _to_head(tx.row(_TAKE_HEAD, {"one": 1}))


def head(tx: Transaction) -> Head:
    """The end of the chain as the database tells it."""
    return _to_head(tx.row(_SEE_HEAD, {"one": 1}))


def _to_head(row: Row | None) -> Head:
    return Head() if row is None else Head(row[0], row[1])


def append(tx: Transaction, rows: Sequence[ChainRow]) -> None:
    """Put *rows*, which extend the chain, at its end."""
    tx.many(_APPEND, [_columns(row) for row in rows])
    tx.many(_APPEND_PERSONAL, [_personal(row.seq, value) for row in rows for value in row.draft.personal])
    tx.count(_MOVE_HEAD, {"one": 1, "last_seq": rows[-1].seq, "last_digest": rows[-1].digest})


def _columns(row: ChainRow) -> dict[str, object]:
    return {
        "seq": row.seq,
        **indexed(row.draft.record),
        "key_id": row.key_id,
        "body": row.draft.body,
        "digest": row.digest,
    }


def indexed(record: Record) -> dict[str, object]:
    """The columns that repeat parts of the body for searching."""
    return {
        "at": micros(record.at),
        "event": record.event.value,
        "subject": record.subject,
        "study": record.study,
        "share": record.share,
        "visit": record.visit,
    }


def _personal(seq: int, value: Personal) -> dict[str, object]:
    return {"seq": seq, "name": value.name, "salt": value.salt, "value": value.value}


def find(tx: Transaction, query: TrailQuery) -> list[TrailRow]:
    """The rows that *query* asks for."""
    bodies = tx.select(_search(query))
    values = personal(tx, [seq for seq, _ in bodies])
    return [to_row(seq, body, values.get(seq, ())) for seq, body in bodies]


def _search(query: TrailQuery) -> Select[tuple[int, bytes]]:
    equal = {"share": query.share, "visit": query.visit, "subject": query.subject}
    wanted = [_t[name] == value for name, value in equal.items() if value is not None]
    if query.study is not None:
        wanted.append(or_(_t.study == query.study, and_(_t.study.is_(None), _t.share.in_(_sharing(query.study)))))
    if query.events:
        wanted.append(_t.event.in_(sorted(event.value for event in query.events)))
    if query.since is not None:
        wanted.append(_t.at >= micros(query.since))
    if query.until is not None:
        wanted.append(_t.at < micros(query.until))
    if query.after_seq is not None:
        wanted.append(_t.seq < query.after_seq if query.newest_first else _t.seq > query.after_seq)
    order = _t.seq.desc() if query.newest_first else _t.seq.asc()
    return select(_t.seq, _t.body).where(*wanted).order_by(order).limit(min(query.limit, MOST_ROWS))


def _sharing(study: str) -> Select[tuple[str]]:
    """The shares that hold *study*. What happened with a share of several studies names none of them in its row."""
    columns = schema.share_studies.c
    return select(columns.share).where(columns.study == study)


def personal(tx: Transaction, seqs: Sequence[int]) -> dict[int, list[Personal]]:
    """The personal values that are still kept of the rows *seqs*."""
    columns = schema.trail_personal.c
    held: dict[int, list[Personal]] = {}
    for some in (seqs[start : start + 500] for start in range(0, len(seqs), 500)):
        kept = tx.select(select(columns.seq, columns.name, columns.salt, columns.value).where(columns.seq.in_(some)))
        for seq, name, salt, value in kept:
            held.setdefault(seq, []).append(Personal(name, salt, value))
    return held


def to_row(seq: int, body: bytes, values: Iterable[Personal]) -> TrailRow:
    """The row with its record put together again."""
    record, commitments = decode(body)
    known = {value.name: value.value.decode() for value in values if value.name in commitments}
    return TrailRow(seq, replace(record, personal=known), erased=len(known) < len(commitments))


def matches(query: TrailQuery, row: TrailRow, sharing: Container[str | None]) -> bool:
    """Whether *query* asks for *row*, its limit aside; *sharing* are the shares that hold the study asked for."""
    record = row.record
    equal: Mapping[str, str | None] = {
        "share": query.share,
        "visit": query.visit,
        "subject": query.subject,
    }
    return (
        all(value is None or getattr(record, name) == value for name, value in equal.items())
        and (query.study is None or record.study == query.study or (record.study is None and record.share in sharing))
        and (not query.events or record.event in query.events)
        and (query.since is None or query.since <= record.at)
        and (query.until is None or record.at < query.until)
        and (
            query.after_seq is None or (row.seq < query.after_seq if query.newest_first else row.seq > query.after_seq)
        )
    )
