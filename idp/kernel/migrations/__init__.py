"""Schema changes, run by Alembic: expand, migrate, contract; the one before us keeps working."""
