"""vault roots

The secret of every keyed index moves into the database, sealed under the master key, so that the
master key can be changed (idp.kernel.root).
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b8c5e5f4a6d7"
down_revision: str | None = "c3d9a7e04f21"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "vault_roots",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_vault_roots")),
    )


def downgrade() -> None:
    op.drop_table("vault_roots")
