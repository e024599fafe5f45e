"""tokens bound to keys

Codes and refresh tokens may need a key, and grants may be for named resources. The version before
writes rows that need none and name none.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b1d7c4a2e9f3"
down_revision: str | None = "a1b0c9d8e7f6"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = (("codes", "dpop_jkt", ""), ("grants", "bound_to", ""), ("grants", "resources", "[]"))


def upgrade() -> None:
    for table, name, default in COLUMNS:
        column = sa.Column(name, sa.Text(), nullable=False, server_default=default)
        op.add_column(table, column)


def downgrade() -> None:
    for table, name, _ in reversed(COLUMNS):
        op.drop_column(table, name)
