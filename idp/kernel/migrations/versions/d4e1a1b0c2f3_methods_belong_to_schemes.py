"""methods belong to schemes

Methods are stored as scheme:name, and a client's own account at a scheme has a table. All that was
stored before is TW FidO's. The version before goes on with this schema: it reads both forms of a
method's name, and its own columns clients.system_* stay as they were.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "d4e1a1b0c2f3"
down_revision: str | None = "e5f2b2c1d3a4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

PREFIX = "twfido:"
WITH_METHODS = [
    sa.table(name, sa.column("method", sa.Text)) for name in ("attempts", "sessions", "history")
]


def upgrade() -> None:
    op.create_table(
        "upstream_accounts",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("account_index", sa.Text(), nullable=False),
        sa.Column("document_sealed", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_upstream_accounts_client_id")
        ),
        sa.PrimaryKeyConstraint("client_id", "scheme", name=op.f("pk_upstream_accounts")),
    )
    op.create_index(
        op.f("ix_upstream_accounts_account_index"), "upstream_accounts", ["account_index"]
    )
    op.execute(
        "INSERT INTO upstream_accounts"
        " (client_id, scheme, account_index, document_sealed, created_at, updated_at)"
        " SELECT client_id, 'twfido', system_index, system_sealed, updated_at, updated_at"
        " FROM clients WHERE system_sealed <> '' AND system_index IS NOT NULL"
    )
    for table in WITH_METHODS:
        bare = sa.and_(table.c.method != "", table.c.method.notlike("%:%"))
        op.execute(table.update().where(bare).values(method=PREFIX + table.c.method))


def downgrade() -> None:
    for table in WITH_METHODS:
        bare = sa.func.substr(table.c.method, len(PREFIX) + 1)
        op.execute(table.update().where(table.c.method.startswith(PREFIX)).values(method=bare))
    op.drop_table("upstream_accounts")
