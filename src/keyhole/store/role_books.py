"""The versions of the Explorer's roles in their table."""

from __future__ import annotations

from sqlalchemy import insert, select

from keyhole.access.decision import Record
from keyhole.access.role_book import RoleBook
from keyhole.store import schema
from keyhole.store.chain import micros, moment
from keyhole.store.sql import Row, Statement, Transaction
from keyhole.store.writer import Change

_r = schema.plugin_roles.c
_NEWEST = Statement(select(schema.plugin_roles).order_by(_r.version.desc()).limit(1))
_ADD = Statement(insert(schema.plugin_roles))


def newest(tx: Transaction) -> RoleBook | None:
    """The version in force."""
    row = tx.row(_NEWEST, {})
    return None if row is None else _to_book(row)


def some(tx: Transaction, limit: int) -> list[RoleBook]:
    """The last *limit* versions, newest first."""
    return [_to_book(row) for row in tx.select(select(schema.plugin_roles).order_by(_r.version.desc()).limit(limit))]


def add(tx: Change, document: str, record: Record) -> RoleBook:
    """Put *document* in force; whoever wrote *record* has changed it then. All writers take turns before this."""
    before = newest(tx)
    version = 1 if before is None else before.version + 1
    book = RoleBook(version=version, document=document, changed_at=record.at, changed_by=record.subject)
    tx.count(
        _ADD, {"version": version, "document": document, "changed_at": micros(record.at), "changed_by": book.changed_by}
    )
    tx.changed(record)
    return book


def _to_book(row: Row) -> RoleBook:
    version, document, changed_at, changed_by = row
    return RoleBook(version=version, document=document, changed_at=moment(changed_at), changed_by=changed_by)
