"""who is told of a logout

What is to be delivered waits in the outbox, and sessions know which relying parties want to know of
their end. The version before knows neither table: it writes no row, and the sessions that it ends
are told of by a worker of this version.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c7e2d9b4a1f0"
down_revision: str | None = "b1d7c4a2e9f3"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("content_sealed", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_kind_due_at", "outbox", ["kind", "due_at"])
    op.create_index("ix_outbox_recipient_created_at", "outbox", ["recipient", "created_at"])
    op.create_index(op.f("ix_outbox_ended_at"), "outbox", ["ended_at"])
    op.create_table(
        "session_parties",
        sa.Column("relying_party", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("relying_party", "session_id", name=op.f("pk_session_parties")),
    )
    op.create_index(op.f("ix_session_parties_held_by"), "session_parties", ["held_by"])


def downgrade() -> None:
    op.drop_table("session_parties")
    op.drop_table("outbox")
