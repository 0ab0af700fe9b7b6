"""Shares, visits, keys, and the trail with its head.

Written out rather than taken from the schema, which moves on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make everything."""
    _shares()
    _visits()
    _keys()
    _trail()
    _counters()
    if op.get_bind().dialect.name == "sqlite":
        _append_only_sqlite()
    else:
        _append_only_postgresql()


def _shares() -> None:
    op.create_table(
        "shares",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("archive", sa.Text, nullable=False),
        sa.Column("resources", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("not_before", sa.BigInteger),
        sa.Column("max_visits", sa.Integer),
        sa.Column("visits", sa.Integer, nullable=False),
        sa.Column("first_opened_at", sa.BigInteger),
        sa.Column("last_opened_at", sa.BigInteger),
        sa.Column("withdrawn_at", sa.BigInteger),
        sa.Column("recipient", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("deidentification", sa.Text, nullable=False),
        sa.CheckConstraint("max_visits IS NULL OR visits <= max_visits", name="shares_visits_counted"),
    )
    op.create_index("shares_newest", "shares", ["created_at", "id"])
    op.create_index("shares_of_creator", "shares", ["creator", "created_at", "id"])
    op.create_table(
        "share_studies",
        sa.Column("study", sa.Text, primary_key=True),
        sa.Column("share", sa.Text, primary_key=True),
    )


def _visits() -> None:
    op.create_table(
        "visits",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("archive", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("share", sa.Text),
        sa.Column("resources", sa.Text, nullable=False),
        sa.Column("limited", sa.Boolean, nullable=False),
        sa.Column("begun_at", sa.BigInteger),
        sa.Column("seen_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_index("visits_of_share", "visits", ["share", "created_at", "id"])
    op.create_index("visits_of_subject", "visits", ["subject"])
    op.create_index("visits_by_digest", "visits", ["digest"])


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("ceiling", sa.Text, nullable=False),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )


def _trail() -> None:
    op.create_table(
        "trail",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("study", sa.Text),
        sa.Column("share", sa.Text),
        sa.Column("visit", sa.Text),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
    op.create_index("trail_at", "trail", ["at"])
    for name in ("study", "share", "visit", "subject"):
        op.create_index(f"trail_of_{name}", "trail", [name, "seq"])
    op.create_table(
        "trail_personal",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def _counters() -> None:
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "digest": bytes(32)}])
    generation = op.create_table(
        "generation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(generation, [{"id": 1, "value": 1}])


def _append_only_sqlite() -> None:
    refuse = "BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END"
    op.execute(f"CREATE TRIGGER trail_never_updated BEFORE UPDATE ON trail {refuse}")
    op.execute(f"CREATE TRIGGER trail_never_deleted BEFORE DELETE ON trail {refuse}")
    # INSERT OR REPLACE deletes without firing the trigger above.
    late = "WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM trail)"
    op.execute(f"CREATE TRIGGER trail_never_replaced BEFORE INSERT ON trail {late} {refuse}")
    op.execute(f"CREATE TRIGGER trail_personal_never_updated BEFORE UPDATE ON trail_personal {refuse}")


def _append_only_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION keyhole_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the trail is append-only'; END $$"
    )
    refuse = "EXECUTE FUNCTION keyhole_append_only()"
    op.execute(f"CREATE TRIGGER trail_append_only BEFORE UPDATE OR DELETE ON trail FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER trail_never_emptied BEFORE TRUNCATE ON trail FOR EACH STATEMENT {refuse}")
    op.execute(f"CREATE TRIGGER trail_personal_never_updated BEFORE UPDATE ON trail_personal FOR EACH ROW {refuse}")
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON trail FROM PUBLIC, CURRENT_USER")
    op.execute("REVOKE UPDATE ON trail_personal FROM PUBLIC, CURRENT_USER")
