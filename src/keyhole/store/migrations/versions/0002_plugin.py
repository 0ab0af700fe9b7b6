"""What shares made through Orthanc's Authorization plugin have besides, and the roles that it asks for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with defaults, so that shares from before are whole, and a table."""
    op.add_column("shares", sa.Column("origin", sa.Text, nullable=False, server_default="keyhole"))
    op.add_column("shares", sa.Column("token_type", sa.Text))
    op.add_column("shares", sa.Column("bearer", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("shares", sa.Column("orthanc_ids", sa.Text, nullable=False, server_default="[]"))
    op.create_table(
        "plugin_roles",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
    )
