"""clients register themselves

Keys of further algorithms have a table of their own: the version before would stop at a key of a
kind that it cannot read. It needs nothing of initial access tokens, and leaves the new column of
clients empty.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "a1b0c9d8e7f6"
down_revision: str | None = "f0e7a7b6c8d9"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "further_signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("alg", sa.Text(), nullable=False),
        sa.Column("private_sealed", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("active_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.Column("gone_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_further_signing_keys")),
    )
    op.create_table(
        "registration_tokens",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("uses_left", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_registration_tokens_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_registration_tokens")),
    )
    for column in ("organisation_id", "expires_at"):
        op.create_index(op.f(f"ix_registration_tokens_{column}"), "registration_tokens", [column])
    op.add_column("clients", sa.Column("registration_digest", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("clients", "registration_digest")
    op.drop_table("registration_tokens")
    op.drop_table("further_signing_keys")
