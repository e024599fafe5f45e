"""applications of relying parties

The version before knows none of these tables and writes no row into them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "e8a4c1d6b2f7"
down_revision: str | None = "c7e2d9b4a1f0"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document_sealed", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state_at", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_cases")),
    )
    op.create_index(op.f("ix_cases_look_at"), "cases", ["look_at"])
    op.create_index("ix_cases_state_state_at", "cases", ["state", "state_at"])
    op.create_index("ix_cases_created_at_number", "cases", ["created_at", "number"])
    op.create_table(
        "case_people",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["cases.number"], name=op.f("fk_case_people_number")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name=op.f("fk_case_people_person_id")
        ),
        sa.PrimaryKeyConstraint("number", "person_id", name=op.f("pk_case_people")),
    )
    op.create_index("ix_case_people_person_id", "case_people", ["person_id"])
    op.create_table(
        "case_events",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("move", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail_sealed", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["cases.number"], name=op.f("fk_case_events_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_case_events_number"), "case_events", ["number"])


def downgrade() -> None:
    op.drop_table("case_events")
    op.drop_table("case_people")
    op.drop_table("cases")
