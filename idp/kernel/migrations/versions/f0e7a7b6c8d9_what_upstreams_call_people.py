"""what upstreams call people

A scheme may have a name of its own for a person. It is remembered, and another one later is an
alarm. The version before does not know the table and needs nothing of it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "f0e7a7b6c8d9"
down_revision: str | None = "d4e1a1b0c2f3"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "person_aliases",
        sa.Column("number_index", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("alias_index", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number_index", "scheme", name=op.f("pk_person_aliases")),
    )


def downgrade() -> None:
    op.drop_table("person_aliases")
