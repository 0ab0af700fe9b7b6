"""One-time codes that were mailed, in their table: the newest of each share, until it is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import bindparam, delete, insert, select

from keyhole.access.decision import Record
from keyhole.access.limit import Bucket
from keyhole.access.mail import Mail, MailCode
from keyhole.store import limits, mails, schema
from keyhole.store.rows import code_values, to_code
from keyhole.store.sql import Statement, Transaction
from keyhole.store.writer import Change

_c = schema.mail_codes.c
_OF_SHARE = Statement(select(schema.mail_codes).where(_c.share == bindparam("of_share")))
_DROP = Statement(delete(schema.mail_codes).where(_c.share == bindparam("of_share")))
_ADD = Statement(insert(schema.mail_codes))


def newest(tx: Transaction, share_id: str) -> MailCode | None:
    """The newest code of the share, spent ones left out."""
    row = tx.row(_OF_SHARE, {"of_share": share_id})
    return None if row is None else to_code(row)


def drop(tx: Transaction, share_id: str) -> None:
    """Leave the share without a code: it was spent, or is of a link that is no more."""
    tx.count(_DROP, {"of_share": share_id})


def add(tx: Change, code: MailCode, mail: Mail, buckets: Sequence[Bucket], record: Record) -> Mapping[str, timedelta]:
    """Keep *code* in the place of the one before, and *mail*, unless *buckets* refuse."""
    missing = limits.take(tx, buckets, code.created_at)
    if not missing:
        drop(tx, code.share)
        tx.count(_ADD, code_values(code))
        mails.add(tx, [mail])
        tx.append((record,))
    return missing
