"""The tables. Times are integers: microseconds since 1970 UTC, on every database alike.

Changed only together with a migration; a test compares both.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

SEQ = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key; SQLite's own row number when it is called INTEGER there."""

shares = Table(
    "shares",
    metadata,
    Column("id", Text, primary_key=True),
    Column("archive", Text, nullable=False),
    Column("resources", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("creator", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("not_before", BigInteger),
    Column("max_visits", Integer),
    Column("visits", Integer, nullable=False),
    Column("first_opened_at", BigInteger),
    Column("last_opened_at", BigInteger),
    Column("withdrawn_at", BigInteger),
    Column("recipient", Text),
    Column("note", Text),
    Column("deidentification", Text, nullable=False),
    Column("origin", Text, nullable=False, server_default="keyhole"),
    Column("token_type", Text),
    Column("bearer", Boolean, nullable=False, server_default=false()),
    Column("orthanc_ids", Text, nullable=False, server_default="[]"),
    Column("passcode", Text),
    Column("birth_date", LargeBinary),
    Column("mail_code", Boolean, nullable=False, server_default=false()),
    Column("terms", Boolean, nullable=False, server_default=false()),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("passed", Integer, nullable=False, server_default="0"),
    Column("tried_at", BigInteger),
    Column("locked_at", BigInteger),
    Column("mail_to", Text),
    Column("notify", Text),
    Column("language", Text),
    Column("paper", LargeBinary),
    Column("priors", Text, nullable=False, server_default="none"),
    Column("patient_id", Text),
    Column("patient_issuer", Text),
    CheckConstraint("max_visits IS NULL OR visits <= max_visits", name="shares_visits_counted"),
    Index("shares_newest", "created_at", "id"),
    Index("shares_of_creator", "creator", "created_at", "id"),
    Index("shares_by_paper", "paper", unique=True),
)

share_studies = Table(
    "share_studies",
    metadata,
    Column("study", Text, primary_key=True),
    Column("share", Text, primary_key=True),
)

visits = Table(
    "visits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("archive", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("share", Text),
    Column("resources", Text, nullable=False),
    Column("limited", Boolean, nullable=False),
    Column("begun_at", BigInteger),
    Column("seen_at", BigInteger),
    Column("ended_at", BigInteger),
    Index("visits_of_share", "share", "created_at", "id"),
    Index("visits_of_subject", "subject"),
    Index("visits_by_digest", "digest"),
)

buckets = Table(
    "buckets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("full_at", BigInteger, nullable=False),
    Index("buckets_full", "full_at"),
)
"""Counters that limit strangers: how long each takes to be full again. A bucket without a row is full."""

mail_codes = Table(
    "mail_codes",
    metadata,
    Column("share", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("ticket", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
)
"""The newest one-time code of each share, until it is spent."""

_WAITS = text("sent_at IS NULL AND failed_at IS NULL")
_FAILED = text("failed_at IS NOT NULL")

mails = Table(
    "mails",
    metadata,
    Column("id", Text, primary_key=True),
    Column("share", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("to", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("give_up_at", BigInteger, nullable=False),
    Column("language", Text),
    Column("nonce", Text),
    Column("tries", Integer, nullable=False),
    Column("sent_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("problem", Text),
    Index("mails_of_share", "share", "created_at", "id"),
    Index("mails_waiting", "due_at", "id", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index("mails_failed", "failed_at", "id", sqlite_where=_FAILED, postgresql_where=_FAILED),
)
"""Mail, the sent and the failed included: it is kept as long as its share."""

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("roles", Text, nullable=False),
    Column("ceiling", Text, nullable=False),
    Column("creator", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)

plugin_roles = Table(
    "plugin_roles",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""What each role may do in Orthanc, every version of it; the highest is in force. ``document`` is JSON."""

trail = Table(
    "trail",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("study", Text),
    Column("share", Text),
    Column("visit", Text),
    Column("key_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("trail_at", "at"),
    Index("trail_of_study", "study", "seq"),
    Index("trail_of_share", "share", "seq"),
    Index("trail_of_visit", "visit", "seq"),
    Index("trail_of_subject", "subject", "seq"),
)
"""Append-only: triggers refuse UPDATE, DELETE and an INSERT anywhere but at the end. ``body`` is what counts; the
columns before ``key_id`` repeat it for searching, and verification compares them."""

trail_personal = Table(
    "trail_personal",
    metadata,
    Column("seq", SEQ, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
"""What can be erased (deleted, never updated) without breaking the chain."""

head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
"""One row, locked by whoever writes: all writers of all nodes take turns here."""

generation = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
"""One row, counting the changes of shares, visits, keys and roles; not attempts, which decide nothing by themselves."""
