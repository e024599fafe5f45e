"""outcomes are codes

How an attempt ended is stored as the error's code instead of its class name, what its page shows
has a column of its own, and sessions tell why they ended. A worker of the version before goes on:
it reads a code as a failure, and its own rows are read by what their document shows.
"""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "e5f2b2c1d3a4"
down_revision: str | None = "b8c5e5f4a6d7"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CODES = {
    "Denied": "TF-2101",
    "Failed": "TF-2102",
    "Expired": "TF-2103",
    "NotStarted": "TF-2104",
    "TooManyPushes": "TF-2105",
    "Disagreement": "TF-2201",
    "UpstreamAway": "TF-2202",
    "Maintenance": "TF-2203",
    "Approved": "approved",
    "Stopped": "stopped",
}
SHOWS = ("wait", "scan", "leave")
ATTEMPTS = sa.table("attempts", *(sa.column(x, sa.Text) for x in ("why", "shows", "challenge")))
HISTORY = sa.table("history", sa.column("why", sa.Text))


def upgrade() -> None:
    for table, name in (("attempts", "shows"), ("sessions", "ended_why")):
        op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))
    for shows in SHOWS:  # as the version before writes its document
        document = ATTEMPTS.c.challenge.startswith(json.dumps({"shows": shows})[:-1])
        op.execute(ATTEMPTS.update().where(document).values(shows=shows))
    _rename(CODES)


def downgrade() -> None:
    _rename({code: name for name, code in CODES.items()})
    op.drop_column("sessions", "ended_why")
    op.drop_column("attempts", "shows")


def _rename(words: dict[str, str]) -> None:
    for table in (ATTEMPTS, HISTORY):
        for old, new in words.items():
            op.execute(table.update().where(table.c.why == old).values(why=new))
