"""The counter of the changes that decisions rest on."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from keyhole.errors import StoreFailed
from keyhole.store import schema
from keyhole.store.sql import Statement, Transaction

_g = schema.generation.c
_NOW = Statement(select(_g.value).where(_g.id == bindparam("one")))
_MOVE = Statement(update(schema.generation).where(_g.id == bindparam("one")).values(value=_g.value + bindparam("by")))


def generation(tx: Transaction) -> int:
    """The generation that *tx* sees."""
    row = tx.row(_NOW, {"one": 1})
    if row is None:
        raise StoreFailed("the database has no generation")
    return int(row[0])


def move(tx: Transaction) -> None:
    """Count a change."""
    tx.count(_MOVE, {"one": 1, "by": 1})
