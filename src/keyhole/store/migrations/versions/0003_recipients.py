"""What recipients must show, how often they were wrong, what is mailed to them, and what limits strangers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WAITS = sa.text("sent_at IS NULL AND failed_at IS NULL")
_FAILED = sa.text("failed_at IS NOT NULL")


def upgrade() -> None:
    """Add columns with defaults, so that shares from before are whole and ask for nothing, and tables."""
    _shares()
    _limits_and_codes()
    _mails()


def _shares() -> None:
    for column in (
        sa.Column("passcode", sa.Text),
        sa.Column("birth_date", sa.LargeBinary),
        sa.Column("mail_code", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("terms", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("passed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tried_at", sa.BigInteger),
        sa.Column("locked_at", sa.BigInteger),
        sa.Column("mail_to", sa.Text),
        sa.Column("notify", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("paper", sa.LargeBinary),
        sa.Column("priors", sa.Text, nullable=False, server_default="none"),
        sa.Column("patient_id", sa.Text),
        sa.Column("patient_issuer", sa.Text),
    ):
        op.add_column("shares", column)
    op.create_index("shares_by_paper", "shares", ["paper"], unique=True)


def _limits_and_codes() -> None:
    op.create_table(
        "buckets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("full_at", sa.BigInteger, nullable=False),
    )
    op.create_index("buckets_full", "buckets", ["full_at"])
    op.create_table(
        "mail_codes",
        sa.Column("share", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("nonce", sa.Text, nullable=False),
        sa.Column("ticket", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("share", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("to", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("give_up_at", sa.BigInteger, nullable=False),
        sa.Column("language", sa.Text),
        sa.Column("nonce", sa.Text),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("failed_at", sa.BigInteger),
        sa.Column("problem", sa.Text),
    )
    op.create_index("mails_of_share", "mails", ["share", "created_at", "id"])
    op.create_index("mails_waiting", "mails", ["due_at", "id"], sqlite_where=_WAITS, postgresql_where=_WAITS)
    op.create_index("mails_failed", "mails", ["failed_at", "id"], sqlite_where=_FAILED, postgresql_where=_FAILED)
